"""`python -m node --home DIR`: run one node until SIGTERM or SIGINT; `--check` reads its disk only.

Exit status: 0 after a signal, 2 for a bad home or configuration, 3 if storage or keys are damaged
or in use, 1 for anything else, such as a signer that is away.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from andon.core.errors import AndonError, Code, InvalidInput, Misuse
from andon.core.keys import check_library
from node.checkout import check_checkout
from node.config import WORKERS


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m node", description="Run one Andon node.")
    parser.add_argument("--home", type=Path, required=True, help="folder of this node")
    parser.add_argument(
        "--check", action="store_true", help="check the whole store and end, without running"
    )
    parser.add_argument(
        "--worker-backend", choices=WORKERS, default="", help="in the place of the configured one"
    )
    options = parser.parse_args()
    status = 0
    try:
        check_checkout()
        check_library()
        from node.crashes import note_crashes  # noqa: PLC0415 - the same
        from node.home import check_home  # noqa: PLC0415 - the same
        from node.loop import run  # noqa: PLC0415 - the same
        from node.running import run_node  # noqa: PLC0415 - after the check, for the check to count

        note_crashes(options.home)
        if options.check:
            print(f"andon node: {check_home(options.home)}")  # noqa: T201 - its answer
        else:
            run(run_node(options.home, worker_backend=options.worker_backend))
    except* AndonError as group:
        errors = _leaves(group)
        for error in errors:
            print(f"andon node: {error}", file=sys.stderr)  # noqa: T201 - logs may not exist yet
        status = _status_of(errors[0])
    return status


def _status_of(error: BaseException) -> int:
    if isinstance(error, AndonError) and error.code is Code.SIGNER_DOWN:
        return 1  # a service manager may start the node again
    return 2 if isinstance(error, InvalidInput | Misuse) else 3


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]


if __name__ == "__main__":
    sys.exit(main())
