"""Time of a node's stages, one process, no network: what a call or a prediction costs.

Real contracts, real storage, real signatures; outputs of the model are given, so that what is
measured is the node and not the network. Microseconds a call or prediction, the least of ROUNDS
blocks: other work on the machine counts little. A validator pays parse, verify, questions, check,
recompute and append; a leader pays build in the place of check. "dry run" is what the question for
predictions costs until a sender is known, "questions" what it costs from then on.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from andon.core.genesis import Params, contract_at_genesis
from andon.core.transaction import (
    Call,
    Transaction,
    check_signature,
    make_call,
    parse_transaction,
)
from consensus.ledger import Overlay, Parent, build_block, check_and_execute_block
from node.drivers.dry_run import DryRunner
from node.drivers.predictions import PredictionCache, Question, cache_keys
from node.drivers.window_rules import WindowRules
from node.storage import ChainStore
from node.testing.lab import CertifiedChain
from scripts.bench.workloads import CONTRACT

ROUNDS = 4
WINDOW_BYTES = 420
GAS = 40_000_000
TRANSACTIONS = {1: 300, 64: 40}
OUTPUT = (5,)
PREDICTING = b"""
@export
def score_many(windows: bytes, count: int) -> list:
    return predict_many("sum", windows, count)
"""
T = TypeVar("T")


def main() -> None:
    """Print a table."""
    columns = {
        f"{kind} x {count}": Stages(kind, count).run()
        for kind in ("calls", "predictions")
        for count in (1, 64)
    }
    names = list(dict.fromkeys(name for found in columns.values() for name in found))
    print(f"  {'us an operation':<16}" + "".join(f"{head:>18}" for head in columns))
    for name in names:
        cells = (found.get(name) for found in columns.values())
        print(f"  {name:<16}" + "".join(f"{'-' if c is None else f'{c:.2f}':>18}" for c in cells))


@dataclass(slots=True)
class Stages:
    """One size of transaction, taken through the stages."""

    kind: str
    count: int
    found: dict[str, float] = field(default_factory=dict)

    def run(self) -> dict[str, float]:
        """Make blocks; the least microseconds an operation by stage."""
        chain = _chain()
        rules = WindowRules()
        with tempfile.TemporaryDirectory(prefix="andon-stages-") as folder:
            store = ChainStore(Path(folder) / "chain")
            chain.open(store)
            for turn in range(ROUNDS):
                self._block(chain, store, rules, turn)
            store.close()
        return self.found

    def _block(
        self, chain: CertifiedChain, store: ChainStore, rules: WindowRules, turn: int
    ) -> None:
        count = TRANSACTIONS[self.count]
        raws = [chain.transaction(*self._calls(turn * count + n)).raw for n in range(count)]
        transactions = self._time("parse", lambda: [parse_transaction(raw) for raw in raws])
        self._time("verify", lambda: _verify(transactions))
        cache = PredictionCache()
        with store.snapshot() as snapshot:
            parent = Parent(
                header=chain.parent.header,
                hash=chain.parent.hash,
                state=Overlay(snapshot),
                validators=chain.parent.validators,
                params=chain.parent.params,
            )
            if self.kind == "predictions":
                self._ask(chain, parent, transactions, cache, rules)
            place = chain.turn()
            block, executed, left_out = self._time(
                "build", lambda: build_block(parent, place, transactions, chain.engine, cache)
            )
            assert not left_out, left_out
            assert all(receipt.ok for receipt in executed.receipts), executed.receipts[0]
            executed = self._time(
                "check", lambda: check_and_execute_block(parent, block, chain.engine, transactions)
            )
        stored = chain.take(block, executed)
        self._time("append", lambda: store.append([stored]))

    def _ask(
        self,
        chain: CertifiedChain,
        parent: Parent,
        transactions: list[Transaction],
        cache: PredictionCache,
        rules: WindowRules,
    ) -> None:
        runner = DryRunner(chain.engine, cache)

        def dry_run() -> list[Question]:
            found: list[Question] = []
            left: Sequence[Transaction] = transactions
            while left:
                missing, left = runner.run(parent, left)
                found += missing
            return found

        questions = self._time("dry run", dry_run)
        for transaction in transactions[:4]:
            rules.learn(transaction, [item for item in questions if item[1] in transaction.raw])
        self._time(
            "questions",
            lambda: [cache_keys(rules.questions(item) or []) for item in transactions],
        )
        for key in cache_keys(questions):
            cache.put(key, OUTPUT)

    def _calls(self, number: int) -> tuple[Call, ...]:
        if self.kind == "predictions":
            octets = secrets.token_bytes(WINDOW_BYTES * self.count)
            windows = bytes(octet & 127 for octet in octets)
            return (make_call("scores", "score_many", {"windows": windows, "count": self.count}),)
        return tuple(
            make_call("bench", "transfer", {"to": f"account-{(number + n) % 1000}", "amount": 1})
            for n in range(self.count)
        )

    def _time(self, name: str, run: Callable[[], T]) -> T:
        began = time.perf_counter()
        result = run()
        passed_s = time.perf_counter() - began
        each_us = passed_s / (TRANSACTIONS[self.count] * self.count) * 1e6
        self.found[name] = min(each_us, self.found.get(name, each_us))
        return result


def _verify(transactions: list[Transaction]) -> None:
    for transaction in transactions:
        check_signature(transaction)


def _chain() -> CertifiedChain:
    """The lab's chain with the benchmark's contracts and room for large blocks."""
    return CertifiedChain(
        "stages",
        Params(block_gas_max=10**12, transaction_gas_max=10**11, block_bytes_max=10**8),
        contracts=(
            contract_at_genesis("bench", CONTRACT.encode(), {}),
            contract_at_genesis("scores", PREDICTING, {}),
        ),
        window_bytes=WINDOW_BYTES,
        gas_limit=GAS,
    )


if __name__ == "__main__":
    main()
