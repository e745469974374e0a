"""The contract `params`: from which height on the network speaks which protocol.

Admins decide for their organisations, by the share with which `identity` decides: more than
`approval_percent` of the active ones have to name the same version and height. A block's header
carries the protocol of its height, which follows from its parent's state, so no two nodes differ
on it; a node of a release that does not know it goes no further (`node.drivers.horizon`).
"""

from __future__ import annotations

from typing import Protocol

from andon.core.block import PROTOCOL_VERSION
from andon.core.codec import Value, decode_value, encode_value
from andon.core.state_key import state_key
from consensus.ledger.lifecycle import active_organisations, approving, read_policy
from consensus.ledger.native_call import NativeCall, Refused
from consensus.ledger.ports import Outcome

PARAMS = "params"
PROTOCOLS_KEY = state_key(PARAMS, "protocols")
NOTICE_BLOCKS = 2
ADMIN = "admin"

Step = tuple[int, int]
"""A version and the height of its first block."""


class Reader(Protocol):
    """A state."""

    def get(self, key: bytes) -> bytes | None:
        """Value at a key."""
        ...


def protocol_at(state: Reader, height: int) -> int:
    """Give the protocol of the block at `height` on top of `state`."""
    steps = _steps(state.get(PROTOCOLS_KEY))
    return next(
        (version for version, first in reversed(steps) if first <= height), PROTOCOL_VERSION
    )


def upgrade(native: NativeCall) -> Outcome:
    """Agree for one's organisation to a protocol from a height on; arguments version, height.

    Gives whether that decided it.
    """
    native.require("version", "height")
    version, height = _number(native, "version"), _number(native, "height")
    steps = _steps(native.host.read(PROTOCOLS_KEY))
    last, since = steps[-1] if steps else (PROTOCOL_VERSION, 0)
    if version != last + 1:
        raise Refused("E_ARGS", f"the protocol after {last} is {last + 1}")
    if height < native.context.height + NOTICE_BLOCKS or height <= since:
        raise Refused("E_ARGS", f"an upgrade needs notice of {NOTICE_BLOCKS} blocks")
    if not _decided(native, (version, height)):
        return native.done(False)  # noqa: FBT003 - a value
    _write(native, [*steps, (version, height)])
    _emit(native, "scheduled", version, height)
    return native.done(True)  # noqa: FBT003 - a value


def cancel(native: NativeCall) -> Outcome:
    """Agree for one's organisation that the last upgrade does not happen; argument version."""
    native.require("version")
    version = _number(native, "version")
    steps = _steps(native.host.read(PROTOCOLS_KEY))
    if not steps or steps[-1][0] != version or steps[-1][1] <= native.context.height:
        raise Refused("E_ARGS", f"no upgrade to protocol {version} is ahead")
    if not _decided(native, (version, 0)):
        return native.done(False)  # noqa: FBT003 - a value
    _write(native, steps[:-1])
    _emit(native, "cancelled", version, steps[-1][1])
    return native.done(True)  # noqa: FBT003 - a value


def _decided(native: NativeCall, what: Step) -> bool:
    """Note the approval of the sender's organisation; tell whether there are enough now."""
    host, sender = native.host, native.context.sender
    if not host.has_role(sender, ADMIN):
        raise Refused("E_ROLE", "only an admin speaks for an organisation")
    place = state_key(PARAMS, "approvals", what)
    own, known = host.organisation(sender), approving(host, place)
    if own in known:
        raise Refused("E_EXISTS", f"{own} has approved this already")
    known.append(own)
    active = active_organisations(host)
    count = len([name for name in active if name in known])
    if count * 100 <= len(active) * read_policy(host).approval_percent:
        listed: Value = [*known]
        host.write(place, encode_value(listed))
        _emit(native, "approved", *what)
        return False
    host.write(place, None)
    return True


def _number(native: NativeCall, name: str) -> int:
    value = native.arguments[name]
    if type(value) is not int or not 0 < value < 2**63:
        raise Refused("E_ARGS", f"{name} is a positive whole number")
    return value


def _steps(raw: bytes | None) -> list[Step]:
    if raw is None:
        return []
    listed = decode_value(raw)
    assert isinstance(listed, list), "written by `_write`"
    return [_step(item) for item in listed]


def _step(item: Value) -> Step:
    assert isinstance(item, list) and len(item) == 2, "written by `_write`"  # noqa: PT018
    version, height = item
    assert isinstance(version, int) and isinstance(height, int)  # noqa: PT018 - as above
    return version, height


def _write(native: NativeCall, steps: list[Step]) -> None:
    listed: Value = [[version, height] for version, height in steps]
    native.host.write(PROTOCOLS_KEY, encode_value(listed))


def _emit(native: NativeCall, event: str, version: int, height: int) -> None:
    fields: Value = {"version": version, "height": height}
    native.host.emit(PARAMS, event, encode_value(fields))
