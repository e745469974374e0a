"""Structs without bytes: enough for the records and decimals that the engine holds in memory."""

from __future__ import annotations

from typing import dataclass_transform


class MsgspecError(Exception):
    """Never raised here."""


@dataclass_transform(frozen_default=True)
class Struct:
    """Immutable by convention; equal and ordered by its fields."""

    __slots__ = ()

    def __init_subclass__(cls, **options: bool) -> None:
        del options

    def __init__(self, *values: object, **named: object) -> None:
        fields = list(type(self).__annotations__)
        for name, value in {**dict(zip(fields, values, strict=False)), **named}.items():
            object.__setattr__(self, name, value)

    def _key(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in type(self).__annotations__)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._key() == self._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __lt__(self, other: Struct) -> bool:
        return self._key() < other._key()

    def __le__(self, other: Struct) -> bool:
        return self._key() <= other._key()

    def __gt__(self, other: Struct) -> bool:
        return self._key() > other._key()

    def __ge__(self, other: Struct) -> bool:
        return self._key() >= other._key()


class _Missing:
    """Encodes nothing: the engine never encodes a record."""

    def __init__(self, *options: object, **named: object) -> None:
        del options, named

    def __class_getitem__(cls, item: object) -> type[_Missing]:
        del item
        return cls


class msgpack:  # noqa: N801 - the module's name
    """The codec for records, which is not at hand."""

    Encoder = _Missing
    Decoder = _Missing
