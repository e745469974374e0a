from andon.cli import models
from andon.cli.models import listing
from andon.core.codec import Value

ENTRIES: list[Value] = [[bytes([number]), {"name": f"m{number}"}] for number in range(7)]


def call(arguments: dict[str, Value]) -> Value:
    after, count = arguments["after"], arguments["count"]
    assert isinstance(count, int)
    start = 0 if not isinstance(after, bytes) else after[0] + 1
    return ENTRIES[start : start + count]


def test_every_model_is_listed_however_many_there_are() -> None:
    for page in (1, 3, 7, 8):
        assert [identity[0] for identity, _ in listing(call, page)] == list(range(7))


def test_a_node_that_gives_the_same_page_for_ever_is_left() -> None:
    count = sum(1 for _ in listing(lambda _: ENTRIES[:1], 1))
    assert count == models.LISTING_CALLS_MAX
