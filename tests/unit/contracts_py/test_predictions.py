"""Contracts `predictions` and `committees`: every attack on them that we know."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest

from andon.core.attestation import commitment, parse_request
from andon.core.codec import Dec, Value
from andon.core.model import input_digest
from contracts_py.engine import Engine
from contracts_py.library import source
from tests.unit.contracts_py.test_library import network, validator
from tests.unit.contracts_py.world import ALICE, BOB, CAROL

MODEL = b"\x0a" * 32
UNIT = 10**18
WINDOW = bytes(range(8))
ASKER = """
heard = Var(list)
@init
def setup():
    heard.set([])
@export
def ask_for(window: bytes) -> int:
    return request("float", window, "on_answer")
@export
def on_answer(number: int, answer: dict):
    assert ctx.caller == "predictions", "only the standard contract answers"
    row = [number, answer["status"], answer["value"], answer["margin"], ctx.height]
    heard.set(heard.get() + [row])
@export
def on_trouble(number: int, answer: dict):
    revert("no")
@export
def ask_in_vain(window: bytes) -> int:
    return request("float", window, "on_trouble")
@export
def burn(number: int, answer: dict):
    while True:
        heard.set([])
@export
def ask_to_burn(window: bytes) -> int:
    return request("float", window, "burn")
@export
def again(number: int, answer: dict):
    heard.set(heard.get() + [request("float", b"12345678", "on_answer")])
@export
def ask_again(window: bytes) -> int:
    return request("float", window, "again")
