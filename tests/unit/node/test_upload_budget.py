"""One client cannot take all the room that a node has for blobs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.hashing import Domain, digest
from node.client_blobs import ClientBlobs
from node.storage import BlobQuota, BlobStore
from node.upload_budget import HOUR_S, UploadBudgets, charge_of_client

MIB = 1024 * 1024


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[ClientBlobs]:
    found = ClientBlobs(BlobStore(tmp_path), BlobQuota(tmp_path, 0))
    yield found
    found.close()


def spend(budgets: UploadBudgets, client: str, size_bytes: int) -> None:
    with budgets.of(client):
        charge_of_client()(size_bytes)


def test_who_stored_its_hour_waits_as_long_as_it_is_told_and_others_do_not() -> None:
    clock = Clock()
    budgets = UploadBudgets(2, now_s=clock)
    spend(budgets, "a", 2 * MIB)
    spend(budgets, "a", MIB)  # overdrawn by one request at most
    with pytest.raises(Unavailable) as refused:
        spend(budgets, "a", 1)
    assert refused.value.code is Code.BLOB_QUOTA
    assert "blobs_mib_per_client_hour" in refused.value.hint
    wait_ms = refused.value.fields["retry_ms"]
    assert wait_ms == HOUR_S // 2 * 1000
    spend(budgets, "b", 2 * MIB)
    clock.now_s = wait_ms / 1000 - 1
    with pytest.raises(Unavailable):
        spend(budgets, "a", 1)
    clock.now_s += 1
    spend(budgets, "a", 1)


def test_without_a_bound_and_outside_of_requests_nobody_pays() -> None:
    charge_of_client()(10**15)
    unbounded = UploadBudgets(0)
    spend(unbounded, "a", 10**15)
    spend(unbounded, "a", 10**15)


def test_accounts_are_bounded_and_the_least_recent_goes_first() -> None:
    budgets = UploadBudgets(1, clients_max=2, now_s=Clock())
    for client in ("a", "b", "a"):
        spend(budgets, client, MIB)
    spend(budgets, "c", MIB)
    with pytest.raises(Unavailable):
        spend(budgets, "a", 1)
    spend(budgets, "b", 1)  # forgotten for c


async def test_blobs_and_parts_are_paid_by_their_client_in_whatever_thread(
    blobs: ClientBlobs,
) -> None:
    budgets = UploadBudgets(1, now_s=Clock())
    large = bytes(MIB // 2)
    with budgets.of("a"):
        assert await blobs.append(digest(Domain.BLOB, large), 0, large) == len(large)
        stored = await blobs.publish(bytes(MIB))
        with pytest.raises(Unavailable) as refused:
            await blobs.publish(b"one more")
        assert refused.value.code is Code.BLOB_QUOTA
        with pytest.raises(Unavailable):
            await blobs.append(bytes(32), 0, b"part")
        # What is here takes no more room: who tries again after a break loses nothing.
        assert await blobs.publish(bytes(MIB)) == stored
        assert await blobs.complete(digest(Domain.BLOB, large)) == len(large)
    with pytest.raises(InvalidInput):
        await blobs.get(digest(Domain.BLOB, b"one more"))
    with budgets.of("b"):
        await blobs.publish(b"one more")


async def test_uploads_at_once_are_charged_each(blobs: ClientBlobs) -> None:
    budgets = UploadBudgets(4, now_s=Clock())
    with budgets.of("a"):
        found = await asyncio.gather(
            *(blobs.publish(bytes([number]) * MIB) for number in range(8)), return_exceptions=True
        )
    # Four are what there was, the fifth overdraws it.
    assert sum(isinstance(item, bytes) for item in found) == 5
