"""The whole way with the real contract language: identity, models, maintenance, two nodes."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from andon.core.attestation import commitment
from andon.core.block import Block, block_hash
from andon.core.codec import Dec, Value, decode_value, encode
from andon.core.errors import Code, InvalidInput
from andon.core.genesis import Genesis, Params, contract_at_genesis
from andon.core.hashing import Domain, digest
from andon.core.keys import PrivateKey
from andon.core.merkle import check_merkle_proof, merkle_proof
from andon.core.model import input_digest
from andon.core.state_key import state_key
from andon.core.transaction import Call, TransactionBody, make_call, sign_transaction
from contracts_py.library import source
from node.drivers.contract_engine import ContractEngine
from node.drivers.execution import ExecutionDriver
from node.drivers.past_views import PastViews
from node.drivers.predictions import PredictionService
from node.drivers.window_rules import LEARNT_AFTER
from node.mempool import Mempool, Verifier
from node.storage import ChainStore
from tests.unit.node.drivers.test_execution import MAP_BYTES, Node, certificate_of, running

CHAIN = "factory"
WINDOW_BYTES = 6
MODEL = digest(Domain.MODEL, b"test")
validators = sorted((PrivateKey(bytes([n]) * 32) for n in range(1, 5)), key=lambda k: k.public)
admin, operator, modeler = (PrivateKey(letter * 32) for letter in (b"a", b"o", b"m"))
_nonces = itertools.count()


def make_genesis() -> Genesis:
    members: list[Value] = [
        {"account": key.public, "org": "plant", "roles": list(roles)}
        for key, roles in (
            (admin, ("admin", "deployer")),
            (operator, ("operator",)),
            (modeler, ("modeler",)),
        )
    ]
    entries: list[Value] = [
        {"key": key.public, "weight": 1, "org": "plant", "address": "", "node_key": key.public}
        for key in validators
    ]
    setup: dict[str, Value] = {
        "organisations": ["plant"],
        "members": members,
        "validators": entries,
        "policy": {},
    }
    return Genesis(
        chain_id=CHAIN,
        time_ms=1_000,
        # A leader builds for an eighth of it: on a busy machine too, all that is offered goes in.
        params=Params(skip_timeout_ms=16_000),
        contracts=(
            contract_at_genesis("identity", source("identity"), setup),
            contract_at_genesis("models", source("models"), {"allow_unsigned": True}),
            contract_at_genesis("committees", source("committees"), {}),
            contract_at_genesis("predictions", source("predictions"), {}),
            contract_at_genesis("scores", source("scores"), {}),
        ),
    )


class RealNode(Node):
    """A node with the real engine."""

    def __init__(self, folder: Path) -> None:
        self.store = ChainStore(folder, MAP_BYTES)
        self.verifier = Verifier()
        self.predictor = SumPredictor()
        self.predictions = PredictionService(self.predictor)
        self.driver = ExecutionDriver(
            genesis=make_genesis(),
            engine=ContractEngine(),
            store=self.store,
            predictions=self.predictions,
            verifier=self.verifier,
        )
        self.views = PastViews(self.store, ContractEngine(), self.predictions)
        self.pool = Mempool(self.driver.admission, self.verifier)
        self.driver.attach(self.pool)
        self.commits = []
        self.driver.subscribe(lambda header, committed: self.commits.append((header, committed)))


class SumPredictor:
    """The model: ten times the sum of the window."""

    async def predict(self, model_id: bytes, windows: list[bytes]) -> list[tuple[int, ...]]:
        assert model_id == MODEL
        return [(10 * sum(window),) for window in windows]


def signed(key: PrivateKey, *calls: Call) -> bytes:
    body = TransactionBody(
        chain_id=CHAIN,
        sender=key.public,
        nonce=next(_nonces).to_bytes(8, "big"),
        expires_height=1_000,
        gas_limit=20_000_000,
        calls=calls,
    )
    return sign_transaction(body, key)


async def commit(leader: Node, *others: Node, raws: list[bytes]) -> Block:
    """Put transactions into one block and make it final on all nodes; all must succeed."""
    for raw in raws:
        await leader.pool.admit(raw)
    block = await leader.build()
    assert len(block.transactions) == len(raws)
    for node in (leader, *others):
        await node.driver.validate(block)
        await node.driver.commit(block_hash(block.header), certificate_of(block))
    return block


def receipts(node: Node) -> list[Value]:
    """Results of the last block's calls; fails on a failed one."""
    found = []
    for receipt in node.commits[-1][1].receipts:
        assert receipt.ok, receipt.failure
        found += [decode_value(result) for result in receipt.results]
    return found


