"""The faces over loopback, with a node in memory behind them."""

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator

import aiohttp
import pytest

from andon.core.json_value import from_hex
from andon.core.keys import PrivateKey
from andon.core.proof import PredictionSubject, decode_bundle, verify_bundle
from andon.core.transaction import TransactionBody, make_call, sign_transaction
from node.rpc import RpcServer, RpcSettings
from node.rpc.limits import BATCH_MAX, BODY_BYTES_MAX, RateLimiter
from node.testing.memory_node import CHAIN_ID, MemoryNode

KEY = PrivateKey(b"\x2a" * 32)
Json = dict[str, object]


def signed(
    window: bytes = b"\x05", machine: str = "M1", method: str = "assess", nonce: int = 0
) -> bytes:
    body = TransactionBody(
        chain_id=CHAIN_ID,
        sender=KEY.public,
        nonce=nonce.to_bytes(8, "big"),
        expires_height=1000,
        gas_limit=1000,
        calls=(make_call("maintenance", method, {"machine": machine, "window": window}),),
    )
    return sign_transaction(body, KEY)


class Door:
    def __init__(self, node: MemoryNode, url: str, http: aiohttp.ClientSession) -> None:
        self.node, self.url, self.http = node, url, http

    async def post(self, body: bytes) -> tuple[int, object]:
        async with self.http.post(self.url + "/rpc", data=io.BytesIO(body)) as response:
            text = await response.text()
            assert "Traceback" not in text
            return response.status, json.loads(text) if text else None

    async def rpc(self, name: str, /, **params: object) -> Json:
        request = {"jsonrpc": "2.0", "id": 1, "method": name, "params": params}
        status, answer = await self.post(json.dumps(request).encode())
        assert status == 200
        assert isinstance(answer, dict)
        return answer

    async def get(self, path: str) -> tuple[int, Json]:
        async with self.http.get(self.url + path) as response:
            return response.status, json.loads(await response.text())

    async def submit(self, raw: bytes) -> Json:
        answer = await self.rpc("submit", raw="0x" + raw.hex(), wait="final")
        result = answer["result"]
        assert isinstance(result, dict)
        return result


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    node = MemoryNode()
    async with RpcServer(node) as server, aiohttp.ClientSession() as http:
        yield Door(node, server.url, http)


async def test_submit_answers_with_hash_height_and_receipt(door: Door) -> None:
    result = await door.submit(signed())
    assert result["state"] == "final"
    assert result["height"] == "1"
    receipt = result["receipt"]
    assert isinstance(receipt, dict)
    assert receipt["ok"] is True
    assert receipt["events"][0]["cursor"] == "1-0-0"
    assert receipt["results"] == [{"rul": 5, "machine": "M1"}]


async def test_the_same_bytes_again_give_the_same_answer(door: Door) -> None:
    assert await door.submit(signed()) == await door.submit(signed())


async def test_a_timeout_gives_code_4_and_the_hash(door: Door) -> None:
    door.node.is_holding = True
    answer = await door.rpc("submit", raw="0x" + signed().hex(), wait="final", timeout_ms=20)
    error = answer["error"]
    assert isinstance(error, dict)
    assert error["code"] == 4
    assert error["name"] == "CONFIRMATION_TIMEOUT"
    found = await door.rpc("tx", hash=error["data"]["hash"])
    assert found["result"]["state"] == "pending"  # type: ignore[index]


async def test_a_failed_transaction_tells_contract_and_line(door: Door) -> None:
    result = await door.submit(signed(method="fail"))
    receipt = result["receipt"]
    assert isinstance(receipt, dict)
    assert receipt["failure"]["line"] == 12
    assert receipt["failure"]["message"] == "rul below zero"


async def test_a_prediction_comes_with_a_proof_that_holds(door: Door) -> None:
    submitted = await door.submit(signed(b"\x07\x01"))
    answer = await door.rpc("tx", hash=submitted["hash"])
    identity = answer["result"]["predictions"][0]["id"]  # type: ignore[index]
    status, reply = await door.get(f"/v1/prediction/{identity}")
    assert status == 200
    assert reply["output"] == [8]
    assert len(reply["votes"]) == reply["validators"] == 4  # type: ignore[arg-type]
    verified = verify_bundle(door.node.genesis, decode_bundle(from_hex(str(reply["proof"]))))
    assert isinstance(verified.subject, PredictionSubject)
    assert verified.subject.record.output == (8,)