"""


def key(number: int) -> bytes:
    return hashlib.sha256(b"validator %d" % number).digest()


class Committee:
    """A chain with an attested model, a committee and a contract that asks."""

    def __init__(
        self,
        weights: tuple[int, ...] = (1, 1, 1, 1),
        *,
        outputs: int = 1,
        tolerance: int = 50,
        sealed: bool = False,
        divergences: tuple[int, ...] | None = None,
    ) -> None:
        self.world = network()
        self.members = sorted(key(number) for number in range(len(weights)))
        self.weights = dict(zip(self.members, weights, strict=True))
        entries: list[Value] = [validator(k, w) for k, w in self.weights.items()]
        self._replace_validators(entries)
        self.world.put("committees", source("committees"))
        self.world.put("predictions", source("predictions")).put("asker", ASKER)
        self.world.value(
            "models", "propose", sender=CAROL, model_id=MODEL, name="float", kind="attested",
            manifest_digest=bytes(32), blob=bytes(32), size=1, input_bytes=8, outputs=outputs,
            scale_num=1, scale_den=1000, gas=10,
        )  # fmt: skip
        for member in self.members:
            self.world.value("models", "attest", sender=member, model_id=MODEL, ok=True)
        self.world.value("models", "set_alias", sender=CAROL, alias="float", model_id=MODEL)
        self.appoint(tolerance=tolerance, sealed=sealed)
        for member, divergence in zip(self.members, divergences or (1,) * 99, strict=False):
            self.world.value(
                "committees", "measure", sender=member, model_id=MODEL, term=1,
                divergence=divergence,
            )  # fmt: skip

    def _replace_validators(self, entries: list[Value]) -> None:
        setup: dict[str, Value] = {
            "organisations": ["org-1", "org-2", "org-3"], "members": [], "validators": entries,
            "policy": {},
        }  # fmt: skip
        self.world.put("identity", source("identity"), **setup)
        for member in self.members:
            self.world.host.roles[member] = ("validator",)

    def appoint(self, *, sender: bytes = CAROL, **changes: Value) -> None:
        arguments: dict[str, Value] = {
            "model_id": MODEL, "members": list(self.members), "tolerance": 50, "patience": 3,
            "sealed": False,
        }  # fmt: skip
        self.world.value("committees", "appoint", sender=sender, **{**arguments, **changes})

    def ask(self, method: str = "ask_for") -> int:
        number = self.world.value("asker", method, window=WINDOW)
        assert isinstance(number, int)
        return number

    def digest(self, member: bytes, number: int, output: tuple[int, ...]) -> bytes:
        return commitment("test", number, MODEL, member, salt(member), output)

    def commit(self, member: bytes, number: int, *output: int) -> None:
        digest = self.digest(member, number, output)
        self.world.value("predictions", "commit", sender=member, number=number, digest=digest)

    def reveal(self, member: bytes, number: int, *output: int) -> None:
        arguments: dict[str, Value] = {"salt": salt(member), "output": list(output)}
        self.world.value("predictions", "reveal", sender=member, number=number, **arguments)

    def ballot(self, number: int, values: dict[bytes, tuple[int, ...]]) -> None:
        for member, output in values.items():
            self.commit(member, number, *output)
        if len(values) < len(self.members):
            self.world.height += 4
        for member, output in values.items():
            self.reveal(member, number, *output)

    def request(self, number: int) -> dict[str, Value]:
        found = self.world.value("predictions", "status", number=number)
        assert isinstance(found, dict)
        return {str(name): item for name, item in found.items()}

    def heard(self) -> Value:
        return self.world.state("asker", "heard")

    def refused(self, method: str, sender: bytes, /, **args: Value) -> str:
        outcome = self.world.run("predictions", method, sender=sender, **args)
        assert outcome.failure is not None
        return outcome.failure.message


def salt(member: bytes) -> bytes:
    return hashlib.sha256(b"salt" + member).digest()


def equal(committee: Committee, *values: int) -> dict[bytes, tuple[int, ...]]:
    return {m: (v,) for m, v in zip(committee.members, values, strict=False)}


def test_the_median_settles_in_the_block_of_the_last_reveal_and_the_callback_runs_in_it() -> None:
    committee = Committee()
    number = committee.ask()
    committee.ballot(number, equal(committee, 1000, 1010, 1020, 1030))
    found = committee.request(number)
    assert (found["phase"], found["output"]) == ("SETTLED", [1010])
    assert (found["low"], found["high"]) == ([1010], [1020])
    answer = [number, "SETTLED", Dec(UNIT * 101 // 100), Dec(UNIT // 20), committee.world.height]
    assert committee.heard() == [answer]
    assert found["input"] == input_digest(MODEL, WINDOW)
    assert committee.world.state("predictions", "open", number) is None
    assert committee.world.state("predictions", "windows", number) is None
    names = [name for name, _ in committee.world.events()]
    assert "Settled" in names
    assert "CalledBack" in names


def test_an_account_may_ask_without_a_contract() -> None:
    committee = Committee()
    number = committee.world.value("predictions", "ask", model="float", window=WINDOW)
    assert isinstance(number, int)
    committee.ballot(number, equal(committee, 7, 7, 7, 7))
    assert committee.request(number)["output"] == [7]
    assert committee.request(number)["contract"] == ""


def test_the_relative_tolerance_grows_with_the_output() -> None:
    committee = Committee()
    committee.appoint(relative=20_000)  # two percent beside 50 units
    for member in committee.members:
        committee.world.value(
            "committees", "measure", sender=member, model_id=MODEL, term=2, divergence=1
        )
    number = committee.ask()
    committee.ballot(number, equal(committee, 0, 10_000, 10_250, 10_251))
    assert committee.request(number)["phase"] == "SETTLED"
    assert committee.request(number)["dissent"] == [committee.members[0], committee.members[3]]
    small = committee.ask()
    committee.ballot(small, equal(committee, 0, 1000, 1071, 1090))
    assert committee.request(small)["phase"] == "DISPUTED"


def test_decided_requests_beyond_the_kept_ones_leave_the_state() -> None:
    committee = Committee()
    text = source("predictions").replace(b"KEPT_MAX = 256", b"KEPT_MAX = 2")
    committee.world.put("predictions", text)
    numbers = []
    for _ in range(4):
        numbers.append(committee.ask())
        committee.ballot(numbers[-1], equal(committee, 7, 7, 7, 7))
    for number in numbers[:2]:
        assert committee.world.value("predictions", "status", number=number) is None
        for member in committee.members:
            assert committee.world.state("predictions", "commits", (number, member)) is None
            assert committee.world.state("predictions", "reveals", (number, member)) is None
    assert [committee.request(number)["output"] for number in numbers[2:]] == [[7], [7]]
    assert committee.world.state("predictions", "decided", 2) is None
    assert committee.world.state("predictions", "decided", 1) == numbers[3]


def test_a_copied_commitment_cannot_be_revealed_by_another_validator() -> None:
    committee = Committee()
    honest, copier = committee.members[:2]
    number = committee.ask()
    committee.commit(honest, number, 1000)
    copied = committee.digest(honest, number, (1000,))
    committee.world.value("predictions", "commit", sender=copier, number=number, digest=copied)
    for member in committee.members[2:]:
        committee.commit(member, number, 1000)
    committee.reveal(honest, number, 1000)
    message = committee.refused("reveal", copier, number=number, salt=salt(honest), output=[1000])
    assert "not what the commitment says" in message


def test_a_commitment_binds_chain_request_model_and_output() -> None:
    base = commitment("a", 1, MODEL, key(0), bytes(32), (5,))
    others = [
        commitment("b", 1, MODEL, key(0), bytes(32), (5,)),
        commitment("a", 2, MODEL, key(0), bytes(32), (5,)),
        commitment("a", 1, b"\x0b" * 32, key(0), bytes(32), (5,)),
        commitment("a", 1, MODEL, key(1), bytes(32), (5,)),
        commitment("a", 1, MODEL, key(0), b"\x01" * 32, (5,)),
        commitment("a", 1, MODEL, key(0), bytes(32), (6,)),
    ]
    assert len({base, *others}) == 7


def test_who_did_not_commit_before_the_first_reveal_comes_too_late() -> None:
    committee = Committee()
    number = committee.ask()
    for member in committee.members[:3]:
        committee.commit(member, number, 1000)
    late = committee.members[3]
    committee.world.height += 4
    committee.reveal(committee.members[0], number, 1000)
    digest = committee.digest(late, number, (1000,))
    assert "closed" in committee.refused("commit", late, number=number, digest=digest)
    message = committee.refused("reveal", late, number=number, salt=salt(late), output=[1000])
    assert "did not commit" in message


def test_nothing_is_revealed_while_commitments_are_open() -> None:
    committee = Committee()
    number = committee.ask()
    first = committee.members[0]
    committee.commit(first, number, 1000)
    message = committee.refused("reveal", first, number=number, salt=salt(first), output=[1000])
    assert "not the time" in message


def test_duplicate_attestations_count_once() -> None:
    committee = Committee()
    number = committee.ask()
    first = committee.members[0]
    committee.commit(first, number, 1000)
    digest = committee.digest(first, number, (1000,))
    assert "committed already" in committee.refused("commit", first, number=number, digest=digest)
    assert committee.request(number)["committed"] == 1
    for member in committee.members[1:]:
        committee.commit(member, number, 1000)
    committee.reveal(first, number, 1000)
    message = committee.refused("reveal", first, number=number, salt=salt(first), output=[1000])
    assert "revealed already" in message
    assert committee.request(number)["revealed"] == 1


def test_weights_are_those_of_the_chain_and_frozen_when_it_is_asked() -> None:
    committee = Committee((1, 1, 1, 7))
    number = committee.ask()
    light = committee.members[:3]
    for member in light:
        committee.commit(member, number, 1000)
    outsider = key(99)
    digest = committee.digest(outsider, number, (1,))
    assert "only a validator" in committee.refused("commit", outsider, number=number, digest=digest)
    # Three of four members, but three of ten units of weight: no quorum, whatever they claim.
    committee.world.height += 4
    committee.world.value("predictions", "advance", number=number)
    assert committee.request(number)["phase"] == "EXPIRED"


def test_a_validator_that_lost_its_vote_attests_no_more() -> None:
    committee = Committee()
    number = committee.ask()
    jailed = committee.members[0]
    committee.world.host.roles[jailed] = ()
    digest = committee.digest(jailed, number, (1,))
    message = committee.refused("commit", jailed, number=number, digest=digest)
    assert "only a validator" in message


@pytest.mark.parametrize("lie", [-(10**9), 0, 1050, 10**9])
def test_one_liar_of_four_neither_moves_the_value_out_of_the_honest_range_nor_disputes_it(
    lie: int,
) -> None:
    committee = Committee()
    number = committee.ask()
    committee.ballot(number, equal(committee, lie, 1000, 1010, 1020))
    found = committee.request(number)
    assert found["phase"] == "SETTLED"
    output = found["output"]
    assert isinstance(output, list)
    assert isinstance(output[0], int)
    assert 1000 <= output[0] <= 1020


def test_a_liar_is_on_record_and_the_honest_are_not() -> None:
    committee = Committee()
    number = committee.ask()
    committee.ballot(number, equal(committee, 9999, 1000, 1000, 1010))
    found = committee.request(number)
    liar, honest = committee.members[:2]
    assert found["dissent"] == [liar]
    record = committee.world.value("committees", "record", account=liar)
    assert record == {"agreed": 0, "dissented": 1, "withheld": 0, "absent": 0}
    record = committee.world.value("committees", "record", account=honest)
    assert record == {"agreed": 1, "dissented": 0, "withheld": 0, "absent": 0}
    assert ("Dissented", {"number": number, "validator": liar, "output": [9999]}) in (
        committee.world.events()
    )


def test_a_trimmed_spread_just_beyond_the_tolerance_is_disputed_and_just_within_is_not() -> None:
    for spread, phase in ((50, "SETTLED"), (51, "DISPUTED")):
        committee = Committee(tolerance=50)
        number = committee.ask()
        committee.ballot(number, equal(committee, 0, 1000, 1000 + spread, 5000))
        found = committee.request(number)
        assert found["phase"] == phase
        assert (found["low"], found["high"]) == ([1000], [1000 + spread])


def test_a_dispute_has_no_value_blames_nobody_and_tells_the_contract() -> None:
    committee = Committee()
    number = committee.ask()
    committee.ballot(number, equal(committee, 0, 1000, 2000, 3000))
    found = committee.request(number)
    assert (found["phase"], found["output"], found["dissent"]) == ("DISPUTED", None, [])
    assert committee.heard() == [
        [number, "DISPUTED", None, Dec(UNIT // 20), committee.world.height]
    ]
    assert committee.world.value("committees", "record", account=committee.members[0]) is None


def test_who_withholds_after_reading_the_others_shifts_nothing_out_of_range_and_is_on_record() -> (
    None
):
    committee = Committee()
    number = committee.ask()
    values = equal(committee, 1000, 1010, 1020, 1030)
    for member, output in values.items():
        committee.commit(member, number, *output)
    for member, output in list(values.items())[:3]:
        committee.reveal(member, number, *output)
    assert "not passed" in committee.refused("advance", ALICE, number=number)
    committee.world.height += 4
    committee.world.value("predictions", "advance", number=number)
    assert committee.request(number)["output"] == [1010]
    record = committee.world.value("committees", "record", account=committee.members[3])
    assert record == {"agreed": 0, "dissented": 0, "withheld": 1, "absent": 0}


def test_too_few_reveals_expire() -> None:
    committee = Committee()
    number = committee.ask()
    for member in committee.members:
        committee.commit(member, number, 1000)
    for member in committee.members[:2]:
        committee.reveal(member, number, 1000)
    committee.world.height += 4
    committee.world.value("predictions", "advance", number=number)
    assert committee.request(number)["phase"] == "EXPIRED"
    assert "decided" in committee.refused("advance", ALICE, number=number)


def test_a_callback_that_fails_or_burns_undoes_nothing() -> None:
    for method, code in (("ask_in_vain", "E_REVERT"), ("ask_to_burn", "E_OOG")):
        committee = Committee()
        number = committee.ask(method)
        committee.ballot(number, equal(committee, 1000, 1000, 1000, 1000))
        assert committee.request(number)["phase"] == "SETTLED"
        fields = {"number": number, "contract": "asker", "ok": False, "code": code}
        assert ("CalledBack", fields) in committee.world.events()


def test_the_last_revealer_cannot_starve_the_callback() -> None:
    committee = Committee()
    number = committee.ask()
    for member in committee.members:
        committee.commit(member, number, 1000)
    for member in committee.members[:3]:
        committee.reveal(member, number, 1000)
    last = committee.members[3]
    arguments: dict[str, Value] = {"number": number, "salt": salt(last), "output": [1000]}
    outcome = committee.world.run(
        "predictions", "reveal", sender=last, limit=1_000_000, **arguments
    )
    assert outcome.failure is not None
    assert "more gas" in outcome.failure.message
    committee.reveal(last, number, 1000)
    assert committee.request(number)["phase"] == "SETTLED"
    assert committee.heard() != []


def test_only_the_standard_contract_may_answer() -> None:
    committee = Committee()
    answer: Value = {"status": "SETTLED", "value": Dec(0), "margin": Dec(0)}
    code = committee.world.code("asker", "on_answer", number=1, answer=answer)
    assert code == "E_ASSERT"


def test_a_callback_may_ask_again() -> None:
    committee = Committee()
    number = committee.ask("ask_again")
    committee.ballot(number, equal(committee, 1, 1, 1, 1))
    assert committee.heard() == [number + 1]
    assert committee.request(number + 1)["phase"] == "COMMIT"
    body = committee.world.value("committees", "committee", model_id=MODEL)
    assert isinstance(body, dict)
    assert body["open"] == 1


def test_the_tolerance_is_ten_times_what_the_committee_measured_without_its_liars() -> None:
    for divergences, status in (
        ((5, 5, 5, 10**6), "READY"),
        ((5, 5, 5), "READY"),
        ((5, 6, 10**6, 6), "REFUSED"),
    ):
        committee = Committee(tolerance=50, divergences=divergences)
        body = committee.world.value("committees", "committee", model_id=MODEL)
        assert isinstance(body, dict)
        assert body["status"] == status, divergences
    with pytest.raises(AssertionError, match="not ready"):
        committee.ask()


def test_a_committee_is_refused_that_could_not_work() -> None:
    committee = Committee()
    ascending = committee.members
    for changes, reason in (
        ({"members": []}, "1 to 32"),
        ({"members": ascending[::-1]}, "ascend"),
        ({"members": [ascending[0]] * 2}, "ascend"),
        ({"members": [ALICE]}, "validators"),
        ({"tolerance": 9}, "ten units"),
        ({"patience": 0}, "patience"),
        ({"model_id": bytes(32)}, "no attested model"),
    ):
        with pytest.raises(AssertionError, match=reason):
            committee.appoint(**changes)  # type: ignore[arg-type] # a table of bad arguments


def test_open_requests_of_a_model_are_bounded_and_free_their_place() -> None:
    committee = Committee()
    numbers = [committee.ask() for _ in range(64)]
    assert all(b == a + 1 for a, b in pairwise(numbers))
    assert committee.world.code("asker", "ask_for", window=WINDOW) == "E_ASSERT"
    committee.ballot(numbers[0], equal(committee, 1, 1, 1, 1))
    committee.ask()


def test_exact_models_inputs_of_another_size_and_unknown_names_are_refused() -> None:
    committee = Committee()
    assert "another size" in committee.refused("ask", ALICE, model="float", window=b"x")
    assert "known" in committee.refused("ask", ALICE, model="nobody", window=WINDOW)
    assert committee.request(committee.ask())["phase"] == "COMMIT"


def test_a_sealed_request_names_its_envelope_and_the_commitment_to_its_input() -> None:
    committee = Committee(sealed=True)
    assert "another size" in committee.refused("ask", ALICE, model="float", window=WINDOW)
    reference = b"e" * 32 + b"c" * 32
    number = committee.world.value("predictions", "ask", model="float", window=reference)
    assert isinstance(number, int)
    assert committee.request(number)["input"] == b"c" * 32


def test_weighted_medians_of_the_largest_committee_fit_into_one_call() -> None:
    committee = Committee((3,) * 32, outputs=16, tolerance=1000)
    number = committee.ask()
    values = {m: tuple(range(k, k + 16)) for k, m in enumerate(committee.members)}
    committee.ballot(number, values)
    assert committee.request(number)["output"] == list(range(15, 31))


def test_the_node_reads_requests_as_the_contract_keeps_them() -> None:
    committee = Committee()
    number = committee.ask()
    raw = committee.world.state("predictions", "requests", number)
    request = parse_request(number, raw)
    assert request is not None
    assert (request.phase, request.deadline, request.outputs) == ("COMMIT", 8, 1)
    assert [member for member, _ in request.members] == committee.members
    assert parse_request(number, {"phase": "COMMIT"}) is None


def test_the_contract_is_in_the_language() -> None:
    assert "ask" in Engine().check(source("predictions")).methods


def test_a_private_input_is_asked_for_by_its_owner_and_the_answer_is_kept() -> None:
    committee = Committee(sealed=True)
    world = committee.world
    world.put("private", source("private"))
    for account, org in ((ALICE, "org-1"), (BOB, "org-2")):
        world.host.roles[account], world.host.organisations[account] = ("operator",), org
    world.value(
        "private", "store", payload=b"p" * 32, commitment=b"c" * 32, size=9, readers=[],
        keepers=[b"k" * 32],
    )  # fmt: skip
    ask: dict[str, Value] = {"payload": b"p" * 32, "model": "float", "purpose": "claim 7"}
    assert world.code("private", "ask", sender=BOB, **ask) == "E_ASSERT"
    assert world.code("private", "ask", **ask | {"purpose": ""}) == "E_ASSERT"
    number = world.value("private", "ask", **ask)
    assert isinstance(number, int)
    assert committee.request(number)["input"] == b"c" * 32
    forged: dict[str, Value] = {"number": number, "answer": {"status": "SETTLED"}}
    assert world.code("private", "answered", **forged) == "E_ASSERT"
    committee.ballot(number, equal(committee, 1000, 1000, 1000, 1000))
    found = world.value("private", "answer_of", number=number)
    assert isinstance(found, dict)
    assert (found["status"], found["outputs"]) == ("SETTLED", [Dec(UNIT)])
    assert (found["org"], found["purpose"]) == ("org-1", "claim 7")
    names = [name for name, _ in world.events()]
    assert "Asked" in names
    assert "Answered" in names
