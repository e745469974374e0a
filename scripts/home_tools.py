"""Work on the disk of one node: `andon snapshot` and `andon replay` call this.

`create` and `list` and `replay` may run beside the node; `restore` fills a stopped, empty home.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from andon.core.errors import AndonError
from andon.core.json_value import to_hex
from node.home_tools import create_snapshot, list_snapshots, replay_home, restore_snapshot


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one thing; 0 if it is done."""
    options = _parser().parse_args(arguments)
    try:
        document, text = _act(options)
    except AndonError as error:
        print(f"andon: {error}", file=sys.stderr)
        return 1
    print(msgspec.json.encode(document).decode() if options.json else text)
    return 0


def _act(options: argparse.Namespace) -> tuple[object, str]:
    home = options.home
    match options.verb:
        case "create":
            height, folder = create_snapshot(home)
            return {"height": height, "folder": str(folder)}, f"height {height}: {folder}"
        case "list":
            found = list_snapshots(home)
            lines = [f"{height:>10}  {size / 1e6:10.1f} MB" for height, size in found]
            listed = [{"height": height, "bytes": size} for height, size in found]
            return {"snapshots": listed}, "\n".join(lines) or "no snapshots"
        case "restore":
            height = restore_snapshot(home, options.source)
            return {"height": height}, f"restored height {height}; start the node"
        case _:
            began_s = time.monotonic()
            done = replay_home(home, options.last, _tell)
            took_s = time.monotonic() - began_s
            return {
                "height": done.height,
                "transactions": done.transactions,
                "predictions": done.predictions,
                "state_root": to_hex(done.state_root),
            }, (
                f"equal: {done.height} blocks, {done.transactions} transactions, "
                f"{done.predictions} predictions in {took_s:.1f} s; "
                f"state root {to_hex(done.state_root)}"
            )


def _tell(height: int) -> None:
    print(f"replayed {height}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.home_tools", description=__doc__)
    parser.add_argument("verb", choices=("create", "list", "restore", "replay"))
    parser.add_argument("--home", type=Path, required=True, help="folder of one node")
    parser.add_argument("--source", type=Path, help="restore: the folder of a snapshot")
    parser.add_argument("--last", type=int, help="replay: up to this height")
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
