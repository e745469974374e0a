"""Reads that many clients ask for at once are done once."""

import asyncio
from pathlib import Path

import pytest

from node.drivers.queries import ChainQueries
from node.facade import Cursor
from node.queries import Queries
from node.storage import ChainStore, Snapshot
from node.testing.lab import CertifiedChain


async def test_streams_at_one_place_share_one_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, store = CertifiedChain(), ChainStore(tmp_path / "chain", 64 * 1024 * 1024)
    chain.open(store)
    store.append([chain.extend(chain.write(3))])
    opened: list[Snapshot] = []

    def snapshot() -> Snapshot:
        opened.append(found := ChainStore.snapshot(store))
        return found

    monkeypatch.setattr(store, "snapshot", snapshot)
    queries = Queries(store, ChainQueries(store))
    start = Cursor(0, 0, 0)
    pages = await asyncio.gather(*(queries.events(start) for _ in range(100)))
    assert [answer.event.name for answer in pages[0][0]] == ["Written"] * 3
    assert all(page == pages[0] for page in pages)
    assert len(opened) == 1
    assert await queries.events(start) == pages[0]
    assert len(opened) == 2
    store.close()


async def test_who_stops_to_wait_for_a_page_does_not_take_it_from_others(tmp_path: Path) -> None:
    chain, store = CertifiedChain(), ChainStore(tmp_path / "chain", 64 * 1024 * 1024)
    chain.open(store)
    store.append([chain.extend(chain.write(1))])
    queries = Queries(store, ChainQueries(store))
    async with asyncio.TaskGroup() as group:
        first = group.create_task(queries.events(Cursor(0, 0, 0)))
        second = group.create_task(queries.events(Cursor(0, 0, 0)))
        await asyncio.sleep(0)
        first.cancel()
    page, _ = second.result()
    assert len(page) == 1
    store.close()
