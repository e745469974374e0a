"""`andon gateway`: the process between a plant and the network, and a look into its outbox."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click

from andon.cli.context import Context, end, need_extra
from andon.core.json_value import Json, to_hex

SHOWN_MAX = 5
MODULES = ("lmdb", "paho.mqtt.client", "google.protobuf", "prometheus_client")
STATUS_TIMEOUT_S = 5


@click.group("gateway")
def gateway_command() -> None:
    """Read MQTT, Sparkplug B, OPC UA and files; send signed windows, each exactly once."""


@gateway_command.command("run")
@click.argument("config", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--until-done", is_flag=True, help="End when all files are replayed and final.")
@click.pass_obj
def gateway_run(context: Context, *, config: Path, until_done: bool) -> None:
    """Run the gateway of CONFIG until a signal."""
    need_extra("gateway", *MODULES)
    from andon.gateway.config import read_config
    from andon.gateway.process import Gateway

    logging.basicConfig(
        level=logging.ERROR if context.quiet else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    gateway = Gateway(read_config(config), config.resolve().parent)
    context.note(f"gateway runs with {config}; Ctrl-C ends it, nothing is lost")
    asyncio.run(gateway.run(until_done=until_done))


@gateway_command.command("check")
@click.argument("config", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--brokers/--no-brokers", default=True, help="Connect to each broker once.")
@click.pass_obj
def gateway_check(context: Context, *, config: Path, brokers: bool) -> None:
    """Check CONFIG with its packages, key and brokers, and show what the outbox holds.

    The gateway must not be running: one process opens an outbox.
    """
    need_extra("gateway", *MODULES)
    from andon.client.wallet import load_key_file
    from andon.gateway.config import read_config
    from andon.gateway.mqtt import check_broker
    from andon.gateway.outbox import Outbox
    from andon.gateway.process import windowers

    found = read_config(config)
    folder = config.resolve().parent
    key = load_key_file(folder / found.chain.key)
    streams = windowers(found, folder)
    for table in found.mqtt if brokers else []:
        context.note(f"asking the broker {table.host}:{table.port}")
        check_broker(table, folder)
    with Outbox(folder / found.outbox.path, found.outbox) as outbox:
        counters = outbox.counters()
        strays = outbox.strays()[-SHOWN_MAX:]
        refused = outbox.refused()[-SHOWN_MAX:]
        machines = len(outbox.lines())
    lines = [f"account {to_hex(key.public)}", f"streams {len(streams)}  machines {machines}"]
    lines.append("  ".join(f"{name} {number}" for name, number in counters.items()))
    lines += [f"stray {topic}: {reason}" for topic, _, reason in strays]
    lines += [f"refused {item.window.machine}: {item.reason}" for item in refused]
    totals: dict[str, Json] = dict(counters)
    context.show({"account": to_hex(key.public), "machines": machines, **totals}, "\n".join(lines))


@gateway_command.command("status")
@click.argument("config", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.pass_obj
def gateway_status(context: Context, *, config: Path) -> None:
    """Ask the running gateway of CONFIG what each part does and why one waits.

    Needs `[metrics]` with a port. Exit 0 if every part works, 1 if one waits.
    """
    need_extra("gateway", *MODULES)
    from andon.gateway.config import read_config
    from andon.gateway.metrics import ask

    state = asyncio.run(ask(read_config(config).metrics, STATUS_TIMEOUT_S))
    lines = [
        f"{part.part}: {'works' if part.works else 'waits: ' + part.reason}" for part in state.parts
    ]
    lines.append("  ".join(f"{name} {number}" for name, number in state.totals.items()))
    lines.append(
        f"in memory {state.queue_messages}  oldest {state.oldest_age_ms / 1000:.1f} s  "
        f"coarsening {state.coarsening}"
    )
    parts: dict[str, Json] = {part.part: part.reason for part in state.parts}
    totals: dict[str, Json] = dict(state.totals)
    context.show({"parts": parts, "oldest_age_ms": state.oldest_age_ms, **totals}, "\n".join(lines))
    if not all(part.works for part in state.parts):
        end(1)
