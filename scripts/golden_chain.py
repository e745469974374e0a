"""Rewrite the golden chains: `python -m scripts.golden_chain`. Once released, they stay for ever.

chain-1 speaks protocol 1 alone; in chain-2 organisations decide on protocol 2, which begins amid
the chain, soon after the validators changed. Later releases must go on replaying what earlier ones
wrote (tests/unit/test_golden_chain.py). A change that makes the test fail needs another protocol
version; before the first release the chains may be written anew, together with a line marked wire
in the changelog.
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

VECTORS = Path(__file__).resolve().parent.parent / "tests" / "vectors"
HEIGHTS = 24
UPGRADES = {"chain-1": 0, "chain-2": 16}
"""Height from which protocol 2 rules, by folder; 0 for never."""
LENGTH_BYTES = 4


def make_chain(chain_id: str, upgrade_at: int) -> tuple[CertifiedChain, list[FinalBlock]]:
    """Make the blocks: writes, failures, deletions, predictions, a change of validators.

    `upgrade_at` is the height from which protocol 2 rules; 0 for never.
    """
    chain = CertifiedChain(chain_id, Params(expiry_window_blocks=50))
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
            if upgrade_at and height == upgrade_at // 2:
                upgrade = {"version": 2, "height": upgrade_at}
                transactions.append(chain.transaction(make_call("params", "upgrade", upgrade)))
            store.append([chain.extend(*transactions, is_certified=height % 6 != 0 or height > 20)])
        with store.snapshot() as snapshot:
            found = [snapshot.final_block(height) for height in range(1, HEIGHTS + 1)]
        store.close()
    return chain, [final for final in found if final is not None]


def main() -> int:
    """Write genesis and blocks of every chain."""
    for name, upgrade_at in UPGRADES.items():
        folder = VECTORS / name
        chain, finals = make_chain(f"golden-{name[-1]}", upgrade_at)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "genesis.json").write_bytes(genesis_to_json(chain.genesis))
        encoded = [encode(final) for final in finals]
        framed = b"".join(len(item).to_bytes(LENGTH_BYTES, "big") + item for item in encoded)
        (folder / "blocks.bin").write_bytes(framed)
        print(f"golden chain: {len(finals)} blocks, {len(framed)} bytes in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
