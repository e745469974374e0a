"""The transactions of the network benchmark: sizes by name, signed beforehand."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from andon.client import AsyncClient
from andon.client.models import Models
from andon.core.codec import Value
from andon.core.keys import PrivateKey
from andon.core.transaction import Call, TransactionBody, make_call, sign_transaction
from models.package import Package
from node.keystore import load_key
from scripts.cluster import Cluster

if TYPE_CHECKING:
    from models.train.networks import ConvNet2d

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = '''
"""Accounts for the benchmark."""
balances = Map(key=str, value=int, default=0)
Moved = Event(to=str, amount=int)

@export
def transfer(to: str, amount: int):
    assert amount > 0, "amount is positive"
    balances[to] += amount
    Moved(to=to, amount=amount)

@export
def look(model: str, image: bytes) -> any:
    return predict(model, image)

@export
def look_many(model: str, images: bytes, count: int) -> any:
    return predict_many(model, images, count)
'''
ACCOUNTS = 1000
BATCH = 64
IMAGE_SIDE = 64
IMAGE_MODEL = "bench-image"
IMAGES_BATCH = 15
"""Images a transaction: a text of a contract has at most 64 KiB."""
EXPIRES_AFTER = 2000
GAS = 40_000_000

Make = Callable[[int], tuple[Call, ...]]


@dataclass(frozen=True, slots=True)
class Workload:
    """One size of transaction. `operations` is how many calls or predictions one carries."""

    name: str
    unit: str
    operations: int
    rate_per_s: float
    """Offered to find the capacity: more than two cores can take."""
    make: Make
    role: str = "operator"


@dataclass(frozen=True, slots=True)
class Bench:
    """A running network with what the workloads need."""

    cluster: Cluster
    client: AsyncClient
    input_bytes: int

    def key(self, role: str, organisation: int = 1) -> PrivateKey:
        """Private key of a member that the launcher made."""
        name = f"org-{organisation}-{role}"
        entry = next(item for item in self.cluster.network.manifest.accounts if item.name == name)
        return load_key(self.cluster.home / entry.key_file)

    async def sign(self, workload: Workload, count: int) -> list[bytes]:
        """Prepare signed transactions, senders in turn, so that signing is not in the figures."""
        status = await self.client.status()
        chain_id = (await self.client.genesis()).chain_id
        keys = [self.key(workload.role, n + 1) for n in range(len(self.cluster.nodes))]
        return [
            sign_transaction(
                TransactionBody(
                    chain_id=chain_id,
                    sender=(key := keys[index % len(keys)]).public,
                    nonce=secrets.token_bytes(8),
                    expires_height=int(status.height) + EXPIRES_AFTER,
                    gas_limit=GAS,
                    calls=workload.make(index),
                ),
                key,
            )
            for index in range(count)
        ]

    def workloads(self) -> dict[str, Workload]:
        """All sizes by name."""
        found = (
            Workload("call", "calls", 1, 3000, self._transfers(1)),
            Workload("call64", "calls", BATCH, 500, self._transfers(BATCH)),
            Workload("prediction", "predictions", 1, 2500, self._predictions(1)),
            Workload("prediction64", "predictions", BATCH, 180, self._predictions(BATCH)),
            Workload("deploy", "contracts", 1, 100, _deploy, role="deployer"),
            Workload("image", "predictions", 1, 400, _image),
            Workload("image15", "predictions", IMAGES_BATCH, 30, _images),
            Workload("mixed", "transactions", 1, 800, self._mixed),
        )
        return {workload.name: workload for workload in found}

    def _transfers(self, count: int) -> Make:
        def make(index: int) -> tuple[Call, ...]:
            return tuple(
                make_call(
                    "bench", "transfer", {"to": f"account-{(index + n) % ACCOUNTS}", "amount": 1}
                )
                for n in range(count)
            )

        return make

    def _predictions(self, count: int) -> Make:
        def make(_index: int) -> tuple[Call, ...]:
            # Fresh inputs: nothing may come from a cache that a first run filled.
            windows = bytes(octet & 127 for octet in secrets.token_bytes(count * self.input_bytes))
            return (make_call("maintenance", "score_many", {"windows": windows, "count": count}),)

        return make

    def _mixed(self, index: int) -> tuple[Call, ...]:
        """Eight of ten single calls, one prediction, one transaction of eight calls."""
        if index % 10 == 0:
            return self._predictions(1)(index)
        return self._transfers(8 if index % 10 == 1 else 1)(index)


def _image(_index: int) -> tuple[Call, ...]:
    image = bytes(octet & 127 for octet in secrets.token_bytes(IMAGE_SIDE * IMAGE_SIDE))
    return (make_call("bench", "look", {"model": IMAGE_MODEL, "image": image}),)


def _images(_index: int) -> tuple[Call, ...]:
    size = IMAGES_BATCH * IMAGE_SIDE * IMAGE_SIDE
    images = bytes(octet & 127 for octet in secrets.token_bytes(size))
    named: dict[str, Value] = {"model": IMAGE_MODEL, "images": images, "count": IMAGES_BATCH}
    return (make_call("bench", "look_many", named),)


def _deploy(_index: int) -> tuple[Call, ...]:
    name = f"copy-{secrets.token_hex(6)}"
    arguments: dict[str, Value] = {"name": name, "source": CONTRACT, "args": {}}
    return (make_call("contracts", "deploy", arguments),)


async def prepare(cluster: Cluster, client: AsyncClient, *, with_image: bool) -> Bench:
    """Publish the models and deploy the contract that the workloads use."""
    package = Package.load(ROOT / "models" / "packages" / "rul-demo")
    bench = Bench(cluster, client, package.manifest.input_bytes)
    registry = Models(client, bench.key("modeler"))
    published = {"turbofan-rul": package}
    if with_image:
        published[IMAGE_MODEL] = image_package()
    for alias, each in published.items():
        identity = await registry.publish(each.to_blob(), each.manifest)
        await registry.wait_active(identity, 120)
        await registry.set_alias(alias, identity)
    arguments: dict[str, Value] = {"name": "bench", "source": CONTRACT, "args": {}}
    key = bench.key("deployer")
    (await client.submit(make_call("contracts", "deploy", arguments), key=key)).require()
    return bench


def image_model() -> ConvNet2d:
    """An untrained convolutional network for 64 x 64 images, 20 million operations each."""
    from models.environment import prepare_environment  # noqa: PLC0415 - before JAX is loaded

    prepare_environment("cpu")
    from flax import nnx  # noqa: PLC0415 - after the environment

    from models.train.networks import ConvNet2d  # noqa: PLC0415

    model = ConvNet2d(IMAGE_SIDE, 1, 6, rngs=nnx.Rngs(0))
    model.eval()  # type: ignore[no-untyped-call] # a flax module
    return model


def image_package() -> Package:
    """The same network, certified: speed is all it is for."""
    model = image_model()
    from models.convert import Options, certify  # noqa: PLC0415 - after the environment
    from models.package import Description  # noqa: PLC0415
    from models.quantiser import linear_quantiser  # noqa: PLC0415

    random = np.random.default_rng(0)
    samples = random.integers(0, 128, (32, IMAGE_SIDE, IMAGE_SIDE, 1)).astype(np.int8)
    return certify(
        model,
        samples,
        linear_quantiser(("grey",), np.zeros(1), np.full(1, 255.0), ("level",)),
        Description(name="bench-image", version="1", task="classify", scale_num=1, scale_den=1),
        Options(),
    )
