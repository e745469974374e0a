"""Attested predictions of real workers in real processes, one of which lies."""

import asyncio
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from andon.client import AsyncClient
from andon.client.attested import Attested
from andon.client.models import Models
from andon.client.private import Private
from andon.core.codec import Dec, Value
from andon.core.errors import InvalidInput
from andon.core.json_value import from_hex
from andon.core.model import ModelManifest, input_digest
from node.testing.local_net import LocalNet
from node.testing.pytest_plugin import OpenNet

pytestmark = pytest.mark.integration

LIAR = "node-4"
SCALE = 10**6
ASKER = """
heard = Map(key=int, value=dict)
@export(role="operator")
def assess(window: bytes) -> int:
    return request("wear", window, "on_answer")
@export
def on_answer(number: int, answer: dict):
    assert ctx.caller == "predictions", "only the standard contract answers"
    state = "UNKNOWN"
    if answer["status"] == "SETTLED":
        state = decide(answer["value"], dec("0.1"), answer["margin"])
    heard[number] = {"status": answer["status"], "value": answer["value"], "state": state}
"""


def model(x: jnp.ndarray) -> jnp.ndarray:
    """Float layers with rounding of their own: f32[1, 6, 2] to f32[1, 1]."""
    hidden = jnp.tanh(x.reshape(1, 12) @ jnp.linspace(-1, 1, 48).reshape(12, 4))
    return jnp.exp(-hidden).mean(axis=1, keepdims=True)


def blob() -> tuple[bytes, ModelManifest]:
    from models.attested.package import build_float_package
    from models.package import Description
    from models.quantiser import linear_quantiser

    samples = np.random.default_rng(5).integers(-127, 128, (12, 6, 2)).astype(np.int8)
    package = build_float_package(
        Description(
            name="wear", version="1", task="rul", scale_num=1, scale_den=SCALE, kind="attested"
        ),
        model,
        linear_quantiser(("a", "b"), np.zeros(2), np.ones(2)),
        samples,
    )
    return package.to_blob(), package.manifest


async def publish(net: LocalNet, client: AsyncClient, *, is_sealed: bool = False) -> bytes:
    data, manifest = await asyncio.to_thread(blob)
    registry = Models(client, net.key("org-1-modeler"))
    identity = await registry.publish(data, manifest)
    await registry.wait_active(identity, 120)
    await registry.set_alias("wear", identity)
    await appoint(net, client, identity, is_sealed=is_sealed)
    return identity


async def appoint(net: LocalNet, client: AsyncClient, identity: bytes, *, is_sealed: bool) -> None:
    committee = Attested(client, net.key("org-1-modeler"))
    members = [from_hex(entry.key) for entry in (await client.validators()).validators]
    await committee.appoint(identity, members, tolerance=100, patience=20, is_sealed=is_sealed)
    await committee.wait_ready(identity, 60)


async def test_a_committee_with_a_liar_answers_a_contract_and_keeps_sealed_inputs_to_itself(
    open_net: OpenNet, tmp_path: Path
) -> None:
    async with (
        open_net(seed=53, worker_backend="cpu", faults={LIAR: "far-output"}) as net,
        net.client("node-1", account="org-1-operator") as client,
    ):
        identity = await publish(net, client)
        deployment: dict[str, Value] = {"name": "asker", "source": ASKER, "args": {}}
        async with net.client("node-1", account="org-1-deployer") as deployer:
            await deployer.send("contracts", "deploy", **deployment)
        window = bytes(range(12))
        outcome = await client.send("asker", "assess", window=window)
        (number,) = outcome.results
        assert isinstance(number, int)
        attested = Attested(client, net.key("org-1-operator"))
        found = await attested.wait(number, 60)
        expected = float(model(jnp.arange(12, dtype=jnp.float32).reshape(1, 6, 2) / 127)[0, 0])
        output = found["output"]
        assert found["phase"] == "SETTLED"
        assert isinstance(output, list)
        assert isinstance(output[0], int)
        assert abs(output[0] / SCALE - expected) < 1e-4
        # The liar's own key is on record, and nobody else's.
        liar = from_hex((await net.statuses([LIAR]))[LIAR].validator_key or "")
        assert found["dissent"] == [liar]
        heard = await client.state("asker", "heard", number)
        assert isinstance(heard, dict)
        assert (heard["status"], heard["state"]) == ("SETTLED", "ABOVE")
        assert isinstance(heard["value"], Dec)
        await proved(client, identity, window, tuple(output))
        await sealed(net, client, attested, identity)
        statuses = await net.statuses()
        assert all(status.is_ready for status in statuses.values())


async def proved(
    client: AsyncClient, identity: bytes, window: bytes, output: tuple[Value, ...]
) -> None:
    """The settled value is a record under the predictions root of its block."""
    settled, cursor = [], "0-0-0"
    for _ in range(50):
        events, cursor = await client.events_page(cursor, contract="predictions")
        settled += [item for item in events if item.name == "Settled"]
    (event,) = settled
    (record,) = await client.predictions_of(event.transaction_id)
    assert (record.kind, record.model_id, record.output) == ("attested", identity, output)
    assert record.input_digest == input_digest(identity, window)
    assert record.contract == "asker"
    assert record.proof is not None


async def sealed(net: LocalNet, client: AsyncClient, attested: Attested, identity: bytes) -> None:
    """With sealed inputs the chain and its nodes never see the window."""
    await appoint(net, client, identity, is_sealed=True)
    members = (await attested.committee(identity)).members
    for _ in range(100):
        keys = [await client.state("committees", "keys", member) for member in members]
        if all(isinstance(key, bytes) for key in keys):
            break
        await asyncio.sleep(0.2)
    secret = b"top-secret-!"
    number = await attested.ask_sealed("wear", identity, secret)
    found = await attested.wait(number, 60)
    assert found["phase"] == "SETTLED"
    assert found["input"] != input_digest(identity, secret)
    for file in (net.home("node-1").data / "blobs").rglob("*"):
        if file.is_file():
            assert secret not in file.read_bytes()
    await on_a_private_payload(net, client, identity, secret)


async def on_a_private_payload(
    net: LocalNet, client: AsyncClient, identity: bytes, secret: bytes
) -> None:
    """The same through the private contract: kept by keepers alone, audited, purged."""
    owner = Private(client, net.key("org-1-operator"))
    urls = [net.node(name).rpc for name in net.names]
    payload = await owner.share_input(identity, secret, urls)
    with pytest.raises(InvalidInput, match="NOT_FOUND"):
        await client.blob(payload)
    number = await owner.ask(payload, "wear", "claim 7")
    await Attested(client).wait(number, 60)
    answer = await owner.answer(number)
    assert (answer["status"], answer["purpose"]) == ("SETTLED", "claim 7")
    assert isinstance(answer["outputs"], list)
    assert [item.name for item in await owner.access(payload)] == ["Stored", "Asked", "Answered"]
    await Private(client, net.key("org-1-admin")).purge(payload, urls)
    assert len((await owner.purge_proof(payload)).statements) == len(urls)
    with pytest.raises(InvalidInput, match="purged"):
        await owner.ask(payload, "wear", "claim 8")
