"""Four consensus drivers on one loop: real keys, real signers, a model ledger, memory wires."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from andon.core.block import Block, Header, Justification, block_hash
from andon.core.certificate import (
    Certificate,
    SignedVote,
    Validator,
    ValidatorSet,
    make_validator_set,
)
from andon.core.errors import InvalidInput
from andon.core.genesis import Params
from andon.core.keys import PrivateKey
from andon.core.transaction import Transaction
from andon.core.wire import BlockWanted, FinalBlock, Message, decode_frame, encode_frame
from consensus.ledger import Turn
from node.drivers.consensus import ConsensusDriver
from node.drivers.consensus_ports import Hooks
from node.signer import FileSigner, SignStateFile
from node.testing.sim.chain import ModelChain
from node.testing.sim.disk import Disk, DiskStore

CHAIN_ID = "drivers"
PARAMS = Params(skip_timeout_ms=400, skip_timeout_max_ms=2000, idle_block_ms=20, standstill_ms=300)


class AsyncChain:
    """The driver's `Chain` over the model ledger."""

    def __init__(self, genesis_set: ValidatorSet, disk: Disk, pool: list[bytes]) -> None:
        self.model = ModelChain(CHAIN_ID, genesis_set, PARAMS, disk, lies=False)
        self.disk = disk
        self.pool = pool
        self.validated: list[int] = []

    def head(self) -> Header:
        return self.model.head

    def head_hash(self) -> bytes:
        return block_hash(self.model.head)

    def epoch(self) -> int:
        return self.model.epoch

    def validators(self, epoch: int | None = None) -> ValidatorSet:
        return self.model.validators(self.model.epoch if epoch is None else epoch)

    def params(self) -> Params:
        return PARAMS

    def block(self, identity: bytes) -> Block | None:
        return self.model.block(identity)

    def final_block(self, height: int) -> FinalBlock | None:
        return self.disk.finals[height - 1]

    async def wait_transactions(self, parent: bytes, timeout_ms: int) -> bool:
        await asyncio.sleep(timeout_ms / 1000)
        return False

    async def build(
        self, parent: bytes, epoch: int, slot: int, justification: Justification, time_ms: int
    ) -> Block:
        turn = Turn(slot=slot, justification=justification, time_ms=time_ms)
        return self.model.build(parent, turn, self.pool)

    async def validate(self, block: Block, *, is_certified: bool = False) -> None:
        await asyncio.sleep(0)
        self.validated.append(block.header.height)
        self.model.validate(block, is_certified=is_certified)

    async def commit(self, identity: bytes, certificate: Certificate) -> Header:
        await asyncio.sleep(0)
        self.model.commit(identity, certificate)
        return self.model.head


class NoPool:
    """A mempool without anything: blocks of this network have no real transactions."""

    def get(self, identity: bytes) -> Transaction | None:
        return None


class Wire:
    """Delivers encoded messages to the other drivers, unless told to lose them."""

    def __init__(self, net: Net, key: bytes) -> None:
        self._net = net
        self._key = key

    def broadcast(self, message: Message) -> None:
        for key in self._net.drivers:
            if key != self._key:
                self.send(key, message)

    def send(self, peer_key: bytes, message: Message) -> None:
        if isinstance(message, BlockWanted):
            self._net.fetches.append(self._key)
        if self._key in self._net.cut or peer_key in self._net.cut:
            return
        driver = self._net.drivers.get(peer_key)
        if driver is not None:
            (decoded,) = decode_frame(encode_frame((message,)))
            driver.receive(self._key, decoded)


class Net:
    """The four."""

    def __init__(self, folder: Path, pool: list[bytes] | None = None) -> None:
        self.folder = folder
        self.pool = pool if pool is not None else []
        self.keys = [PrivateKey(bytes([index + 1]) * 32) for index in range(4)]
        self.set = make_validator_set(tuple(Validator(key.public, 1) for key in self.keys))
        self.disks = {key.public: Disk() for key in self.keys}
        self.drivers: dict[bytes, ConsensusDriver] = {}
        self.chains: dict[bytes, AsyncChain] = {}
        self.tasks: dict[bytes, asyncio.Task[None]] = {}
        self.files: dict[bytes, SignStateFile] = {}
        self.cut: list[bytes] = []
        self.evidence: list[tuple[SignedVote, SignedVote]] = []
        self.refused: list[InvalidInput] = []
        self.punished: list[str] = []
        self.unsigned: list[bytes] = []
        self.fetches: list[bytes] = []
        self.brings_to: dict[bytes, int] = {}
        self.brought: dict[bytes, Callable[[], int]] = {}

    def start(self, key: PrivateKey, group: asyncio.TaskGroup) -> None:
        disk = self.disks[key.public]
        chain = AsyncChain(self.set, disk, self.pool)
        path = self.folder / f"sign_state_{key.public.hex()[:8]}"
        file = SignStateFile(path, may_create=not disk.finals)
        driver = ConsensusDriver(
            chain_id=CHAIN_ID,
            key=key.public,
            chain=chain,
            pool=NoPool(),
            transport=Wire(self, key.public),
            store=DiskStore(disk),
            signer=FileSigner(CHAIN_ID, key, file),
            clock_ms=lambda: int(asyncio.get_running_loop().time() * 1000) + 1_000_000,
            hooks=Hooks(
                on_evidence=lambda first, second: self.evidence.append((first, second)),
                on_refused=lambda _, error: self.refused.append(error),
                on_behind=lambda: None,
                may_vote=lambda: True,
                punish=lambda _, reason: self.punished.append(reason),
                brings_to=lambda: self._brings_to(key.public),
                on_vote_refused=lambda: self.unsigned.append(key.public),
            ),
        )
        self.files[key.public] = file
        self.chains[key.public] = chain
        self.drivers[key.public] = driver
        self.tasks[key.public] = group.create_task(driver.run())

    def _brings_to(self, key: bytes) -> int:
        brought = self.brought.get(key)
        return self.brings_to.get(key, 0) if brought is None else brought()

    async def stop(self, key: bytes) -> None:
        task = self.tasks.pop(key)
        del self.drivers[key]
        task.cancel()
        await asyncio.wait([task])
        self.files.pop(key).close()

    async def stop_all(self) -> None:
        for key in list(self.drivers):
            await self.stop(key)

    async def reach(self, height: int, keys: list[bytes] | None = None) -> None:
        async with asyncio.timeout(10):
            wanted = keys if keys is not None else list(self.drivers)
            while min(self.chains[key].head().height for key in wanted) < height:  # noqa: ASYNC110 - commits happen in four places
                await asyncio.sleep(0.01)
