"""The generated TypeScript client: as the method table gives it, and working in Node."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from andon.client import AsyncClient
from andon.core.keys import PrivateKey
from node.rpc import RpcServer, RpcSettings
from node.rpc.methods import TABLE
from node.testing.memory_node import MemoryNode
from scripts import typescript_client

ROOT = Path(__file__).resolve().parents[3]
MODULE = ROOT / typescript_client.FOLDER / "andon.js"
DEAD = "http://127.0.0.1:9"
PROGRAM = """
import { AndonError, Client } from %(module)s;
const client = new Client([%(dead)s, %(url)s]);
const status = await client.status();
const found = [];
for await (const event of client.events({ cursor: "0-0-0", contract: "maintenance" })) {
  found.push(event.cursor);
  console.log(event.cursor);
  if (found.length === 3) break;
}
let error;
try { await client.tx({ hash: "0x" + "00".repeat(32) }); } catch (caught) { error = caught; }
const state = await client.state({ contract: "maintenance", variable: "machines", key: "M1" });
console.log(JSON.stringify({
  chain: status.chain_id, found, is_typed: error instanceof AndonError, name: error.name,
  rul: state.value.rul, page: (await client.eventsPage({ cursor: "2-0-0" })).events.length,
}));
process.exit(0);
"""

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")


def test_the_files_are_what_the_method_table_gives() -> None:
    for name, text in typescript_client.files().items():
        path = ROOT / typescript_client.FOLDER / name
        assert path.read_text(encoding="utf-8") == text, f"run {typescript_client.REMAKE}"


def test_every_method_of_the_table_is_declared_and_defined() -> None:
    made = typescript_client.files()
    for method in TABLE:
        name = typescript_client._camel(method.name)
        assert f"  {name}(" in made["andon.js"]
        assert f"  {name}(" in made["andon.d.ts"]
        assert f"export interface {method.result.__name__} {{" in made["andon.d.ts"]


@needs_node
async def test_it_asks_fails_over_follows_events_and_throws_typed_errors() -> None:
    node = MemoryNode()
    async with (
        RpcServer(node) as server,
        AsyncClient(server.url, genesis=node.genesis, key=PrivateKey(b"\x2a" * 32)) as client,
    ):
        for number in (5, 6, 7):
            await client.send("maintenance", "assess", machine="M1", window=bytes([number]))
        answer = await _run(server.url)
    assert answer == {
        "chain": "memory-1", "found": ["1-0-0", "2-0-0", "3-0-0"], "is_typed": True,
        "name": "NOT_FOUND", "rul": 7, "page": 1,
    }  # fmt: skip


@needs_node
async def test_it_resumes_without_a_gap_after_the_server_was_away() -> None:
    node = MemoryNode()
    first = RpcServer(node)
    await first.start()
    port, url = first.port, first.url
    await _assess(node, url, 5)
    async with asyncio.TaskGroup() as group:
        reached = asyncio.Event()
        running = group.create_task(_run(url, reached))
        await reached.wait()  # It follows now; a node that is away at the start is another matter.
        await first.stop()
        async with RpcServer(node, RpcSettings(port=port)):
            for number in (6, 7):
                await _assess(node, url, number)
            answer = await running
    assert answer["found"] == ["1-0-0", "2-0-0", "3-0-0"]


@needs_node
async def test_a_node_that_comes_back_within_a_round_is_asked_again() -> None:
    program = """
import { Client } from %s;
let asked = 0;
const fetch = async () => {
  asked += 1;
  if (asked < Number(process.argv[1])) throw new TypeError("fetch failed");
  return new Response('{"chain_id": "c"}');
};
const client = new Client(["http://a", "http://b"], { fetch });
let answer;
try { answer = (await client.status()).chain_id; } catch (error) { answer = error.name; }
console.log(answer, asked);
"""
    for answers_at, expected in ((1, "c 1"), (3, "c 3"), (4, "c 4"), (5, "UNREACHABLE 4")):
        process = await asyncio.create_subprocess_exec(
            "node", "--input-type=module", "-e", program % json.dumps(MODULE.as_uri()),
            str(answers_at), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
        assert out.decode().strip() == expected


async def _assess(node: MemoryNode, url: str, number: int) -> None:
    key = PrivateKey(b"\x2a" * 32)
    async with AsyncClient(url, genesis=node.genesis, key=key) as client:
        await client.send("maintenance", "assess", machine="M1", window=bytes([number]))


async def _run(url: str, reached: asyncio.Event | None = None) -> dict[str, object]:
    named = {"module": MODULE.as_uri(), "dead": DEAD, "url": url}
    program = PROGRAM % {name: json.dumps(value) for name, value in named.items()}
    process = await asyncio.create_subprocess_exec(
        "node", "--input-type=module", "-e", program,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = await process.stdout.readline()
        if reached is not None:
            reached.set()
        out, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()
    found: dict[str, object] = json.loads((line + out).splitlines()[-1])
    return found
