"""Validators' drivers against the real contract: honest ones, a liar, one that is away."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from andon.client.sealing import seal
from andon.core.codec import decode_value, encode, encode_value
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.hashing import Domain, digest
from andon.core.package import MAGIC, Golden, Parts
from andon.core.state_key import state_key
from andon.core.transaction import Call
from contracts_py.engine import Context, Mode
from node.attestation_journal import AttestationJournal
from node.drivers.attestations import AttestationDriver, Ports
from tests.unit.andon.core.test_model import MANIFEST
from tests.unit.contracts_py.test_predictions import MODEL, WINDOW, Committee
from tests.unit.contracts_py.world import CAROL


class State:
    """The contract's world as the last final state."""

    def __init__(self, committee: Committee) -> None:
        self.host = committee.world.host

    async def value(self, key: bytes) -> bytes | None:
        return self.host.state.get(key)

    async def entries(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        return self.host.iterate(prefix, after, count_max)


class Worker:
    """Gives 1000 plus its own rounding."""

    def __init__(self, rounding: int) -> None:
        self.rounding = rounding
        self.asked: list[bytes] = []
        self.refuses = False

    def has_model(self, model_id: bytes) -> bool:
        return model_id == MODEL

    async def predict(self, model_id: bytes, windows: list[bytes]) -> list[tuple[int, ...]]:
        if self.refuses:
            raise InvalidInput(Code.BAD_MODEL_INPUT, "not finite")
        self.asked += windows
        return [(1000 + self.rounding,) for _ in windows]


class Network:
    """One driver a member; calls are executed as they are sent, each in a block of its own."""

    def __init__(self, folder: Path, roundings: tuple[int, ...], *, sealed: bool = False) -> None:
        self.committee = Committee(sealed=sealed)
        self.blobs: dict[bytes, bytes] = {}
        self.workers = [Worker(rounding) for rounding in roundings]
        self.sent: list[tuple[bytes, str]] = []
        self.folder = folder
        self.drivers = [self.driver(place) for place in range(len(roundings))]

    def driver(self, place: int, account: bytes = b"") -> AttestationDriver:
        key = account or self.committee.members[place]

        async def send(call: Call) -> None:
            self.sent.append((key, call.method))
            world = self.committee.world
            context = Context(
                chain_id="test", height=world.height, time_ms=0, sender=key,
                transaction_id=bytes(32),
            )  # fmt: skip
            outcome = world.engine.execute(
                world.host, context, call.contract, call.method, call.args, 5_000_000,
                mode=Mode.CALL,
            )  # fmt: skip
            assert outcome.ok, outcome.failure

        async def blob(identity: bytes) -> bytes:
            if identity not in self.blobs:
                raise Unavailable(Code.UNREACHABLE, "nobody has it")
            return self.blobs[identity]

        return AttestationDriver(
            Ports(
                chain_id="test",
                validator_key=key,
                state=State(self.committee),
                worker=self.workers[place],
                journal=AttestationJournal(self.folder / str(place)),
                blob=blob,
                sealing_seed=bytes([place + 1]) * 32,
                height=lambda: self.committee.world.height - 1,
                send=send,
            )
        )

    def kept(self) -> list[Path]:
        return list(self.folder.glob("*/*.commit"))

    async def blocks(self, count: int, *, without: tuple[int, ...] = ()) -> None:
        for _ in range(count):
            for place, driver in enumerate(self.drivers):
                if place not in without:
                    await driver.look()
            self.committee.world.height += 1


async def test_honest_members_settle_a_request(tmp_path: Path) -> None:
    network = Network(tmp_path, (0, 1, 2, 3))
    number = network.committee.ask()
    await network.blocks(2)
    found = network.committee.request(number)
    assert (found["phase"], found["output"]) == ("SETTLED", [1001])
    assert network.workers[0].asked == [WINDOW]
    assert network.kept() != []
    await network.blocks(1)
    assert network.kept() == []
    assert len(network.sent) == 8


async def test_who_sits_in_no_committee_looks_at_blocks_that_tell_of_one(tmp_path: Path) -> None:
    network = Network(tmp_path, (0, 1, 2, 3))
    stranger = network.driver(0, b"s" * 32)
    await stranger.look()
    await network.blocks(1)
    assert [driver.is_engaged for driver in network.drivers] == [True] * 4
    assert not stranger.is_engaged
    network.committee.ask()
    await stranger.look()
    assert stranger.is_engaged


async def test_a_liar_is_outvoted_and_on_record(tmp_path: Path) -> None:
    network = Network(tmp_path, (0, 1, 2, 5000))
    number = network.committee.ask()
    await network.blocks(2)
    found = network.committee.request(number)
    assert (found["phase"], found["output"]) == ("SETTLED", [1001])
    assert found["dissent"] == [network.committee.members[3]]


async def test_a_member_that_is_away_delays_by_two_deadlines_and_stops_nothing(
    tmp_path: Path,
) -> None:
    network = Network(tmp_path, (0, 1, 2, 3))
    number = network.committee.ask()
    await network.blocks(5, without=(3,))
    found = network.committee.request(number)
    assert (found["phase"], found["output"]) == ("SETTLED", [1001])
    record = network.committee.world.value(
        "committees", "record", account=network.committee.members[3]
    )
    assert isinstance(record, dict)
    assert record["absent"] == 1


async def test_a_request_that_nobody_can_answer_expires(tmp_path: Path) -> None:
    network = Network(tmp_path, (0, 1, 2, 3))
    for worker in network.workers:
        worker.refuses = True
    number = network.committee.ask()
    await network.blocks(6)
    assert network.committee.request(number)["phase"] == "EXPIRED"
    assert [method for _, method in network.sent] == ["advance"]


async def test_a_restart_between_commit_and_reveal_reveals_what_was_committed(
    tmp_path: Path,
) -> None:
    network = Network(tmp_path, (0, 1, 2, 3))
    number = network.committee.ask()
    for driver in network.drivers[:3]:
        await driver.look()
    # The machine comes back with another library that rounds in another way.
    network.workers[0].rounding = 40
    network.drivers[0] = network.driver(0)
    await network.blocks(2)
    found = network.committee.request(number)
    assert (found["phase"], found["output"]) == ("SETTLED", [1001])
    assert len(network.workers[0].asked) == 1


async def test_a_member_measures_a_new_committee_once(tmp_path: Path) -> None:
    network = Network(tmp_path, (0, 1, 2, 30))
    world = network.committee.world
    package = world.state("models", "packages", MODEL)
    assert isinstance(package, dict)
    identity = package["blob"]
    assert isinstance(identity, bytes)
    network.blobs[identity] = blob_with_golden()
    network.committee.appoint(sender=CAROL, tolerance=20)
    await network.blocks(2)
    body = world.value("committees", "committee", model_id=MODEL)
    assert isinstance(body, dict)
    # Three have measured 0, 1 and 2: without the top third 1 at most, ten times within 20.
    assert (body["status"], body["divergence"], body["term"]) == ("READY", 1, 2)
    assert [method for _, method in network.sent] == ["measure"] * 3


def blob_with_golden() -> bytes:
    golden = encode(Golden((WINDOW,), ((1000,),)))
    empty = digest(Domain.BLOB, b"")
    manifest = msgspec.structs.replace(
        MANIFEST,
        weights_digest=empty,
        graph_digest=empty,
        quantiser_digest=empty,
        golden_digest=digest(Domain.BLOB, golden),
    )
    return encode(Parts(MAGIC, encode(manifest), b"", b"", b"", golden, ""))


async def test_sealed_inputs_are_read_by_members_alone(tmp_path: Path) -> None:
    network = Network(tmp_path, (0, 1, 2, 3), sealed=True)
    world, members = network.committee.world, network.committee.members
    await network.blocks(1)
    keys = [world.state("committees", "keys", member) for member in members]
    pairs = [(m, k) for m, k in zip(members, keys, strict=True) if isinstance(k, bytes)]
    assert len(pairs) == 4
    envelope, reference = seal(MODEL, WINDOW, pairs)
    network.blobs[digest(Domain.BLOB, envelope)] = envelope
    number = world.value("predictions", "ask", model="float", window=reference)
    assert isinstance(number, int)
    await network.blocks(2)
    found = network.committee.request(number)
    assert (found["phase"], found["input"]) == ("SETTLED", reference[32:])
    assert network.workers[0].asked == [WINDOW]
    assert all(WINDOW not in raw for raw in world.host.state.values())


async def test_a_member_whose_node_key_was_replaced_enrols_the_new_one(tmp_path: Path) -> None:
    network = Network(tmp_path, (0, 1, 2, 3), sealed=True)
    world, member = network.committee.world, network.committee.members[0]
    await network.blocks(1)
    ours = world.state("committees", "keys", member)
    world.host.state[state_key("committees", "keys", member)] = encode_value(b"o" * 32)
    network.drivers[0] = network.driver(0)
    await network.blocks(1)
    assert world.state("committees", "keys", member) == ours != b"o" * 32


async def test_a_sealed_input_that_cannot_be_opened_is_abstained_from(tmp_path: Path) -> None:
    network = Network(tmp_path, (0, 1, 2, 3), sealed=True)
    envelope, reference = seal(MODEL, WINDOW, [(b"x" * 32, bytes([9]) * 32)])
    network.blobs[digest(Domain.BLOB, envelope)] = envelope
    number = network.committee.world.value("predictions", "ask", model="float", window=reference)
    assert isinstance(number, int)
    await network.blocks(6)
    assert network.committee.request(number)["phase"] == "EXPIRED"


async def test_a_call_is_not_sent_again_at_once(tmp_path: Path) -> None:
    network = Network(tmp_path, (0, 1, 2, 3))
    network.committee.ask()
    await network.drivers[0].look()
    network.committee.world.host.state = {
        key: value
        for key, value in network.committee.world.host.state.items()
        if b"commits" not in key
    }
    await network.drivers[0].look()
    assert network.sent == [(network.committee.members[0], "commit")]


@pytest.mark.parametrize("raw", [b"\xc0", b"\x01"])
async def test_state_of_another_shape_is_passed_over(tmp_path: Path, raw: bytes) -> None:
    network = Network(tmp_path, (0, 1, 2, 3))
    number = network.committee.ask()
    host = network.committee.world.host
    place = next(key for key in host.state if b"requests" in key)
    host.state[place] = raw
    assert decode_value(raw) is None or number == 1
    await network.blocks(1)
    assert network.sent == []
