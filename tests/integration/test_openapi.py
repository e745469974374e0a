"""What the OpenAPI document promises, a node keeps: generated requests, every answer compared."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from node.rpc import RpcServer, RpcSettings
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
TIMEOUT_S = 240


async def test_no_generated_request_gets_an_answer_that_is_not_in_the_document(
    tmp_path: Path,
) -> None:
    settings = RpcSettings(rate_per_s=100_000, burst=100_000)
    async with RpcServer(MemoryNode(), settings) as server:
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
