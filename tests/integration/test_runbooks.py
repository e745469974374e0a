"""What docs/operator.md tells an operator to do is what works, and what it forbids is refused."""

import asyncio
import shutil

import lmdb
import pytest

from node.testing.local_net import LocalNet
from node.testing.pytest_plugin import OpenNet

pytestmark = pytest.mark.integration
VICTIM = "node-4"
OTHERS = ("node-1", "node-2", "node-3")
REFUSAL_S = 15.0
CATCH_UP_S = 30.0


async def is_back(net: LocalNet) -> None:
    """The victim runs, catches up with the others and gets ready."""
    await net.start(VICTIM)
    target = int((await net.statuses(OTHERS))[OTHERS[0]].height) + 3
    await net.wait_height(target, CATCH_UP_S)
    await net.wait(lambda statuses: statuses[VICTIM].is_ready, CATCH_UP_S, [VICTIM])


async def refuses(net: LocalNet) -> str:
    """The victim ends by itself; what it said."""
    said = net.home(VICTIM).logs / "stderr.log"
    before = said.stat().st_size
    await net.start(VICTIM)
    async with asyncio.timeout(REFUSAL_S):
        while net.is_alive(VICTIM):  # noqa: ASYNC110 - the library has no event for an exit
            await asyncio.sleep(0.1)
    await net.stop(VICTIM)
    return said.read_bytes()[before:].decode()


def lose_data(net: LocalNet) -> None:
    home = net.home(VICTIM)
    shutil.rmtree(home.data)
    home.data.mkdir(mode=0o700)


def rot(net: LocalNet) -> None:
    """Flip one bit of every stored header, under LMDB's own structure, which stays sound."""
    path = str(net.home(VICTIM).data / "chain")
    with lmdb.open(path, max_dbs=32) as environment:
        headers = environment.open_db(b"headers", create=False)
        with environment.begin(db=headers, write=True) as transaction:
            entries = [(bytes(key), bytes(value)) for key, value in transaction.cursor()]
            assert entries
            for key, value in entries:
                transaction.put(key, value[:-1] + bytes([value[-1] ^ 1]))


async def test_runbooks_for_lost_data_lost_sign_state_and_damaged_storage(
    open_net: OpenNet,
) -> None:
    async with open_net() as net:
        await net.wait_height(5, 30)

        await net.stop(VICTIM)
        lose_data(net)
        await is_back(net)

        await net.stop(VICTIM)
        net.home(VICTIM).sign_state.unlink()
        refusal = await refuses(net)
        assert "STORAGE_DAMAGED" in refusal
        assert "sign state" in refusal or "sign_state" in refusal

        lose_data(net)  # the home is new now: the runbook's third step
        await is_back(net)

        await net.stop(VICTIM)
        rot(net)
        assert "STORAGE_DAMAGED" in await refuses(net)
        lose_data(net)
        await is_back(net)
