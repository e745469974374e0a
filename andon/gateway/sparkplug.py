"""Sparkplug B payloads: the message type of Eclipse Tahu, and what a metric's value means.

The type is built from the table below by the protobuf library itself, so there is no generated
code that fits one version of it only. Field numbers are those of
the specification 3.0, section 6.4.
Sources: sparkplug_b.proto of Eclipse Tahu (names and numbers), Sparkplug 3.0 (data types).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from andon.gateway.reading import Stray

METRICS_MAX = 10_000
GOOD_QUALITY, STALE_QUALITY = 192, 500
_PACKAGE = "org.eclipse.tahu.protobuf"
_Field = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "string": _Field.TYPE_STRING,
    "uint64": _Field.TYPE_UINT64,
    "uint32": _Field.TYPE_UINT32,
    "bool": _Field.TYPE_BOOL,
    "float": _Field.TYPE_FLOAT,
    "double": _Field.TYPE_DOUBLE,
    "bytes": _Field.TYPE_BYTES,
}
_VALUE = "int_value:uint32 long_value:uint64 float_value:float double_value:double"
_VALUE += " boolean_value:bool string_value:string"
_SCHEMA = {
    "PropertyValue": "1 type:uint32 2 is_null:bool 3 " + _VALUE,
    "PropertySet": "1 keys:string* 2 values:PropertyValue*",
    "Metric": "1 name:string 2 alias:uint64 3 timestamp:uint64 4 datatype:uint32"
    " 5 is_historical:bool 6 is_transient:bool 7 is_null:bool 9 properties:PropertySet 10 "
    + _VALUE
    + " bytes_value:bytes",
    "Payload": "1 timestamp:uint64 2 metrics:Metric* 3 seq:uint64 4 uuid:string 5 body:bytes",
}
"""Number, then fields that count on from it; `*` is repeated, a capital names another message."""

UNSIGNED = {5: 8, 6: 16, 7: 32, 8: 64}
SIGNED = {1: 8, 2: 16, 3: 32, 4: 64}
FLOAT, DOUBLE, BOOLEAN, STRING, DATE_TIME = 9, 10, 11, 12, 13


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a payload. `value` is a number, None for null, or text."""

    name: str
    alias: int | None
    time_ms: int | None
    datatype: int
    value: float | str | None
    quality: int


@dataclass(frozen=True, slots=True)
class Payload:
    """One payload; `seq` is None where the kind of message has none."""

    time_ms: int | None
    seq: int | None
    metrics: tuple[Metric, ...]


def _build() -> type[message.Message]:
    file = descriptor_pb2.FileDescriptorProto(
        name="andon/sparkplug_b.proto", package=_PACKAGE, syntax="proto2"
    )
    for name, text in _SCHEMA.items():
        kind = file.message_type.add(name=name)
        number = 0
        for word in text.split():
            if word.isdigit():
                number = int(word)
                continue
            field_name, _, type_name = word.partition(":")
            repeated = type_name.endswith("*")
            field = kind.field.add(
                name=field_name,
                number=number,
                label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL,
            )
            plain = type_name.rstrip("*")
            if plain in _TYPES:
                field.type = _TYPES[plain]
            else:
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{plain}"
            if field_name.endswith("_value"):
                if not kind.oneof_decl:
                    kind.oneof_decl.add(name="value")
                field.oneof_index = 0
            number += 1
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName(f"{_PACKAGE}.Payload")
    kind_of_payload: type[message.Message] = message_factory.GetMessageClass(found)
    return kind_of_payload


PayloadMessage = _build()
"""The protobuf class `Payload`, also for whoever publishes."""


def read_payload(data: bytes) -> Payload:
    """Parse a payload.

    Raises:
        Stray: it is none, or has too many metrics.
    """
    try:
        found = PayloadMessage.FromString(data)
    except message.DecodeError:
        raise Stray("no Sparkplug B payload") from None
    if len(found.metrics) > METRICS_MAX:
        raise Stray(f"more than {METRICS_MAX} metrics")
    return Payload(
        time_ms=found.timestamp if found.HasField("timestamp") else None,
        seq=found.seq if found.HasField("seq") else None,
        metrics=tuple(_metric(item) for item in found.metrics),
    )


def _metric(item: message.Message) -> Metric:
    quality = GOOD_QUALITY
    if item.HasField("properties"):
        for key, entry in zip(item.properties.keys, item.properties.values, strict=False):
            if key == "Quality":
                quality = entry.int_value
    return Metric(
        name=item.name,
        alias=item.alias if item.HasField("alias") else None,
        time_ms=item.timestamp if item.HasField("timestamp") else None,
        datatype=item.datatype,
        value=_value(item),
        quality=quality,
    )


def _value(item: message.Message) -> float | str | None:
    kind = item.WhichOneof("value")
    if item.is_null or kind is None:
        return None
    raw = getattr(item, kind)
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bytes):
        return None
    return float(raw) if math.isfinite(raw) else None


def number(datatype: int, value: float) -> float:
    """The number that a metric's type gives to its raw value: signed types are two's complement."""
    bits = SIGNED.get(datatype)
    if bits is None:
        return value
    raw = int(value) & ((1 << bits) - 1)
    return float(raw - (1 << bits) if raw >> (bits - 1) else raw)
