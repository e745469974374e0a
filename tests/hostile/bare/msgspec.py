"""Structs without bytes: enough for the records and decimals that the engine holds in memory."""

from __future__ import annotations

from typing import dataclass_transform

from msgpack import Packer


class MsgspecError(Exception):
    """Something was to be decoded to a record."""


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


def defstruct(name: str, fields: object, **options: object) -> type[Struct]:
    """Give a record that nothing decodes to: the engine then takes its long way."""
    del name, fields, options
    return Struct


class structs:  # noqa: N801 - the module's name
    """What is asked of records."""

    @staticmethod
    def astuple(record: Struct) -> tuple[object, ...]:
        """Give the fields in order."""
        return record._key()


class _Encoder:
    """Encodes plain values as pure msgpack does; the engine encodes no record without decoding."""

    def __init__(self) -> None:
        self.encode = Packer(use_bin_type=True, strict_types=True, autoreset=True).pack


class _Decoder:
    """Decodes nothing."""

    def __init__(self, *options: object, **named: object) -> None:
        del options, named

    def __class_getitem__(cls, item: object) -> type[_Decoder]:
        del item
        return cls

    def decode(self, data: bytes) -> object:
        """Refuse."""
        raise MsgspecError(data)


class msgpack:  # noqa: N801 - the module's name
    """The codec; that for records is not at hand."""

    Encoder = _Encoder
    Decoder = _Decoder
