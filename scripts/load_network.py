"""Offer load to a running network at fixed times and say what became of it, for `andon bench`.

The call is a template: `{n}` in an argument is the number of the transaction. Latency counts from
when a transaction was due, not from when it was sent, so a node that stalls cannot hide it. What is
final includes calls that a contract refused: whether they do what they should is not asked here.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
from collections.abc import Sequence
from pathlib import Path

import msgspec

from andon.cli.context import Context, exit_code, parse_arguments, print_error
from andon.cli.contracts import split_target
from andon.core.errors import AndonError, Code, InvalidInput
from andon.core.keys import PrivateKey
from andon.core.transaction import TransactionBody, make_call, sign_transaction
from scripts.bench.conditions import conditions
from scripts.bench.load import Result, percentile, run_load
from scripts.bench.targets import AndonTarget
from scripts.bench.usage import Usage, measure
from scripts.load_report import Step, page, used

EXPIRES_AFTER = 2000
TRANSACTIONS_MAX = 200_000
SHARES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every step and print it; 0 unless nothing became final."""
    options = _parser().parse_args(arguments)
    try:
        steps = asyncio.run(_run(options))
    except AndonError as error:
        print_error(error, as_json=options.json)
        return exit_code(error)
    document = {"conditions": conditions(), "call": options.target, "steps": steps}
    encoded = msgspec.json.encode(document)
    if options.out:
        options.out.write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")
    if options.html:
        typed = [msgspec.convert(step, Step) for step in steps]
        options.html.write_text(page(options.target, conditions(), typed), encoding="utf-8")
    if options.json:
        print(encoded.decode())
    return 0 if any(step["final"] for step in steps) else 1


async def _run(options: argparse.Namespace) -> list[dict[str, object]]:
    context = Context(
        home=options.home, nodes=tuple(options.node), as_json=False, quiet=True, timeout_ms=15_000
    )
    rates = _rates(options.rate, options.controller)
    if sum(rates) * options.seconds > TRANSACTIONS_MAX:
        raise InvalidInput(
            Code.TOO_MANY, f"a bench signs at most {TRANSACTIONS_MAX:,} transactions ahead"
        )
    keys = [context.key(name) for name in options.sender]
    steps: list[dict[str, object]] = []
    for rate in rates:
        raws = await _signed(context, options, keys, max(1, int(rate * options.seconds)))
        before = await _usage(context)
        result = await run_load(AndonTarget(), context.endpoints(), raws, rate)
        step = report(result, rate) | used((await _usage(context)).since(before), result)
        steps.append(step)
        if not options.json:
            print(line(step), flush=True)
    return steps


async def _signed(
    context: Context, options: argparse.Namespace, keys: list[PrivateKey], count: int
) -> list[bytes]:
    """Transactions signed ahead, senders in turn, so that signing is not in the figures."""
    contract, method = split_target(options.target)
    async with context.async_client() as client:
        status, chain_id = await client.status(), (await client.genesis()).chain_id
    made: list[bytes] = []
    for number in range(count):
        pairs = [pair.replace("{n}", str(number)) for pair in options.arguments]
        key = keys[number % len(keys)]
        body = TransactionBody(
            chain_id=chain_id,
            sender=key.public,
            nonce=secrets.token_bytes(8),
            expires_height=int(status.height) + EXPIRES_AFTER,
            gas_limit=options.gas,
            calls=(make_call(contract, method, parse_arguments(pairs)),),
        )
        made.append(sign_transaction(body, key))
    return made


async def _usage(context: Context) -> Usage:
    """What processes of the network in --home have used so far; none where it is elsewhere."""
    if context.nodes or not context.home.exists():
        return Usage()
    return await asyncio.to_thread(measure, context.home, ())


def _rates(rate: float, controller: str) -> list[float]:
    """Offered rates: one, or four that rise to it."""
    if rate <= 0:
        raise InvalidInput(Code.BAD_ARGUMENTS, "a rate is above zero")
    return [rate] if controller == "fixed-rate" else [rate * part / 4 for part in (1, 2, 3, 4)]


def report(result: Result, rate: float) -> dict[str, object]:
    """One step as stable JSON: offered, accepted and final apart; latencies in milliseconds."""
    accepted = result.latencies_ms(result.accepted)
    final = result.latencies_ms(result.committed)
    return {
        "offered_per_s": round(rate, 1),
        "offered": result.offered,
        "accepted": len(result.accepted),
        "refused": result.refused,
        "final": len(result.committed),
        "final_per_s": round(result.committed_per_s, 1),
        "blocks": result.blocks,
        "accepted_ms": _shares(accepted),
        "final_ms": _shares(final),
    }


def _shares(ascending: list[float]) -> dict[str, float]:
    return {name: round(percentile(ascending, at), 1) for name, at in SHARES} if ascending else {}


def line(step: dict[str, object]) -> str:
    """One step for people."""
    refused = f", refused {step['refused']}" if step["refused"] else ""
    return (
        f"offered {step['offered_per_s']}/s: {step['offered']} sent, {step['accepted']} accepted, "
        f"{step['final']} final at {step['final_per_s']}/s in {step['blocks']} blocks{refused}\n"
        f"  ms to accepted {step['accepted_ms']}, to final {step['final_ms']}"
        + (f"\n  processor {step['cpu_ms_per_final']} ms a final call" if "cpu_s" in step else "")
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.load_network", description=__doc__)
    parser.add_argument("target", help="contract.method")
    parser.add_argument("arguments", nargs="*", help="name=value; {n} is the number")
    parser.add_argument("--home", type=Path, default=Path(".andon"))
    parser.add_argument("--node", action="append", default=[])
    parser.add_argument("--rate", type=float, default=50.0, help="transactions a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each step")
    parser.add_argument("--controller", choices=("fixed-rate", "ramp"), default="fixed-rate")
    parser.add_argument("--sender", action="append", default=[], help="key or role; repeatable")
    parser.add_argument("--gas", type=int, default=20_000_000)
    parser.add_argument("--out", type=Path, help="write the report as JSON")
    parser.add_argument("--html", type=Path, help="write the report as a page")
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
