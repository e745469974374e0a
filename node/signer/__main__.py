"""`python -m node.signer --home DIR`: hold a validator's key in a process of its own.

DIR holds `genesis.json`, `keys/validator.key` (or the settings of a module in `config.toml`) and
the sign state. The node, on the same host under the same user, has `signer = "socket"` and no key.
Exit status as `python -m node`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from andon.core.errors import AndonError, Code, InvalidInput, Misuse
from andon.core.keys import check_library
from node.config import Home, load_config
from node.home import read_genesis
from node.log import start_logging
from node.signer.opening import PROCESS, open_file_signer
from node.signer.server import SignerServer

SOCKET_FILE = "signer.sock"


def main() -> int:
    """Parse the arguments and serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m node.signer", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of the signer")
    parser.add_argument("--socket", type=Path, help="where to listen; default HOME/signer.sock")
    parser.add_argument(
        "--new", action="store_true", help="make the sign state of a key that never signed anything"
    )
    options = parser.parse_args()
    home = Home(options.home.resolve())
    try:
        check_library()
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(_serve(home, options.socket or home.path / SOCKET_FILE, is_new=options.new))
    except AndonError as error:
        print(f"andon signer: {error}", file=sys.stderr)  # noqa: T201 - logs may not exist yet
        return 2 if isinstance(error, InvalidInput | Misuse) else 3
    return 0


async def _serve(home: Home, path: Path, *, is_new: bool) -> None:
    config, genesis = load_config(home), read_genesis(home)
    if config.signer == PROCESS:
        raise InvalidInput(Code.BAD_CONFIG, "a signer cannot ask another signer")
    with contextlib.ExitStack() as stack:
        signer = open_file_signer(home, config, genesis.chain_id, stack, may_create=is_new)
        if signer is None:
            raise InvalidInput(
                Code.BAD_KEY, f"{home.keys} holds no validator key", hint="a signer needs one"
            )
        home.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        start_logging(home.logs, config.log_level, home.path.name)
        serving = asyncio.current_task()
        assert serving is not None, "asyncio.run makes one"
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
        await SignerServer(signer, path).run()


if __name__ == "__main__":
    sys.exit(main())