async def test_state_is_proved_present_and_absent(door: Door) -> None:
    await door.submit(signed())
    status, reply = await door.get("/v1/state/maintenance/machines?key=M1")
    assert (status, reply["present"], reply["value"]) == (200, True, {"rul": 5, "machine": "M1"})
    verify_bundle(door.node.genesis, decode_bundle(from_hex(str(reply["proof"]))))
    status, reply = await door.get("/v1/state/maintenance/machines?key=M9")
    assert (status, reply["present"], reply["value"]) == (200, False, None)
    verified = verify_bundle(door.node.genesis, decode_bundle(from_hex(str(reply["proof"]))))
    assert verified.header.height == 1


async def test_receipt_and_bytes_of_a_transaction_are_proved(door: Door) -> None:
    submitted = await door.submit(signed())
    answer = await door.rpc("tx", hash=submitted["hash"], proof=True)
    for field in ("receipt_proof", "transaction_proof"):
        proof = answer["result"][field]  # type: ignore[index]
        verify_bundle(door.node.genesis, decode_bundle(from_hex(proof)))


async def test_blocks_are_found_by_height_hash_and_as_the_last(door: Door) -> None:
    await door.submit(signed())
    last = (await door.rpc("block"))["result"]
    assert last == (await door.rpc("block", height="1"))["result"]
    assert last == (await door.rpc("block", hash=last["hash"]))["result"]  # type: ignore[index]
    status, problem = await door.get("/v1/block?height=9")
    assert status == 404
    assert problem["title"] == "HEIGHT_UNKNOWN"


async def test_blocks_are_listed_newest_first_by_cursor(door: Door) -> None:
    for number in range(4):
        await door.submit(signed(bytes([number]), nonce=number))
    seen: list[object] = []
    before = ""
    while True:
        _, page = await door.get(f"/v1/blocks?limit=2{before}")
        seen += [block["header"]["height"] for block in page["blocks"]]  # type: ignore[attr-defined]
        if page["before"] is None:
            break
        before = f"&before={page['before']}"
    assert seen == ["4", "3", "2", "1", "0"]
    status, _ = await door.get("/v1/blocks?limit=0")
    assert status == 400


async def test_entries_of_a_map_are_listed_by_cursor(door: Door) -> None:
    for number in range(5):
        await door.submit(signed(b"\x05", f"M{number}", nonce=number))
    seen: list[object] = []
    cursor = "0x"
    while cursor is not None:
        _, page = await door.get(f"/v1/entries/maintenance/machines?limit=2&cursor={cursor}")
        seen += [entry["key"] for entry in page["entries"]]  # type: ignore[attr-defined]
        cursor = page["cursor"]  # type: ignore[assignment]
    assert seen == ["M0", "M1", "M2", "M3", "M4"]
    status, problem = await door.get("/v1/entries/maintenance/machines?cursor=0x00")
    assert (status, problem["title"]) == (400, "BAD_REQUEST")


async def test_a_read_only_call_returns_its_value(door: Door) -> None:
    await door.submit(signed())
    answer = await door.rpc("call", contract="maintenance", method="status", args={"machine": "M1"})
    assert answer["result"]["result"] == {"rul": 5, "machine": "M1"}  # type: ignore[index]