def propose(kind: str = "exact") -> Call:
    return make_call(
        "models",
        "propose",
        {
            "model_id": MODEL,
            "name": "sum",
            "manifest_digest": MODEL,
            "blob": bytes(32),
            "size": 1,
            "input_bytes": WINDOW_BYTES,
            "outputs": 1,
            "scale_num": 1,
            "scale_den": 10,
            "gas": 600,
            "kind": kind,
        },
    )


async def activate(leader: Node, *others: Node) -> None:
    await commit(leader, *others, raws=[signed(modeler, propose())])
    attest = make_call("models", "attest", {"model_id": MODEL, "ok": True})
    await commit(leader, *others, raws=[signed(key, attest) for key in validators[:3]])
    alias = make_call("models", "set_alias", {"alias": "turbofan-rul", "model_id": MODEL})
    args: Value = {"model": "turbofan-rul", "rul_limit": 30, "rul_margin": 3}
    deployment: dict[str, Value] = {
        "name": "maintenance",
        "source": source("maintenance").decode(),
        "args": args,
    }
    deploy = make_call("contracts", "deploy", deployment)
    await commit(leader, *others, raws=[signed(modeler, alias), signed(admin, deploy)])
    receipts(leader)


def assess(machine: str, window: bytes) -> Call:
    return make_call("maintenance", "assess", {"machine": machine, "window": window})


async def test_from_genesis_to_an_alert_that_two_nodes_agree_on(tmp_path: Path) -> None:
    leader, follower = RealNode(tmp_path / "a"), RealNode(tmp_path / "b")
    async with running(leader, follower):
        await activate(leader, follower)
        healthy, worn = bytes([20] * WINDOW_BYTES), bytes([2] * WINDOW_BYTES)
        block = await commit(
            leader,
            follower,
            raws=[
                signed(operator, assess("press", healthy)),
                signed(operator, assess("saw", worn)),
            ],
        )
        first, second = receipts(leader)
        assert isinstance(first, dict)
        assert isinstance(second, dict)
        assert (first["rul"], first["state"]) == (Dec(120 * 10**18), "HEALTHY")
        assert (second["rul"], second["state"]) == (Dec(12 * 10**18), "WORN")
        names = [event.name for event in follower.commits[-1][1].receipts[1].events]
        assert names == ["WorkOrder", "Alert", "Assessed"]
        assert [item.output for item in follower.commits[-1][1].predictions] == [(1200,), (120,)]
        assert follower.driver.head() == block.header
        raw = follower.driver.queries.state(state_key("maintenance", "machines", "saw")).value
        assert raw is not None
        view = make_call("maintenance", "status", {"machine": "saw"})
        _, outcome = await follower.views.view(None, view, bytes(32))
        assert outcome.result == raw


async def test_a_node_rehearses_an_upgrade_on_its_final_state_and_keeps_nothing(
    tmp_path: Path,
) -> None:
    leader, follower = RealNode(tmp_path / "a"), RealNode(tmp_path / "b")
    text = "total = Var(int, default=5)\n\n@export\ndef add():\n    total.set(total.get() + 1)\n"
    moving = text + "\n@migrate\ndef move():\n    total.set(total.get() * 10)\n"
    deploy = make_call("contracts", "deploy", {"name": "counter", "source": text, "args": {}})
    upgrade = make_call("contracts", "upgrade", {"name": "counter", "source": moving})
    async with running(leader, follower):
        await commit(leader, follower, raws=[signed(admin, deploy)])
        await commit(leader, follower, raws=[signed(operator, make_call("counter", "add", {}))])
        receipts(leader)
        height, outcome = await follower.views.view(None, upgrade, admin.public)
        assert (height, outcome.failure) == (2, None)
        found = decode_value(outcome.result)
        assert isinstance(found, dict)
        assert (found["version"], found["written"]) == (2, [["counter", "total", None]])
        assert follower.driver.queries.state(state_key("counter", "total")).value == b"\x06"
        _, outcome = await follower.views.view(None, upgrade, bytes(32))
        assert outcome.failure is not None
        assert outcome.failure.code == "E_ROLE"
        await commit(leader, follower, raws=[signed(admin, upgrade)])
        assert follower.driver.queries.state(state_key("counter", "total")).value == b"\x3c"


