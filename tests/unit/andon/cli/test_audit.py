"""`andon audit`: what it prints and how it ends, with an engine that finds what a test wants."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from andon.cli.audit import audit_command
from andon.cli.context import EXIT_ASSERTION, EXIT_NOT_FINAL, Context
from andon.core.worker import Explained

DIFFERENCE = SimpleNamespace(
    height=5,
    model_id=b"\xaa" * 32,
    input_digest=b"\xbb" * 32,
    report=Explained(2, 100, 101, 100, 7, "rescale", "committed"),
)


@dataclass(frozen=True)
class Offline(Context):
    """A context whose client knows a genesis and a height."""

    @asynccontextmanager
    async def async_client(self) -> AsyncIterator[object]:  # type: ignore[override] # a double
        async def genesis() -> None: ...

        async def status() -> SimpleNamespace:
            return SimpleNamespace(height=6)

        yield SimpleNamespace(genesis=genesis, status=status)


def run(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, as_json: bool = False, quiet: bool = True,
    difference: object = None, is_complete: bool = True,
) -> Result:  # fmt: skip
    async def audit(
        _genesis: object, _source: object, bounds: SimpleNamespace, *, backend: str,
        progress: Callable[[int], None],
    ) -> SimpleNamespace:  # fmt: skip
        for height in range(1, bounds.last + 1):
            progress(height)
        return SimpleNamespace(
            first=bounds.first, last=bounds.last, reached=5, predictions=31, attested=2,
            difference=difference, is_complete=is_complete, backend=backend,
        )  # fmt: skip

    engine = ModuleType("engine_of_a_test")
    vars(engine).update(Range=SimpleNamespace, audit=audit)
    monkeypatch.setitem(sys.modules, engine.__name__, engine)
    monkeypatch.setattr("andon.cli.audit.ENGINE", engine.__name__)
    context = Offline(home=Path(), nodes=(), as_json=as_json, quiet=quiet, timeout_ms=1)
    return CliRunner().invoke(audit_command, arguments, obj=context)


def test_a_chain_that_agrees_ends_with_zero_and_says_what_was_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = run(monkeypatch, "--from", "2")
    assert found.exit_code == 0
    assert "heights 2 to 5 of 6: 31 predictions recomputed and equal" in found.output
    assert "2 attested (not exact, not recomputed)" in found.output


def test_the_first_difference_is_told_by_model_input_element_and_operation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = run(monkeypatch, difference=DIFFERENCE)
    assert found.exit_code == EXIT_ASSERTION
    lines = dict(line.split(maxsplit=1) for line in found.output.splitlines()[2:])
    assert lines["model"] == "0x" + "aa" * 32
    assert lines["input"] == "0x" + "bb" * 32
    assert (lines["element"], lines["op"]) == ("2", "7 rescale")
    assert (lines["means"], lines["committed"], lines["computed"]) == ("100", "101", "100")
    told = json.loads(run(monkeypatch, difference=DIFFERENCE, as_json=True).output)["difference"]
    assert (told["height"], told["op"], told["element"]) == (5, "rescale", 2)
    assert told["at_fault"] == "committed"


def test_time_that_was_over_first_is_another_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, is_complete=False).exit_code == EXIT_NOT_FINAL


def test_progress_goes_to_stderr_and_a_quiet_run_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    loud, still = run(monkeypatch, quiet=False), run(monkeypatch)
    assert "audit" in loud.stderr
    assert "audit" not in loud.stdout
    assert still.stderr == ""


def test_a_range_beyond_the_head_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "--from", "9").exit_code != 0