async def test_a_bug_of_the_node_leaks_nothing(door: Door) -> None:
    answer = await door.rpc("call", contract="maintenance", method="bug")
    assert answer["error"]["name"] == "INTERNAL"  # type: ignore[index]
    assert "secret" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"\xff\xfe", -32700),
        (b"{", -32700),
        (b"[" * 5000, -32700),
        (b"7", -32600),
        (b"[]", -32600),
        (b'{"id": 1}', -32600),
        (b'{"id": 1, "method": "nope"}', -32601),
        (b'{"id": 1, "method": "tx", "params": {"hash": "0x00"}}', 1212),
        (b'{"id": 1, "method": "tx", "params": {"hash": 7}}', 1212),
        (b'{"id": 1, "method": "tx", "params": {"hash": "0x00", "x": 1}}', 1212),
        (b'{"id": 1, "method": "tx", "params": 5}', 1212),
        (b'{"id": 1, "method": "tx", "params": [1,2,3,4,5,6]}', 1212),
        (b'{"id": 1, "method": "submit", "params": {"raw": "0x00"}}', 500),
        (b'{"id": 1, "method": "submit", "params": {"raw": "zz"}}', 1212),
        (
            b'{"id": 1, "method": "call", "params": {"contract": "m", "method": "f", "args": 1.5}}',
            500,
        ),
        (
            b'{"id": 1, "method": "call", "params": {"contract": "m", "method": "f", "args": []}}',
            14,
        ),
        (b'{"id": 1, "method": "state", "params": {"contract": "M!", "variable": "v"}}', 500),
        (b'{"id": 1, "method": "events", "params": {"cursor": "x"}}', 1212),
        (b'{"id": 1, "method": "block", "params": {"height": -1}}', 1201),
    ],
)
async def test_garbage_gets_a_typed_error(door: Door, body: bytes, code: int) -> None:
    status, answer = await door.post(body)
    assert status == 200
    assert isinstance(answer, dict)
    assert answer["error"]["code"] == code
    assert answer["error"]["message"]


async def test_a_tampered_signature_is_refused_with_its_code(door: Door) -> None:
    raw = bytearray(signed())
    raw[-1] ^= 1
    answer = await door.rpc("submit", raw="0x" + raw.hex())
    assert answer["error"]["name"] == "BAD_SIGNATURE"  # type: ignore[index]
    assert answer["error"]["data"]["fault"] == "peer"  # type: ignore[index]


async def test_batches_answer_in_order_and_are_capped(door: Door) -> None:
    one = {"jsonrpc": "2.0", "id": 1, "method": "status"}
    note = {"jsonrpc": "2.0", "method": "status"}
    status, answer = await door.post(json.dumps([one, note, {**one, "id": "b"}]).encode())
    assert isinstance(answer, list)
    assert (status, [item["id"] for item in answer]) == (200, [1, "b"])
    _, answer = await door.post(json.dumps([one] * (BATCH_MAX + 1)).encode())
    assert answer["error"]["code"] == -32600  # type: ignore[index]


async def test_oversize_and_compressed_bodies_are_refused(door: Door) -> None:
    status, answer = await door.post(b"x" * (BODY_BYTES_MAX + 1))
    assert status == 413
    assert answer["error"]["name"] == "TOO_LARGE"  # type: ignore[index]
    async with door.http.post(
        door.url + "/rpc", data=b"{}", headers={"Content-Encoding": "gzip"}
    ) as response:
        assert response.status == 400


async def test_unknown_paths_and_verbs_are_problems(door: Door) -> None:
    status, problem = await door.get("/v1/nothing")
    assert (status, problem["title"]) == (404, "NOT_FOUND")
    async with door.http.delete(door.url + "/v1/status") as response:
        assert response.status == 405
        assert "GET" in response.headers["Allow"]


async def test_blobs_go_in_as_bytes_and_come_back(door: Door) -> None:
    async with door.http.put(door.url + "/v1/blob", data=b"model") as response:
        reply = json.loads(await response.text())
    status, blob = await door.get(f"/v1/blob/{reply['digest']}")
    assert (status, blob["blob"]) == (200, "0x" + b"model".hex())


NESTED = """
import asyncio
from node.drivers.contract_engine import ContractEngine
from node.rpc import jsonrpc
from node.testing.memory_node import MemoryNode

ContractEngine()  # raises the recursion limit, as in a node
for count in (300, 29_000, 200_000):
    deep = b"[" * count + b"]" * count
    body = b'{"jsonrpc":"2.0","id":1,"method":"call","params":{"contract":"a","method":"b","args":'
    print(asyncio.run(jsonrpc.answer(MemoryNode(), body + b'{"x":' + deep + b"}}}")).decode()[:60])
"""


