"""`andon audit`: recompute every committed prediction of a range of heights on this machine."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from typing import Protocol

import click

from andon.cli.checkout import from_checkout
from andon.cli.context import EXIT_ASSERTION, EXIT_NOT_FINAL, Context, end
from andon.client.async_client import AsyncClient
from andon.core.errors import Code, Misuse
from andon.core.json_value import Json, to_hex
from andon.core.wire import FinalBlock
from andon.core.worker import BACKENDS, Explained

ENGINE = "node.audit"
SECONDS_DEFAULT = 3600.0


class Difference(Protocol):
    """`node.audit.Difference`."""

    height: int
    model_id: bytes
    input_digest: bytes
    report: Explained


class Result(Protocol):
    """`node.audit.Result`."""

    first: int
    last: int
    reached: int
    predictions: int
    attested: int
    difference: Difference | None
    is_complete: bool


class Source:
    """Blocks and blobs of the nodes that the client asks."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def final_block(self, height: int) -> FinalBlock:
        """Give a final block."""
        return await self._client.final_block(height)

    async def blob(self, identity: bytes) -> bytes:
        """Give a blob."""
        return await self._client.blob(identity)


@click.command("audit")
@click.option("--from", "first", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--to", "last", type=click.IntRange(min=1), help="Last height; the head by default.")
@click.option(
    "--backend", type=click.Choice([*BACKENDS, "numpy"]), default="cpu", show_default=True,
    help="What recomputes the predictions.",
)  # fmt: skip
@click.option(
    "--seconds", type=click.FloatRange(min=1), default=SECONDS_DEFAULT, show_default=True,
    help="Stop after so long; exit 3 says that the range is not done.",
)  # fmt: skip
@click.pass_obj
def audit_command(
    context: Context, *, first: int, last: int | None, backend: str, seconds: float
) -> None:
    """Replay the chain with its certificates and recompute the predictions of heights FROM..TO.

    Exit 0: all agree. Exit 8: one differs; model, input, element and operation are printed. Exit 3:
    time was over before the end of the range.
    """
    result = asyncio.run(_run(context, first, last, backend, seconds))
    document = _document(result)
    context.show(document, _text(result))
    if result.difference is not None:
        end(EXIT_ASSERTION)
    if not result.is_complete:
        end(EXIT_NOT_FINAL)


async def _run(
    context: Context, first: int, last: int | None, backend: str, seconds: float
) -> Result:
    engine = from_checkout(ENGINE)
    async with context.async_client() as client:
        genesis = await client.genesis()
        top = int((await client.status()).height) if last is None else last
        if first > top:
            raise Misuse(Code.BAD_ARGUMENTS, f"--from {first} is above {top}")
        bar = (
            nullcontext()
            if context.quiet
            else click.progressbar(length=top, label="audit", file=sys.stderr)
        )
        with bar as shown:

            def progress(_height: int) -> None:
                if shown is not None:
                    shown.update(1)

            bounds = engine.Range(first=first, last=top, seconds=seconds)
            found: Result = await engine.audit(
                genesis, Source(client), bounds, backend=backend, progress=progress
            )
            return found


def _document(result: Result) -> dict[str, Json]:
    found = result.difference
    difference: Json = None
    if found is not None:
        report = found.report
        difference = {
            "height": found.height,
            "model_id": to_hex(found.model_id),
            "input_digest": to_hex(found.input_digest),
            "element": report.element,
            "operation": report.operation,
            "op": report.name,
            "expected": report.expected,
            "committed": report.committed,
            "computed": report.found,
            "at_fault": report.at_fault,
        }
    return {
        "from": result.first,
        "to": result.last,
        "reached": result.reached,
        "is_complete": result.is_complete,
        "predictions": result.predictions,
        "attested": result.attested,
        "difference": difference,
    }


def _text(result: Result) -> str:
    head = (
        f"heights {result.first} to {result.reached} of {result.last}: "
        f"{result.predictions} predictions recomputed and equal"
    )
    if result.attested:
        head += f", {result.attested} attested (not exact, not recomputed)"
    found = result.difference
    if found is None:
        return head
    report = found.report
    return "\n".join(
        [
            head,
            f"DIFFERENT at height {found.height}",
            f"  model      {to_hex(found.model_id)}",
            f"  input      {to_hex(found.input_digest)}",
            f"  element    {report.element}",
            f"  op         {report.operation} {report.name}",
            f"  means      {report.expected}",
            f"  committed  {report.committed}",
            f"  computed   {report.found}",
            f"  at fault   {report.at_fault}",
        ]
    )
