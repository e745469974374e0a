"""The file `gw.toml`: what to read, how to window it, where to send it (docs/gateway.md)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from andon.core.errors import Code, InvalidInput

CONFIG_BYTES_MAX = 1024 * 1024
COARSEN_MAX = 1024
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
Natural = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
C = TypeVar("C", bound="Table")


class Table(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Base of every table: an unknown name is refused, so that a typing error is seen."""


class Chain(Table, kw_only=True, frozen=True):
    """Where transactions go. `record` names the contract that counts windows; empty: none."""

    nodes: list[str] = msgspec.field(default_factory=lambda: ["http://127.0.0.1:26657"])
    genesis: str = ""
    key: str = "gateway.key"
    record: str = "telemetry"
    windows_per_transaction: Annotated[int, msgspec.Meta(ge=1, le=32)] = 16
    gas_limit: Positive = 20_000_000


class OutboxTable(Table, kw_only=True, frozen=True):
    """The durable store. Above `coarsen_above` waiting windows, windows are made larger."""

    path: str = "gateway.outbox"
    size_mb: Positive = 4096
    coarsen_above: Positive = 256
    journal_max: Natural = 1_000_000
    """Raw messages that are kept after use, for audits; 0 keeps none."""
    seen_max: Positive = 2_000_000
    """Messages whose redelivery is noticed."""


class CallTable(Table, kw_only=True, frozen=True):
    """The call of each window; `$name` takes a field of the window."""

    contract: str = "maintenance"
    method: str = "assess"
    arguments: dict[str, str | int | bool] = msgspec.field(
        default_factory=lambda: {"machine": "$machine", "window": "$window"}
    )


class Channel(Table, kw_only=True, frozen=True):
    """One channel: its name and unit at the source, and the range that is believed."""

    source: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None


class Stream(Table, kw_only=True, frozen=True):
    """Machines of one kind: rows of `row_ms`, a record each `stride` rows."""

    name: str
    machines: list[str] = msgspec.field(default_factory=lambda: ["*"])
    row_ms: Positive = 1000
    stride: Positive = 10
    lateness_ms: Natural = 2000
    idle_ms: Positive = 30_000
    future_ms: Positive = 300_000
    """A reading further ahead of this gateway's clock is counted as bad."""
    package: str = ""
    call: CallTable | None = None
    channels: dict[str, Channel] = {}


class Tls(Table, kw_only=True, frozen=True):
    """Files of a TLS client; `key_file` with `certificate` proves who we are.

    The broker's certificate has to be issued by `ca` (empty: by an authority that the system
    trusts) for `server_name` (empty: `host`). A `fingerprint` pins it: with `ca` both have to
    hold, without it the pin alone.
    """

    ca: str = ""
    certificate: str = ""
    key_file: str = ""
    server_name: str = ""
    fingerprint: str = ""


class MqttTable(Table, kw_only=True, frozen=True):
    """One broker. `topic` may hold `{machine}` and `+`, `#`."""

    host: str = "127.0.0.1"
    port: Port = 1883
    client_id: str
    topic: str = "plant/{machine}/readings"
    format: Literal["json", "sparkplug"] = "json"
    machine: str = "{group}.{node}.{device}"
    """Name of a Sparkplug device's machine."""
    host_id: str = ""
    """Sparkplug primary host id, announced as online; empty: not announced."""
    username: str = ""
    password_file: str = ""
    tls: Tls | None = None
    inflight_max: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 4000
    session_expiry_s: Natural = 7 * 24 * 3600


class OpcuaTable(Table, kw_only=True, frozen=True):
    """One OPC UA server; `nodes` maps a node id to machine and channel (`press-7/temperature`)."""

    url: str
    nodes: dict[str, str]
    period_ms: Positive = 500
    username: str = ""
    password_file: str = ""


class ReplayTable(Table, kw_only=True, frozen=True):
    """A CSV or Parquet file: one row a sample."""

    path: str
    time: str = "time_ms"
    time_unit: Literal["ms", "s"] = "ms"
    machine: str = "machine"
    """Column with the machine, or `=name` for all rows."""
    rate_per_s: Natural = 0
    """Rows a second; 0 is as fast as it goes."""


class MetricsTable(Table, kw_only=True, frozen=True):
    """The port on loopback of `/metrics` and `/state`; 0 serves neither."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0


class GatewayConfig(Table, kw_only=True, frozen=True):
    """The whole file."""

    chain: Chain = Chain()
    outbox: OutboxTable = OutboxTable()
    streams: list[Stream]
    mqtt: list[MqttTable] = []
    opcua: list[OpcuaTable] = []
    replay: list[ReplayTable] = []
    metrics: MetricsTable = MetricsTable()


def read_table(kind: type[C], path: Path) -> C:
    """Read a TOML file as one of our tables.

    Raises:
        InvalidInput: BAD_CONFIG that names the field.
    """
    try:
        content = path.read_bytes()[: CONFIG_BYTES_MAX + 1]
        if len(content) > CONFIG_BYTES_MAX:
            raise InvalidInput(Code.BAD_CONFIG, f"{path} exceeds {CONFIG_BYTES_MAX} bytes")
        return msgspec.convert(tomllib.loads(content.decode()), kind)
    except OSError as error:
        raise InvalidInput(Code.BAD_CONFIG, f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise InvalidInput(
            Code.BAD_CONFIG, f"{path}: {error}", hint="see docs/gateway.md"
        ) from None


def read_config(path: Path) -> GatewayConfig:
    """Read `gw.toml`; its relative paths are relative to its folder.

    Raises:
        InvalidInput: BAD_CONFIG.
    """
    config = read_table(GatewayConfig, path)
    names = [stream.name for stream in config.streams]
    if not names or len(set(names)) != len(names):
        raise InvalidInput(Code.BAD_CONFIG, f"{path}: streams need distinct names, at least one")
    if not (config.mqtt or config.opcua or config.replay):
        raise InvalidInput(Code.BAD_CONFIG, f"{path}: no source", hint="add [[mqtt]]")
    return config
