"""What `andon send` and `andon deploy` refuse before anything costs gas."""

import asyncio
from pathlib import Path

import pytest

from andon.cli.context import Context
from andon.cli.contracts import check_call, split_target
from andon.core.errors import InvalidInput
from node.rpc import RpcServer
from node.testing.memory_node import MemoryNode

SOURCE = """\"\"\"A counter.\"\"\"
total = Var(int, default=0)


@export
def add(amount: int):
    total.set(total.get() + amount)


@view
def current() -> int:
    return total.get()
"""


@pytest.mark.parametrize(
    ("target", "given", "code", "words"),
    [
        ("nothing.add", {"amount": 1}, "NO_CONTRACT", "nothing"),
        ("counter.sub", {"amount": 1}, "NO_METHOD", "add"),
        ("counter.current", {}, "NO_METHOD", "andon call"),
        ("counter.add", {"amont": 1}, "BAD_ARGUMENTS", "takes no amont"),
    ],
)
async def test_a_call_that_cannot_succeed_is_not_sent(
    target: str, given: dict[str, int], code: str, words: str, tmp_path: Path
) -> None:
    node = MemoryNode()
    node.put("contracts", "source", {"counter": SOURCE})
    async with RpcServer(node) as server:
        context = Context(
            home=tmp_path, nodes=(server.url,), as_json=False, quiet=True, timeout_ms=5000
        )
        with pytest.raises(InvalidInput) as caught:
            await asyncio.to_thread(check_call, context, *split_target(target), dict(given))
        await asyncio.to_thread(check_call, context, "counter", "add", {"amount": 1})
        await asyncio.to_thread(check_call, context, "contracts", "deploy", {})
    assert caught.value.code.name == code
    assert words in str(caught.value)
    assert "submit" not in node.calls
