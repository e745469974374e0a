from pathlib import Path

import pytest

from andon.core.errors import Code, Unavailable
from node.storage import BlobQuota, BlobStore
from node.upload_budget import free


def refused(quota: BlobQuota, size_bytes: int) -> bool:
    caught: Unavailable | None = None
    try:
        quota.admit(size_bytes)
    except Unavailable as error:
        caught = error
    assert caught is None or (caught.code is Code.BLOB_QUOTA and "blobs_mib" in caught.hint)
    return caught is not None


def test_users_store_up_to_the_quota_and_what_is_there_counts(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(bytes(600))
    quota = BlobQuota(tmp_path, 1000)
    assert not refused(quota, 400)
    store.put(b"x" * 400)
    assert refused(quota, 1)


def test_room_that_was_made_counts_at_once(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    identity = store.put(bytes(1000))
    quota = BlobQuota(tmp_path, 1000)
    assert refused(quota, 1)
    store.remove(identity)
    assert not refused(quota, 1000)


def test_many_small_blobs_are_bounded_by_their_number(tmp_path: Path) -> None:
    quota, store = BlobQuota(tmp_path, 0, blobs_max=3), BlobStore(tmp_path)
    for number in range(3):
        quota.admit(1)
        store.put(bytes([number]))
    assert refused(quota, 1)


@pytest.mark.parametrize("bytes_max", [0, 10])
def test_no_quota_of_bytes_lets_every_size_in(tmp_path: Path, bytes_max: int) -> None:
    assert refused(BlobQuota(tmp_path, bytes_max), 11) == bool(bytes_max)


def test_what_is_stored_already_may_be_published_again_at_the_quota(tmp_path: Path) -> None:
    quota, store = BlobQuota(tmp_path, 1000), BlobStore(tmp_path)
    identity = quota.publish(store, bytes(1000), free)
    assert quota.publish(store, bytes(1000), free) == identity
    with pytest.raises(Unavailable):
        quota.publish(store, b"x", free)
    assert store.digests() == [identity]


def test_parts_of_a_large_blob_count_as_they_come(tmp_path: Path) -> None:
    store, quota = BlobStore(tmp_path), BlobQuota(tmp_path, 1000)
    assert quota.append(store, bytes(32), 0, bytes(600), free) == 600
    with pytest.raises(Unavailable) as caught:
        quota.append(store, bytes(32), 600, bytes(401), free)
    assert caught.value.code is Code.BLOB_QUOTA
    assert quota.append(store, bytes(32), 600, bytes(400), free) == 1000
