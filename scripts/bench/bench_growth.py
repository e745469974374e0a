"""What things cost as a network grows: one series a quantity, a fitted exponent, what theory says.

The exponent is the slope of log cost over log size: 0 means that size does not matter, 1 that cost
grows with it. A series whose exponent exceeds theory by more than TOLERANCE is marked. Processor
time, wall time where a disk or another process answers, the least of some rounds.
ANDON_BENCH_GROWTH chooses groups (small,keys,history,models,clients; default all).
ANDON_BENCH_KEYS_MAX (100,000), ANDON_BENCH_BLOCKS_MAX (10,000) and ANDON_BENCH_MODELS_MAX (100) say
how far; ANDON_BENCH_STORE is a home made by `scripts.bench.generated_store`, whose height is one
more size. Figures and plot of the chosen groups are written below `out/bench`; earlier figures of
the others are kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from andon.core.certificate import (
    Certificate,
    Signer,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
    check_certificate,
    vote_signing_bytes,
)
from andon.core.codec import encode_arguments
from andon.core.keys import PrivateKey
from consensus.ledger import build_block
from contracts_py.engine import Context, Engine, Mode
from contracts_py.engine.memory_host import MemoryHost
from scripts.bench.bench_contracts import ALICE, BOB, TOKEN
from scripts.bench.bench_ledger import NoModels, full_block
from scripts.bench.conditions import conditions
from scripts.bench.growth_clients import clients
from scripts.bench.growth_store import history, keys_in_state, loaded_models
from scripts.bench.report import FOLDER
from scripts.bench.series import Series, best, plot

GAS = 10_000_000
CHAIN = "growth"
FILE = "growth.json"


def main() -> None:
    """Measure, print, save and plot the chosen groups."""
    groups: dict[str, Callable[[], tuple[Series, ...]]] = {
        "small": small,
        "keys": keys_in_state,
        "history": history,
        "models": loaded_models,
        "clients": clients,
    }
    chosen = os.environ.get("ANDON_BENCH_GROWTH", ",".join(groups)).split(",")
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = {series.name: series for series in _kept(FOLDER / FILE)}
    for name in chosen:
        for series in groups[name]():
            found[series.name] = series
            series.print()
        document = {
            "conditions": conditions(),
            "series": [series.as_json() for series in found.values()],
        }
        (FOLDER / FILE).write_text(json.dumps(document, indent=2) + "\n")
    plot(list(found.values()), FOLDER / "growth.svg")
    print(f"written: {FOLDER}/{FILE}, {FOLDER}/growth.svg")


def _kept(path: Path) -> list[Series]:
    """What an earlier run has left."""
    if not path.exists():
        return []
    return [Series.from_json(item) for item in json.loads(path.read_text())["series"]]


def small() -> tuple[Series, ...]:
    """What needs no store: transactions of a block, contracts, validators."""
    return block_of_transactions(), deployed_contracts(), certificate_of_validators()


def block_of_transactions() -> Series:
    """Building a block of so many single-call transactions."""
    points = []
    for count in (10, 100, 1_000, 4_000):
        engine, parent, turn, transactions = full_block(count)
        cost_s = best(
            lambda engine=engine, parent=parent, turn=turn, transactions=transactions: build_block(  # type: ignore[misc] # bound
                parent, turn, transactions, engine, NoModels()
            ),
            3,
        )
        points.append((count, cost_s * 1e3))
    return Series("transactions in a block: build", "ms", 1, "each is executed once", tuple(points))


def deployed_contracts() -> Series:
    """A call of one of so many contracts, each in turn; all stay compiled."""
    points = []
    for count in (1, 10, 100, 1000):
        engine, host = Engine(), MemoryHost()
        context = Context(
            chain_id=CHAIN, height=1, time_ms=1, sender=ALICE, transaction_id=b"t" * 32
        )
        for number in range(count):
            name = f"token{number}"
            host.sources[name] = TOKEN + b"# %d\n" % number
            setup = encode_arguments({"owner": ALICE})
            engine.execute(host, context, name, "", setup, GAS, mode=Mode.INIT)
        args = encode_arguments({"target": BOB, "amount": 1})

        def calls(
            engine: Engine = engine,
            host: MemoryHost = host,
            context: Context = context,
            args: bytes = args,
            count: int = count,
        ) -> None:
            for number in range(1000):
                name = f"token{number % count}"
                engine.execute(host, context, name, "transfer", args, GAS, mode=Mode.CALL)
                host.forget()

        points.append((count, best(calls) / 1000 * 1e6))
    return Series("contracts: a call", "us", 0, "found by name", tuple(points))


def certificate_of_validators() -> Series:
    """Checking a certificate of all of so many validators."""
    points = []
    for count in (4, 16, 64, 128):
        keys = sorted(
            (PrivateKey(number.to_bytes(32, "big")) for number in range(1, count + 1)),
            key=lambda key: key.public,
        )
        members = ValidatorSet(tuple(Validator(key.public, 1) for key in keys))
        vote = Vote(VoteKind.FINAL, 0, 1, b"b" * 32)
        message = vote_signing_bytes(CHAIN, vote)
        certificate = Certificate(
            vote=vote,
            signers=tuple(Signer(index, key.sign(message)) for index, key in enumerate(keys)),
        )
        cost_s = best(
            lambda members=members, certificate=certificate: check_certificate(  # type: ignore[misc] # bound
                CHAIN, members, certificate
            )
        )
        points.append((count, cost_s * 1e3))
    return Series("validators: check of a certificate", "ms", 1, "a signature each", tuple(points))


if __name__ == "__main__":
    main()
