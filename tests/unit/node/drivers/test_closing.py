"""A node that stops while a block is being stored: the block is kept, nothing fails on the way."""

import asyncio
import contextlib
from pathlib import Path

from andon.core.block import block_hash
from node.storage import ChainStore

from .test_execution import MAP_BYTES, Node, certificate_of


async def test_a_block_stored_while_the_driver_closes_is_kept_and_not_announced(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path)
    failures: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: failures.append(context["message"])
    )
    block = await node.build()
    task = asyncio.ensure_future(  # noqa: TID251
        node.driver.commit(block_hash(block.header), certificate_of(block))
    )
    await asyncio.sleep(0)
    node.close()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert failures == []
    assert node.commits == []
    store = ChainStore(tmp_path, MAP_BYTES)
    with store.snapshot() as snapshot:
        assert snapshot.height() in (0, 1)
        if snapshot.height() == 1:
            assert snapshot.block(1) == block
    store.close()
