"""Windows of gateways: how many readings of a machine came in, with a digest over the raw messages.

A gateway numbers the windows of each machine; a number is taken once, so a window that is sent
again, even signed anew, changes nothing. The digest is chained over all raw messages in order of
arrival: whoever holds the gateway's journal can prove what was measured.
"""
lines = Map(key=tuple, value=dict)
Recorded = Event(machine=str, gateway=bytes, sequence=int, start_ms=int, end_ms=int, count=int, late=int, bad=int, digest=bytes, indexed=("machine",))


@export(role="operator")
def record(machine: str, sequence: int, start_ms: int, end_ms: int, count: int, late: int, bad: int, digest: bytes):
    """Count one window of a machine of this gateway."""
    assert 0 < len(machine) and len(machine) <= 64, "a machine has a name of 1 to 64 characters"
    assert 0 <= start_ms and start_ms <= end_ms, "a window ends after its start"
    assert 0 <= late and 0 <= bad and late + bad <= count, "late and bad readings are among those counted"
    assert len(digest) == 32, "a digest has 32 bytes"
    key = (ctx.sender, machine)
    found = lines.get(key)
    if found is None:
        found = {"sequence": 0, "windows": 0, "count": 0, "late": 0, "bad": 0}
    assert sequence > found["sequence"], "this window is recorded"
    found["windows"] += 1
    found["count"] += count
    found["late"] += late
    found["bad"] += bad
    found["sequence"] = sequence
    found["end_ms"] = end_ms
    found["digest"] = digest
    found["height"] = ctx.height
    lines[key] = found
    Recorded(machine=machine, gateway=ctx.sender, sequence=sequence, start_ms=start_ms, end_ms=end_ms, count=count, late=late, bad=bad, digest=digest)


@view
def line(gateway: bytes, machine: str) -> value:
    return lines.get((gateway, machine))
