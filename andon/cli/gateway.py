"""`andon gateway`: the process between a plant and the network, and a look into its outbox."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click

from andon.cli.context import Context, need_extra
from andon.core.json_value import Json, to_hex

SHOWN_MAX = 5


@click.group("gateway")
def gateway_command() -> None:
    """Read MQTT, Sparkplug B, OPC UA and files; send signed windows, each exactly once."""


@gateway_command.command("run")
@click.argument("config", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--until-done", is_flag=True, help="End when all files are replayed and final.")
@click.pass_obj
def gateway_run(context: Context, *, config: Path, until_done: bool) -> None:
    """Run the gateway of CONFIG until a signal."""
    need_extra("gateway", "lmdb", "paho.mqtt.client", "google.protobuf")
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
@click.pass_obj
def gateway_check(context: Context, *, config: Path) -> None:
    """Check CONFIG with its packages and key, and show what the outbox holds.

    The gateway must not be running: one process opens an outbox.
    """
    need_extra("gateway", "lmdb", "paho.mqtt.client", "google.protobuf")
    from andon.client.wallet import load_key_file
    from andon.gateway.config import read_config
    from andon.gateway.outbox import Outbox
    from andon.gateway.process import windowers

    found = read_config(config)
    folder = config.resolve().parent
    key = load_key_file(folder / found.chain.key)
    streams = windowers(found, folder)
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