def test_arguments_nested_without_end_do_not_end_the_process() -> None:
    command = [sys.executable, "-c", NESTED]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (done.stdout.count("TOO_DEEP"), done.stdout.count("PARSE_ERROR")) == (2, 1), done.stdout


async def test_readiness_is_not_liveness(door: Door) -> None:
    door.node.is_ready = False
    assert (await door.get("/health/live"))[0] == 200
    status, verdict = await door.get("/health/ready")
    assert status == 503
    assert verdict["checks"][0]["detail"] == "no quorum of peers"  # type: ignore[index]
    assert (await door.get("/health/nothing"))[0] == 404
    status, reply = await door.get("/v1/status")
    assert reply["is_ready"] is False


async def test_metrics_and_openapi_are_served(door: Door) -> None:
    async with door.http.get(door.url + "/metrics") as response:
        assert b"height 0" in await response.read()
    status, document = await door.get("/openapi.json")
    assert status == 200
    assert "/v1/prediction/{id}" in document["paths"]  # type: ignore[operator]


async def test_a_client_beyond_its_rate_is_told_when_to_come_back() -> None:
    node = MemoryNode()
    async with (
        RpcServer(node, RpcSettings(rate_per_s=1, burst=2)) as server,
        aiohttp.ClientSession() as http,
    ):
        seen = []
        for _ in range(3):
            async with http.get(server.url + "/v1/status") as response:
                seen.append((response.status, response.headers.get("Retry-After")))
        assert [status for status, _ in seen] == [200, 200, 429]
        assert seen[2][1] in ("1", "2")


def test_the_limiter_refills_and_forgets_the_oldest_client() -> None:
    limiter = RateLimiter(rate_per_s=10, burst=1, clients_max=2)
    assert limiter.take("a", 1, 0) == 0
    assert limiter.take("a", 1, 0) == 101
    assert limiter.take("a", 1, 100) == 0
    limiter.take("b", 1, 100)
    limiter.take("c", 1, 100)
    assert len(limiter) == 2


async def read_events(response: aiohttp.ClientResponse, count: int) -> list[tuple[str, Json]]:
    found: list[tuple[str, Json]] = []
    identity = ""
    async with asyncio.timeout(5):
        async for line in response.content:
            text = line.decode().rstrip("\n")
            if text.startswith("id: "):
                identity = text[4:]
            elif text.startswith("data: "):
                found.append((identity, json.loads(text[6:])))
                if len(found) == count:
                    break
    return found


async def test_a_stream_resumes_after_its_cursor_without_gap(door: Door) -> None:
    for number in range(3):
        await door.submit(signed(bytes([number]), nonce=number))
    url = door.url + "/v1/events"
    async with door.http.get(url, params={"cursor": "0-0-0"}) as response:
        first = await read_events(response, 2)
    assert [cursor for cursor, _ in first] == ["1-0-0", "2-0-0"]
    async with door.http.get(url, headers={"Last-Event-ID": "2-0-0"}) as response:
        await door.submit(signed(b"\x09", nonce=9))
        rest = await read_events(response, 2)
    assert [cursor for cursor, _ in rest] == ["3-0-0", "4-0-0"]
    assert rest[1][1]["fields"] == {"rul": 9, "machine": "M1"}


async def test_an_expired_cursor_is_410_with_the_oldest_that_is_left(door: Door) -> None:
    door.node.pruned_below = 5
    async with door.http.get(door.url + "/v1/events", params={"cursor": "1-0-0"}) as response:
        problem = json.loads(await response.text())
    assert (response.status, problem["title"]) == (410, "CURSOR_EXPIRED")
    assert problem["data"]["oldest"] == "5-0-0"


async def test_events_are_listed_and_filtered(door: Door) -> None:
    now = (await door.rpc("events"))["result"]
    await door.submit(signed())
    answer = (await door.rpc("events", cursor=now["cursor"], wait_ms=2000))["result"]  # type: ignore[index]
    assert [event["name"] for event in answer["events"]] == ["alert"]  # type: ignore[index]
    none = (await door.rpc("events", cursor="0-0-0", name="other"))["result"]
    assert none["events"] == []  # type: ignore[index]
