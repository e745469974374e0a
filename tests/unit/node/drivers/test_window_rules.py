"""Inputs of models read off arguments: what was seen, by whom, when the dry run decides again."""

from __future__ import annotations

import pytest

from andon.core.codec import Value
from andon.core.keys import PrivateKey
from andon.core.transaction import (
    Transaction,
    TransactionBody,
    make_call,
    parse_transaction,
    sign_transaction,
)
from node.drivers import window_rules
from node.drivers.window_rules import LEARNT_AFTER, RECHECK_EVERY, Question, WindowRules

ONE, TWO = b"1" * 32, b"2" * 32
ALICE, BOB = PrivateKey(b"a" * 32), PrivateKey(b"b" * 32)


def made(sender: PrivateKey = ALICE, calls: int = 1, **arguments: Value) -> Transaction:
    body = TransactionBody(
        chain_id="rules",
        sender=sender.public,
        nonce=bytes(8),
        expires_height=10,
        gas_limit=1000,
        calls=(make_call("maintenance", "score_many", arguments),) * calls,
    )
    return parse_transaction(sign_transaction(body, sender))


def asked(windows: bytes, size: int = 4, model: bytes = ONE) -> list[Question]:
    return [(model, windows[at : at + size]) for at in range(0, len(windows), size)]


def learnt(times: int = LEARNT_AFTER) -> WindowRules:
    rules = WindowRules()
    for _ in range(times):
        rules.learn(made(windows=b"abcdefgh", count=2), asked(b"abcdefgh"))
    return rules


def test_what_was_seen_twice_is_read_off_the_arguments() -> None:
    assert learnt(LEARNT_AFTER - 1).questions(made(windows=b"12345678", count=2)) is None
    rules = learnt()
    windows = b"123456789abc"
    assert rules.questions(made(windows=windows, count=3)) == asked(windows)


def test_a_rule_belongs_to_its_sender() -> None:
    assert learnt().questions(made(BOB, windows=b"12345678", count=2)) is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"windows": b"12345", "count": 1},
        {"windows": b"", "count": 0},
        {"windows": b"123\x80", "count": 1},
        {"windows": "12345678", "count": 2},
        {"other": b"12345678"},
        {"windows": bytes(4 * (window_rules.WINDOWS_MAX + 1))},
    ],
)
def test_what_does_not_fit_is_left_to_the_dry_run(arguments: dict[str, Value]) -> None:
    assert learnt().questions(made(**arguments)) is None


def test_transactions_of_several_calls_are_left_to_the_dry_run() -> None:
    rules = WindowRules()
    for _ in range(4):
        rules.learn(made(calls=2, windows=b"abcdefgh"), asked(b"abcdefgh"))
    assert len(rules) == 0
    assert learnt().questions(made(calls=2, windows=b"12345678")) is None


@pytest.mark.parametrize(
    "other",
    [
        [],
        asked(b"abcdefgh", model=TWO),
        asked(b"abcdefgh", size=2),
        asked(b"efghabcd"),
        [*asked(b"abcd"), *asked(b"efgh", model=TWO)],
    ],
)
def test_another_sight_ends_a_rule(other: list[Question]) -> None:
    rules = learnt()
    rules.learn(made(windows=b"abcdefgh", count=2), other)
    assert rules.questions(made(windows=b"12345678", count=2)) is None


def test_the_dry_run_decides_again_now_and_then() -> None:
    rules, transaction = learnt(), made(windows=b"12345678", count=2)
    answers = [rules.questions(transaction) for _ in range(2 * RECHECK_EVERY)]
    assert [at for at, found in enumerate(answers, 1) if found is None] == [
        RECHECK_EVERY,
        2 * RECHECK_EVERY,
    ]


def test_two_arguments_that_look_alike_are_no_rule() -> None:
    rules = WindowRules()
    for _ in range(4):
        rules.learn(made(windows=b"abcdefgh", copy=b"abcdefgh"), asked(b"abcdefgh"))
    assert len(rules) == 0


def test_rules_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_rules, "RULES_COUNT_MAX", 2)
    rules = WindowRules()
    for number in range(5):
        rules.learn(made(PrivateKey(bytes([number]) * 32), windows=b"abcd"), asked(b"abcd"))
        assert len(rules) <= 2
