"""Mutated sources: whatever becomes of them, the engine refuses, fails or answers; never breaks.

ANDON_MUTANTS sets how many are made. Every mutant runs twice, on a warm and on a fresh engine, and
must end the same to the byte.
"""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

from andon.core.codec import Value, encode_arguments
from contracts_py.engine import Context, ContractRefused, Engine, Mode, Outcome
from contracts_py.engine.memory_host import MemoryHost
from contracts_py.library import names, source
from tests.hostile.runner import payloads

HERE = Path(__file__).resolve().parent
MUTANTS = int(os.environ.get("ANDON_MUTANTS", "400"))
GAS_LIMIT = 300_000
TOKEN = re.compile(r"\n *|[A-Za-z_0-9]+|\"[^\"\n]*\"|'[^'\n]*'|[^\sA-Za-z_0-9]| +")
CONTEXT = Context(chain_id="test", height=1, time_ms=1, sender=b"a" * 32, transaction_id=b"t" * 32)
CALLS: tuple[dict[str, Value], ...] = (
    {"a": 1}, {}, {"n": 3}, {"machine": "m", "window": b"x"}, {"account": b"a" * 32}, {"number": 1},
)  # fmt: skip


def seeds() -> list[str]:
    """Sources that deploy: the library, and payloads that end at run time."""
    found = [source(name).decode() for name in names()]
    engine = Engine()
    for path in (HERE / "corpus.txt", HERE / "own.txt"):
        for payload in payloads(path):
            try:
                engine.check(payload.source())
            except ContractRefused:
                continue
            found.append(payload.source().decode())
    return found


def mutate(text: str, pool: list[str], chance: random.Random) -> str:
    """Replace, drop, double or swap one to four tokens."""
    tokens = TOKEN.findall(text)
    for _ in range(chance.randint(1, 4)):
        place, other = chance.randrange(len(tokens)), chance.randrange(len(tokens))
        match chance.randrange(4):
            case 0:
                tokens[place] = chance.choice(pool)
            case 1:
                tokens[place] = ""
            case 2:
                tokens[place] *= 2
            case _:
                tokens[place], tokens[other] = tokens[other], tokens[place]
    return "".join(tokens)


def outcomes(engine: Engine, text: str) -> list[str | Outcome]:
    """What checking and calling every method gives."""
    try:
        contract = engine.check(text.encode())
    except ContractRefused as refusal:
        return [f"{refusal.rule} {refusal.line} {refusal.column} {refusal.message}"]
    host = MemoryHost()
    host.sources["c"] = text.encode()
    host.roles[b"a" * 32] = ("operator", "admin", "modeler", "validator")
    found: list[str | Outcome] = []
    for method in contract.methods:
        for args in CALLS:
            encoded = encode_arguments(args)
            found.append(
                engine.execute(host, CONTEXT, "c", method, encoded, GAS_LIMIT, mode=Mode.CALL)
            )
    return found


def test_mutants_are_refused_fail_or_answer_the_same_twice() -> None:
    chance = random.Random(20_261_123)
    originals = seeds()
    pool = sorted({token for text in originals for token in TOKEN.findall(text)})
    warm = Engine()
    deployed = failed = 0
    for _ in range(MUTANTS):
        text = mutate(chance.choice(originals), pool, chance)
        first = outcomes(warm, text)
        assert outcomes(Engine(), text) == first
        ran = [outcome for outcome in first if isinstance(outcome, Outcome)]
        deployed += bool(ran)
        failed += any(not outcome.ok for outcome in ran)
    # The mutants must reach the compiler and the run time, or this test shows nothing.
    assert deployed > MUTANTS // 20
    assert failed > 0
