"""Scores: what became of what a contract said. Each contract counts under its own name and nobody else's."""
scores = Map(key=(str, str, str), value=dict)
Scored = Event(contract=str, kind=str, name=str, indexed=("contract", "name"))

FIELDS_MAX = 16


@export
def add(kind: str, name: str, amounts: dict[str, int]):
    """A contract adds to its own counts for a `name` of a `kind`, as ("model", "rul")."""
    assert type_of(ctx.caller) == "str", "contracts count, accounts do not"
    assert len(kind) <= 64 and len(name) <= 64, "kind and name have at most 64 characters"
    found = scores.get((ctx.caller, kind, name), {})
    for field in amounts:
        found[field] = found.get(field, 0) + amounts[field]
    assert len(found) <= FIELDS_MAX, "at most 16 counts a name"
    scores[ctx.caller, kind, name] = found
    Scored(contract=ctx.caller, kind=kind, name=name)


@view
def of(contract: str, kind: str, name: str) -> dict:
    """Counts of a name, {} if there are none."""
    return scores.get((contract, kind, name), {})
