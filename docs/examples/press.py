"""Strokes of presses: counts them and says when a press is due for service."""
strokes = Map(key=str, value=int)
service_after = Var(int)
Due = Event(machine=str, strokes=int)


@init
def setup(limit: int):
    assert limit > 0, "the limit is positive"
    service_after.set(limit)


@export(role="operator")
def report(machine: str, count: int) -> int:
    assert count > 0, "a report has at least one stroke"
    total = strokes.get(machine, 0) + count
    strokes[machine] = total
    if total >= service_after.get():
        Due(machine=machine, strokes=total)
    return total


@export(role="operator")
def serviced(machine: str):
    strokes[machine] = 0


@view
def count_of(machine: str) -> int:
    return strokes.get(machine, 0)
