"""Sparkplug sessions: births, aliases, sequence numbers, deaths, and when to ask for a rebirth.

The tables of aliases are noted with the messages that made them, so that after a crash the data
messages that the broker delivers again can still be read. Rules: Sparkplug 3.0, sections 5 and 6.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from andon.gateway.reading import BAD, GOOD, UNCERTAIN, Arrival, Sample, Stray
from andon.gateway.sparkplug import (
    BOOLEAN,
    GOOD_QUALITY,
    STALE_QUALITY,
    Metric,
    Payload,
    PayloadMessage,
    number,
    read_payload,
)

NAMESPACE = "spBv1.0"
NODES_MAX = 4096
DEVICES_MAX = 4096
NOTE = "sparkplug/"
BD_SEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"


class Birth(msgspec.Struct, array_like=True):
    """What a birth certificate declared: metrics by name and by alias, with their types."""

    types: dict[str, int] = {}
    names: dict[int, str] = {}


class Edge(msgspec.Struct, array_like=True):
    """One edge node: its last sequence number, its own metrics, and its devices'."""

    seq: int = -1
    bd_seq: int = -1
    is_alive: bool = False
    own: Birth = msgspec.field(default_factory=Birth)
    devices: dict[str, Birth] = {}


class SparkplugDecoder:
    """Understands the messages of one Sparkplug namespace.

    `rebirth(group, node)` is called when a node has to say again what its metrics are.
    """

    def __init__(self, machine: str, note: str, rebirth: Callable[[str, str], None]) -> None:
        self._machine = machine
        self._note = NOTE + note + "/"
        self._rebirth = rebirth
        self._edges: dict[str, Edge] = {}
        self._changed: set[str] = set()
        self.gaps = 0
        """Breaks of a node's sequence since this process began."""

    def restore(self, notes: dict[str, bytes]) -> None:
        """Take over the sessions as they were written."""
        self._changed.clear()
        self._edges = {
            name.removeprefix(self._note): msgspec.msgpack.decode(value, type=Edge)
            for name, value in notes.items()
            if name.startswith(self._note)
        }

    def take_notes(self) -> dict[str, bytes]:
        """Sessions that the last messages changed."""
        notes = {
            self._note + name: msgspec.msgpack.encode(self._edges[name])
            for name in sorted(self._changed)
        }
        self._changed.clear()
        return notes

    def decode(self, arrival: Arrival) -> list[Sample]:
        """Understand one message of the namespace; state and commands give no samples."""
        levels = arrival.topic.split("/")
        if len(levels) not in (4, 5) or levels[0] != NAMESPACE:
            if levels[:2] == [NAMESPACE, "STATE"]:
                return []
            raise Stray("no Sparkplug topic")
        group, kind, node = levels[1:4]
        device = levels[4] if len(levels) == 5 else ""
        if kind in ("NCMD", "DCMD"):
            return []
        if (kind[0] == "D") != bool(device) or kind not in (
            "NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH",
        ):  # fmt: skip
            raise Stray(f"unknown Sparkplug message {kind!r:.20}")
        payload = read_payload(arrival.payload)
        edge = self._edge(f"{group}/{node}")
        self._changed.add(f"{group}/{node}")
        if kind == "NDEATH":
            return self._node_death(edge, payload)
        if not self._is_next(edge, kind, payload):
            self._rebirth(group, node)
        if kind == "DDEATH":
            edge.devices.pop(device, None)
            return []
        if kind == "NBIRTH":
            edge.devices.clear()
            edge.own = _birth(payload)
            edge.is_alive, edge.bd_seq = True, _bd_seq(payload)
        elif kind == "DBIRTH":
            if len(edge.devices) >= DEVICES_MAX:
                raise Stray(f"more than {DEVICES_MAX} devices")
            edge.devices[device] = _birth(payload)
        birth = edge.devices.get(device) if device else edge.own
        if birth is None or not edge.is_alive:
            self._rebirth(group, node)
            raise Stray(f"{kind} before a birth; a rebirth is asked for")
        machine = self._machine.format(group=group, node=node, device=device).strip(".")
        return self._samples(machine, birth, payload, arrival, (group, node))

    def _edge(self, name: str) -> Edge:
        edge = self._edges.get(name)
        if edge is None:
            if len(self._edges) >= NODES_MAX:
                raise Stray(f"more than {NODES_MAX} edge nodes")
            edge = self._edges[name] = Edge()
        return edge

    def _node_death(self, edge: Edge, payload: Payload) -> list[Sample]:
        # A will of an earlier connection may come after the new birth; bdSeq tells them apart.
        if _bd_seq(payload) in (-1, edge.bd_seq):
            edge.is_alive, edge.seq = False, -1
            edge.devices.clear()
        return []

    def _is_next(self, edge: Edge, kind: str, payload: Payload) -> bool:
        if payload.seq is None:
            return True
        expected, edge.seq = (edge.seq + 1) % 256, payload.seq
        if kind == "NBIRTH" or payload.seq == expected:
            return True
        self.gaps += 1
        return False

    def _samples(
        self,
        machine: str,
        birth: Birth,
        payload: Payload,
        arrival: Arrival,
        node: tuple[str, str],
    ) -> list[Sample]:
        found: dict[tuple[int, str], dict[str, float | None]] = {}
        default = arrival.arrived_ms if payload.time_ms is None else payload.time_ms
        for metric in payload.metrics:
            name = metric.name
            if not name and metric.alias is not None:
                name = birth.names.get(metric.alias, "")
            if not name or name not in birth.types:
                self._rebirth(*node)
                raise Stray("a metric that no birth declared; a rebirth is asked for")
            if isinstance(metric.value, str) or name in (BD_SEQ, REBIRTH):
                continue
            datatype = metric.datatype or birth.types[name]
            value = None if metric.value is None else number(datatype, metric.value)
            time_ms = default if metric.time_ms is None else metric.time_ms
            found.setdefault((time_ms, _quality(metric)), {})[name] = value
        return [Sample(machine, key[0], values, key[1]) for key, values in found.items()]


def rebirth_topic(group: str, node: str) -> str:
    """Where a node listens for commands."""
    return f"{NAMESPACE}/{group}/NCMD/{node}"


def rebirth_payload(time_ms: int) -> bytes:
    """The command that asks a node to publish its births again."""
    payload = PayloadMessage(timestamp=time_ms)
    payload.metrics.add(name=REBIRTH, timestamp=time_ms, datatype=BOOLEAN, boolean_value=True)
    data: bytes = payload.SerializeToString()
    return data


def _birth(payload: Payload) -> Birth:
    birth = Birth({}, {})
    for metric in payload.metrics:
        birth.types[metric.name] = metric.datatype
        if metric.alias is not None:
            birth.names[metric.alias] = metric.name
    return birth


def _bd_seq(payload: Payload) -> int:
    for metric in payload.metrics:
        if metric.name == BD_SEQ and isinstance(metric.value, float):
            return int(metric.value)
    return -1


def _quality(metric: Metric) -> str:
    if metric.quality == GOOD_QUALITY:
        return GOOD
    return UNCERTAIN if metric.quality == STALE_QUALITY else BAD
