"""Predictions by real workers: agreed by all, and by all but the one whose worker lies."""

import asyncio
from pathlib import Path

import pytest

from andon.cli.audit import Source
from andon.client import AsyncClient
from andon.client.models import Models
from andon.core.block import prediction_id
from andon.core.model import input_digest
from andon.core.transaction import make_call
from node.audit import Range, audit
from node.checkout import CHECKOUT
from node.testing.local_net import LocalNet
from node.testing.pytest_plugin import OpenNet

pytestmark = pytest.mark.integration

PACKAGE = CHECKOUT / "models" / "packages" / "rul-demo"
LIAR = "node-4"


async def activate(net: LocalNet, client: AsyncClient) -> tuple[bytes, int]:
    """Publish the demo model and wait until the validators have attested; id and input size."""
    from models.package import Package

    package = await asyncio.to_thread(Package.from_blob, (PACKAGE / "package.blob").read_bytes())
    registry = Models(client, net.key("org-1-modeler"))
    identity = await registry.publish(package.to_blob(), package.manifest)
    await registry.wait_active(identity, 90)
    await registry.set_alias("turbofan-rul", identity)
    return identity, package.manifest.input_bytes


def window(number: int, size: int) -> bytes:
    """Some valid input: bytes of int8 between -100 and 100."""
    return bytes((number * 7 + index * 13) % 100 for index in range(size))


async def audited(net: LocalNet, identity: bytes, height: int) -> None:
    """An audit by another backend agrees; one whose backend lies finds out that it does."""
    async with net.client("node-2") as client:
        genesis = await client.genesis()
        bounds = Range(first=1, last=height, seconds=300)
        heights: list[int] = []
        sound = await audit(
            genesis, Source(client), bounds, backend="numpy", progress=heights.append
        )
        assert sound.is_complete
        assert sound.predictions == 8
        assert heights == list(range(1, height + 1))
        wrong = await audit(
            genesis, Source(client), bounds, backend="numpy", progress=heights.append,
            fault="wrong-output",
        )  # fmt: skip
        assert wrong.difference is not None
        assert wrong.difference.model_id == identity
        assert wrong.difference.report.at_fault == "backend"
    # The lying validator's own log has the same report.
    for _ in range(100):
        if "divergence.explained" in logged(net):
            break
        await asyncio.sleep(0.2)
    assert '"at_fault": "backend"' in logged(net) or "at_fault=backend" in logged(net)


def logged(net: LocalNet) -> str:
    return "".join(
        path.read_text("utf-8", "replace") for path in net.home(LIAR).logs.glob("*.log")
    ) + "".join(path.read_text("utf-8", "replace") for path in net.home(LIAR).logs.glob("*.json*"))


async def test_predictions_are_agreed_and_a_lying_worker_is_found_out(
    open_net: OpenNet, tmp_path: Path
) -> None:
    async with open_net(seed=31, worker_backend="cpu", faults={LIAR: "wrong-output"}) as net:
        async with net.client("node-1", account="org-1-operator") as client:
            identity, size = await activate(net, client)
            inputs = [window(number, size) for number in range(8)]
            for number, data in enumerate(inputs):
                call = make_call("maintenance", "assess", {"machine": "m-1", "window": data})
                submission = await client.submit(call, timeout_ms=30_000)
                submission.require()
                prediction = await client.prediction(prediction_id(submission.hash, 0))
                assert prediction.model_id == identity, number
        height = await net.height()
        await audited(net, identity, height)
        await net.wait_height(height + 3, 30)
        statuses = await net.statuses()
        mismatch = statuses[LIAR].mismatch
        assert mismatch is not None
        digests = {f"0x{input_digest(identity, data).hex()}" for data in inputs}
        assert mismatch.model_id == f"0x{identity.hex()}"
        assert mismatch.input_digest in digests
        assert mismatch.element == 0
        assert not statuses[LIAR].is_ready
        for name, status in statuses.items():
            if name != LIAR:
                assert status.mismatch is None
                assert status.is_ready, status.not_ready
