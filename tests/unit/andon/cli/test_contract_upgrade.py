"""`andon contract upgrade --dry-run` shows what an upgrade does; `andon call` points to `send`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from andon.cli.context import Context
from andon.cli.contract import contract_command
from andon.cli.contracts import call_command, deploy_command
from andon.client.wallet import Wallet
from andon.core.block import Failure
from andon.core.codec import Value, decode_value, encode_value
from andon.core.errors import InvalidInput
from node.facade import CallAnswer
from node.rpc import RpcServer
from node.testing.memory_node import MemoryNode
from tests.unit.andon.cli.test_contracts import SOURCE

ROW: Value = ["counter", "marks", "a"]
REHEARSED: Value = {
    "version": 2, "gas_used": 62_333, "reads": 2, "writes": 1,
    "read": [ROW, ["counter", "total", None]], "written": [ROW],
}  # fmt: skip


class Rehearsing(MemoryNode):
    """Answers an upgrade as a node does."""

    async def call(
        self,
        contract: str,
        method: str,
        args: bytes,
        sender: bytes | None,
        *,
        height: int | None = None,
    ) -> CallAnswer:
        del height
        if (contract, method) != ("contracts", "upgrade"):
            failure = Failure("E_NO_FUNC", contract, method, 0, "no such view")
            return CallAnswer(ok=False, result=b"\xc0", gas_used=1, failure=failure, height=1)
        given = decode_value(args)
        assert isinstance(given, dict)
        assert sender is not None
        if "refused" in str(given["source"]):
            failure = Failure("E_ASSERT", "counter", "rescale", 9, "not with this state")
            return CallAnswer(ok=False, result=b"\xc0", gas_used=1, failure=failure, height=1)
        return CallAnswer(
            ok=True, result=encode_value(REHEARSED), gas_used=1, failure=None, height=1
        )


async def ask(tmp_path: Path, command: str, *arguments: str) -> tuple[str, BaseException | None]:
    Wallet(tmp_path / "keys").create("me", b"\x2a" * 32)
    node = Rehearsing()
    node.put("contracts", "source", {"counter": SOURCE})
    async with RpcServer(node) as server:
        context = Context(
            home=tmp_path, nodes=(server.url,), as_json=False, quiet=False, timeout_ms=5000
        )
        verbs = {"contract": contract_command, "call": call_command, "deploy": deploy_command}
        chosen = verbs[command]
        run = CliRunner().invoke
        done = await asyncio.to_thread(run, chosen, list(arguments), obj=context)  # type: ignore[arg-type] # click's own
    assert "submit" not in node.calls
    return done.output, done.exception


async def test_a_dry_run_shows_version_gas_and_keys(tmp_path: Path) -> None:
    (tmp_path / "counter.py").write_text(SOURCE)
    output, error = await ask(
        tmp_path, "contract", "upgrade", str(tmp_path / "counter.py"), "--dry-run", "--from=me"
    )
    assert error is None
    assert output.splitlines() == [
        "counter becomes version 2: 62333 gas, reading 2 and writing 1 keys",
        "  read  counter.marks[a]",
        "  read  counter.total",
        "  write counter.marks[a]",
    ]


async def test_a_dry_run_that_is_refused_says_why(tmp_path: Path) -> None:
    (tmp_path / "counter.py").write_text(SOURCE + "# refused\n")
    _, error = await ask(
        tmp_path, "contract", "upgrade", str(tmp_path / "counter.py"), "--dry-run", "--from=me"
    )
    assert isinstance(error, InvalidInput)
    assert "E_ASSERT in counter.rescale, line 9: not with this state" in str(error)


async def test_a_deployment_is_tried_without_sending_it(tmp_path: Path) -> None:
    path = tmp_path / "fresh.py"
    path.write_text(SOURCE)
    output, error = await ask(tmp_path, "deploy", str(path), "--dry-run", "--from=me")
    assert error is None
    assert output.splitlines()[0].startswith("fresh would be new, source 0x")
    assert "+ export add(amount: int) -> any" in output
    again = tmp_path / "again"
    _, error = await ask(again, "deploy", str(path), "--dry-run", "--upgrade", "--from=me")
    assert isinstance(error, InvalidInput)
    assert error.code.name == "NO_CONTRACT"


@pytest.mark.parametrize(
    ("method", "code", "hint"),
    [
        ("add", "NO_METHOD", "andon send counter.add amount=1"),
        ("sub", "NO_METHOD", "its views are current"),
    ],
)
async def test_a_call_of_what_changes_state_points_to_send(
    method: str, code: str, hint: str, tmp_path: Path
) -> None:
    _, error = await ask(tmp_path, "call", f"counter.{method}", "amount=1")
    assert isinstance(error, InvalidInput)
    assert (error.code.name, error.hint or "") == (code, hint)
