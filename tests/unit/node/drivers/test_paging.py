from collections.abc import Mapping

import pytest

from node.drivers.paging import every_entry


class State:
    def __init__(self, values: Mapping[bytes, bytes]) -> None:
        self.values = values
        self.asked = 0

    async def entries(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        self.asked += 1
        found = [item for item in sorted(self.values.items()) if item[0].startswith(prefix)]
        return [item for item in found if after is None or item[0] > after][:count_max]


def state(count: int) -> State:
    values = {b"p" + bytes([number]): bytes([number]) for number in range(count)}
    return State({b"o": b"before", **values, b"q": b"after"})


@pytest.mark.parametrize("count", [0, 1, 3, 4, 9])
async def test_every_entry_comes_once_and_in_order(count: int) -> None:
    found = [value[0] async for _, value in every_entry(state(count), b"p", 3)]
    assert found == list(range(count))


async def test_the_number_of_pages_is_bounded() -> None:
    many = state(9)
    assert len([entry async for entry in every_entry(many, b"p", 2, 3)]) == 6
    assert many.asked == 3
