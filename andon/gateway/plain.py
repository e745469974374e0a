"""JSON messages: `{"time_ms": 1, "values": {"temperature": 71.5}}`; a topic names the machine."""

from __future__ import annotations

import math

import msgspec

from andon.gateway.reading import GOOD, QUALITIES, Arrival, Sample, Stray
from andon.gateway.topics import machine_pattern

PAYLOAD_BYTES_MAX = 1024 * 1024


class _Message(msgspec.Struct):
    values: dict[str, float | int | bool | None]
    time_ms: int | None = None
    machine: str = ""
    quality: str = GOOD


class PlainDecoder:
    """Understands JSON payloads; a message without a time gets the time of its arrival."""

    def __init__(self, topic: str) -> None:
        self._pattern = machine_pattern(topic)
        self._decoder = msgspec.json.Decoder(_Message)

    def decode(self, arrival: Arrival) -> list[Sample]:
        """One message is one sample."""
        if len(arrival.payload) > PAYLOAD_BYTES_MAX:
            raise Stray(f"more than {PAYLOAD_BYTES_MAX} bytes")
        try:
            message = self._decoder.decode(arrival.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Stray(f"no JSON sample: {error}") from None
        if message.quality not in QUALITIES:
            raise Stray(f"quality {message.quality!r} is none of {QUALITIES}")
        machine = message.machine or self._machine_of(arrival.topic)
        time_ms = arrival.arrived_ms if message.time_ms is None else message.time_ms
        return [Sample(machine, time_ms, numbers(message.values), message.quality)]

    def restore(self, notes: dict[str, bytes]) -> None:
        """Nothing is remembered."""

    def take_notes(self) -> dict[str, bytes]:
        """Nothing is noted."""
        return {}

    def _machine_of(self, topic: str) -> str:
        found = None if self._pattern is None else self._pattern.match(topic)
        if found is None:
            raise Stray("neither topic nor message names a machine")
        return found["machine"]


def numbers(values: dict[str, float | int | bool | None]) -> dict[str, float | None]:
    """As floats; what is not finite is missing."""
    return {name: _number(value) for name, value in values.items()}


def _number(value: float | bool | None) -> float | None:  # noqa: FBT001 - as JSON has it
    if value is None:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
