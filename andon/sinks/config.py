"""The file `sink.toml`: which chain, and where it goes (docs/sinks.md)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

from andon.core.errors import Code, InvalidInput

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Table(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Base of every table: an unknown name is refused."""


class ChainTable(Table, kw_only=True, frozen=True):
    """Nodes to read from, and the genesis that is trusted; empty: the first node's word."""

    nodes: list[str] = msgspec.field(default_factory=lambda: ["http://127.0.0.1:26657"])
    genesis: str = ""


class Postgres(Table, kw_only=True, frozen=True):
    """A database; `dsn` as libpq takes it, a password better in PGPASSFILE."""

    dsn: str
    schema: str = "andon"
    first_height: Annotated[int, msgspec.Meta(ge=1)] = 1


class Filtered(Table, kw_only=True, frozen=True):
    """Which events are delivered; empty is all. `cursor_file` keeps the last acknowledged one."""

    name: str
    contract: str = ""
    event: str = ""
    start: str = "0-0-0"
    """Cursor to begin after, at first: `0-0-0` is the beginning."""


class Webhook(Filtered, kw_only=True, frozen=True):
    """POST of one JSON event; a 2xx answer acknowledges it."""

    url: str
    secret_file: str = ""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=300)] = 10.0


class MqttOut(Filtered, kw_only=True, frozen=True):
    """Publishes at QoS 1; the broker's acknowledgement counts."""

    host: str = "127.0.0.1"
    port: Port = 1883
    client_id: str
    topic: str = "andon/{contract}/{event}"
    username: str = ""
    password_file: str = ""
    ca: str = ""


class SinkConfig(Table, kw_only=True, frozen=True):
    """The whole file."""

    chain: ChainTable = ChainTable()
    state: str = "sink-state"
    """Folder of the cursors of web hooks and MQTT."""
    postgres: list[Postgres] = []
    webhook: list[Webhook] = []
    mqtt: list[MqttOut] = []


def read_sink_config(path: Path) -> SinkConfig:
    """Read `sink.toml`.

    Raises:
        InvalidInput: BAD_CONFIG that names the field.
    """
    try:
        config = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), SinkConfig)
    except OSError as error:
        raise InvalidInput(Code.BAD_CONFIG, f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise InvalidInput(Code.BAD_CONFIG, f"{path}: {error}", hint="see docs/sinks.md") from None
    names = [item.name for item in (*config.webhook, *config.mqtt)]
    if len(set(names)) != len(names):
        raise InvalidInput(Code.BAD_CONFIG, f"{path}: deliveries need distinct names")
    if not (config.postgres or names):
        raise InvalidInput(Code.BAD_CONFIG, f"{path}: no sink", hint="add [[postgres]]")
    return config