async def test_an_attested_prediction_is_a_record_of_the_block_that_settles_it(
    tmp_path: Path,
) -> None:
    leader, follower = RealNode(tmp_path / "a"), RealNode(tmp_path / "b")
    window, members = bytes([3] * WINDOW_BYTES), [key.public for key in validators]

    def call(method: str, **args: Value) -> Call:
        contract = "committees" if method in ("appoint", "measure") else "predictions"
        return make_call(contract, method, args)

    async def by_all(*calls: Call) -> None:
        raws = [signed(key, item) for key, item in zip(validators, calls, strict=True)]
        await commit(leader, follower, raws=raws)
        receipts(leader)

    async with running(leader, follower):
        attest = make_call("models", "attest", {"model_id": MODEL, "ok": True})
        appoint = call(
            "appoint", model_id=MODEL, members=list(members), tolerance=10, patience=9, sealed=False
        )
        await commit(leader, follower, raws=[signed(modeler, propose("attested"))])
        await by_all(*[attest] * 4)
        await commit(leader, follower, raws=[signed(modeler, appoint)])
        await by_all(*[call("measure", model_id=MODEL, term=1, divergence=0)] * 4)
        ask = call("ask", model=MODEL.hex(), window=window)
        await commit(leader, follower, raws=[signed(operator, ask)])
        assert receipts(leader) == [1]
        outputs = {key: (700 + place,) for place, key in enumerate(members)}
        digests = [commitment(CHAIN, 1, MODEL, key, key, output) for key, output in outputs.items()]
        await by_all(*[call("commit", number=1, digest=digest) for digest in digests])
        reveals = [
            call("reveal", number=1, salt=key, output=[*output]) for key, output in outputs.items()
        ]
        await by_all(*reveals)
        (record,) = follower.commits[-1][1].predictions
        assert (record.kind, record.output, record.contract) == ("attested", (701,), "")
        assert record.input_digest == input_digest(MODEL, window)
        index, read = follower.driver.queries.prediction(record.id)
        assert read.predictions[index] == record
        proof = merkle_proof([encode(item) for item in read.predictions], index)
        check_merkle_proof(read.final.block.header.predictions_root, encode(record), proof)


async def test_many_predictions_in_one_call_are_one_batch(tmp_path: Path) -> None:
    leader, follower = RealNode(tmp_path / "a"), RealNode(tmp_path / "b")
    async with running(leader, follower):
        await activate(leader, follower)
        windows = b"".join(bytes([n] * WINDOW_BYTES) for n in range(64))
        names: Value = [f"m{n}" for n in range(64)]
        call = make_call("maintenance", "assess_many", {"machines": names, "windows": windows})
        block = await commit(leader, follower, raws=[signed(operator, call)])
        (states,) = receipts(follower)
        assert isinstance(states, list)
        assert states.count("WORN") == 5
        assert len(block.predictions) == 64


async def test_a_sender_that_repeats_itself_is_asked_for_without_a_dry_run(tmp_path: Path) -> None:
    leader, follower = RealNode(tmp_path / "a"), RealNode(tmp_path / "b")

    def score(count: int, first: int, parts: int = 0) -> bytes:
        windows = b"".join(bytes([first + n] * WINDOW_BYTES) for n in range(count))
        arguments: dict[str, Value] = {"windows": windows, "count": parts or count}
        return signed(operator, make_call("maintenance", "score_many", arguments))

    async with running(leader, follower):
        await activate(leader, follower)
        for turn in range(2 * LEARNT_AFTER):
            count = 2 + turn
            await commit(leader, follower, raws=[score(count, 3 * turn)])
            (found,) = receipts(follower)
            assert found == [Dec(6 * (3 * turn + n) * 10**18) for n in range(count)], (
                "ten times the sum, by the scale of the model"
            )
        # Two inputs as one: the guess is wrong, the outcome is the contract's.
        await commit(leader, follower, raws=[score(2, 1, parts=1)])
        failure = follower.commits[-1][1].receipts[0].failure
        assert failure is not None
        assert failure.code == "E_MODEL_INPUT"
        await commit(leader, follower, raws=[score(3, 50)])
        assert len(follower.commits[-1][1].predictions) == 3


async def test_roles_and_contract_errors_reach_the_receipt(tmp_path: Path) -> None:
    node = RealNode(tmp_path)
    async with running(node):
        await activate(node)
        short = assess("press", b"abc")
        await commit(
            node,
            raws=[
                signed(modeler, assess("press", bytes(WINDOW_BYTES))),
                signed(operator, short),
                signed(operator, make_call("maintenance", "nothing", {})),
                signed(operator, make_call("nowhere", "nothing", {})),
            ],
        )
        failures = [receipt.failure for receipt in node.commits[-1][1].receipts]
        codes = [failure and failure.code for failure in failures]
        assert codes == ["E_ACCESS", "E_MODEL_INPUT", "E_NO_FUNC", "E_NO_CONTRACT"]
        assert failures[1] is not None
        assert failures[1].line > 0
        with pytest.raises(InvalidInput) as caught:
            await node.pool.admit(signed(PrivateKey(b"x" * 32), short))
        assert caught.value.code is Code.NOT_A_MEMBER


async def test_a_restart_gives_the_same_state(tmp_path: Path) -> None:
    node = RealNode(tmp_path)
    async with running(node):
        await activate(node)
        header = node.driver.head()
        await asyncio.sleep(0)
    node = RealNode(tmp_path)
    async with running(node):
        assert node.driver.head() == header
        await commit(node, raws=[signed(operator, assess("press", bytes(WINDOW_BYTES)))])
        receipts(node)
