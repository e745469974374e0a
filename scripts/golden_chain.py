"""Rewrite the golden chain: `python -m scripts.golden_chain`. Once released, it stays for ever.

Later releases must go on replaying what earlier ones wrote (tests/unit/test_golden_chain.py). A
change that makes the test fail needs another protocol version; before the first release the chain
may be written anew, together with a line marked wire in the changelog.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from andon.core.codec import encode
from andon.core.genesis import Params, genesis_to_json
from andon.core.transaction import make_call
from andon.core.wire import FinalBlock
from node.storage import ChainStore
from node.testing.lab import CertifiedChain

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "vectors" / "chain-1"
HEIGHTS = 24
LENGTH_BYTES = 4


def make_chain() -> tuple[CertifiedChain, list[FinalBlock]]:
    """Make the blocks: writes, failures, deletions, predictions, a change of validators."""
    chain = CertifiedChain("golden-1", Params(expiry_window_blocks=50))
    with tempfile.TemporaryDirectory() as name:
        store = ChainStore(Path(name) / "chain", 64 * 1024 * 1024)
        chain.open(store)
        for height in range(1, HEIGHTS + 1):
            calls = [
                make_call("notes", "write", {"key": f"n{height}", "text": "text " * height}),
                make_call("notes", "assess", {"key": f"a{height}", "window": bytes([height] * 4)}),
            ]
            if height % 5 == 0:
                calls.append(make_call("notes", "erase", {"key": f"n{height - 3}"}))
            transactions = [chain.transaction(*calls)]
            if height % 7 == 0:
                transactions.append(chain.transaction(make_call("notes", "refuse", {"key": "x"})))
            if height == 9:
                transactions.append(chain.schedule(chain.keys[1:], 14))
            store.append([chain.extend(*transactions, is_certified=height % 6 != 0 or height > 20)])
        with store.snapshot() as snapshot:
            found = [snapshot.final_block(height) for height in range(1, HEIGHTS + 1)]
        store.close()
    return chain, [final for final in found if final is not None]


def main() -> int:
    """Write genesis and blocks."""
    chain, finals = make_chain()
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "genesis.json").write_bytes(genesis_to_json(chain.genesis))
    encoded = [encode(final) for final in finals]
    framed = b"".join(len(item).to_bytes(LENGTH_BYTES, "big") + item for item in encoded)
    (FOLDER / "blocks.bin").write_bytes(framed)
    print(f"golden chain: {len(finals)} blocks, {len(framed)} bytes in {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
