"""What tests of verbs share: a node in memory on a loop of its own, and `andon` in process."""

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from andon.cli import main as main_module
from andon.client.wallet import Wallet
from node.rpc import RpcServer
from node.testing.memory_node import MemoryNode


@dataclass(slots=True)
class Result:
    code: int
    out: str
    err: str

    def json(self) -> dict[str, object]:
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document


Andon = Callable[..., Result]


# The interface of what the node in memory plays: `send` asks for it before it sends.
PARK = """\"\"\"A machine park.\"\"\"
machines = Map(key=str, value=dict)


@export
def assess(machine: str, window: bytes) -> value:
    return machines.get(machine)


@export
def breaks(machine: str, window: bytes):
    assert False, "rul below zero"


@view
def status(machine: str) -> value:
    return machines.get(machine)
"""
TRAINING = b"""
@export
def opened(machine: str, window: bytes, run: str) -> value:
    return None
"""


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[MemoryNode, str]]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[MemoryNode, RpcServer]:
        node = MemoryNode()
        node.put("contracts", "source", {"maintenance": PARK, "training": TRAINING})
        server = RpcServer(node)
        await server.start()
        return node, server

    node, server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    yield node, server.url
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def andon(
    served: tuple[MemoryNode, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Andon:
    Wallet(tmp_path / "keys").create("me", b"\x2a" * 32)

    def run(*arguments: str, url: str = served[1]) -> Result:
        monkeypatch.setattr(
            sys, "argv", ["andon", f"--home={tmp_path}", f"--node={url}", *arguments]
        )
        with pytest.raises(SystemExit) as caught:
            main_module.main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        code = caught.value.code
        return Result(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


def send(andon: Andon, *extra: str, method: str = "assess", window: str = "0x05") -> Result:
    target = f"maintenance.{method}"
    arguments = ["machine=M1", f"window={window}", "--from", "me", *extra]
    return andon("--json", "send", target, *arguments)
