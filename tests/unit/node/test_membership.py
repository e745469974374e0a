"""A validator looks up once an epoch whether it was voted out."""

from structlog.testing import capture_logs

from node.membership import Membership


class Chain:
    """An epoch, and what the store would say of any key."""

    def __init__(self) -> None:
        self.number = 0
        self.removed: int | None = None
        self.asked = 0

    def epoch(self) -> int:
        return self.number

    def removed_at(self, validator_key: bytes) -> int | None:
        self.asked += 1
        return self.removed


def test_a_removal_is_found_when_its_epoch_ends_and_logged_once() -> None:
    chain = Chain()
    membership = Membership(b"k" * 32, chain, chain)
    with capture_logs() as logs:
        assert membership.removed_at() is None
        chain.number, chain.removed = 1, 40
        assert [membership.removed_at() for _ in range(3)] == [40, 40, 40]
        chain.number = 2  # a change of others
        assert membership.removed_at() == 40
        chain.number, chain.removed = 3, None  # voted in again
        assert membership.removed_at() is None
    assert chain.asked == 4
    assert [(item["event"], item["height"]) for item in logs] == [("validator.removed", 40)]


def test_an_observer_has_nothing_to_lose() -> None:
    chain = Chain()
    chain.removed = 40
    assert Membership(None, chain, chain).removed_at() is None
    assert chain.asked == 0
