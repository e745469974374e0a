"""What the OpenAPI document promises, a node keeps: generated requests, every answer compared."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from andon.core.codec import Value, encode_value
from andon.core.keys import PrivateKey
from node.envelopes import Envelopes
from node.facade import StateAnswer
from node.private import PrivatePayloads
from node.rpc import RpcServer, RpcSettings
from node.rpc.epcis import Epcis
from node.testing.memory_node import MemoryNode

pytestmark = pytest.mark.integration
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
EXAMPLES = 12
TIMEOUT_S = 480
KEY = PrivateKey(b"\x11" * 32)


class Keeper(MemoryNode):
    """Names this node the keeper of every payload, so that requests for them get far."""

    async def state(self, key: bytes) -> StateAnswer:
        entry: Value = {"status": "STORED", "keepers": [KEY.public]}
        return replace(await super().state(key), value=encode_value(entry))

    async def value(self, key: bytes) -> bytes | None:
        return (await self.state(key)).value


async def test_no_generated_request_gets_an_answer_that_is_not_in_the_document(
    tmp_path: Path,
) -> None:
    settings = RpcSettings(rate_per_s=100_000, burst=100_000)
    node = Keeper()
    private = PrivatePayloads(node, Envelopes(tmp_path / "private", b"", node), KEY)
    faces = [Epcis(node, tmp_path), private]
    async with RpcServer(node, settings, faces) as server:
        tool = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            server.url + "/openapi.json",
            f"--max-examples={EXAMPLES}",
            "--phases=examples,fuzzing",
            "--seed=1",
            "--workers=1",
            f"--checks={','.join(CHECKS)}",
            "--no-color",
            "--generation-database=none",
            "--request-timeout=10",
            "--exclude-path=/v1/events",  # it never ends
            "--exclude-path=/v1/ws",
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(tool.communicate(), TIMEOUT_S)
    assert tool.returncode == 0, output.decode()[-6000:]
    assert "Tested: " in output.decode()
