"""Recall: which lots and deliveries contain a bad lot, where they are, and that their holders know."""
import genealogy
import places
import supply

recalls = Map(key=int, value=dict)
last = Var(int, default=0)
recalled = Map(key=str, value=int)
Recalled = Event(recall=int, item=str, holder=str, is_shipped=bool, indexed=("recall", "item", "holder"))
Answered = Event(recall=int, item=str, holder=str, action=str, indexed=("recall", "holder"))

ACTIONS = ("RETURNED", "DESTROYED", "REWORKED", "SOLD")
ITEMS_MAX = 512


@export(role=("operator", "admin"))
def announce(item: str, reason: str) -> int:
    """The maker of an item, or the owner of its prefix, recalls it with all that contains it."""
    found = supply.item(name=item)
    assert found is not None, "this item was never seen"
    assert ctx.org == found["maker"] or ctx.org == places.owner_of(item=item), "only its maker recalls an item"
    assert 0 < len(reason) and len(reason) <= 200, "a reason has 1 to 200 characters"
    number = last.get() + 1
    last.set(number)
    trace = affected(item)
    assert len(trace["items"]) <= ITEMS_MAX, "too many items: recall what was made of it one by one"
    for row in trace["items"]:
        recalled[row["item"]] = number
        Recalled(recall=number, item=row["item"], holder=row["org"], is_shipped=row["is_shipped"])
    names = [row["item"] for row in trace["items"]]
    recalls[number] = {"item": item, "reason": reason, "org": ctx.org, "height": ctx.height, "items": names, "complete": trace["complete"], "answered": {}}
    return number


@export(role="operator")
def answer(number: int, item: str, action: str):
    """The organisation that holds a recalled item says what it has done with it."""
    found = recalls[number]
    assert item in found["items"], "the item is not part of this recall"
    assert action in ACTIONS, "action is RETURNED, DESTROYED, REWORKED or SOLD"
    assert supply.item(name=item)["org"] == ctx.org, "only its holder answers"
    found["answered"][item] = action
    recalls[number] = found
    Answered(recall=number, item=item, holder=ctx.org, action=action)


@view
def affected(item: str) -> dict:
    """The item and all that was made of it or holds it: where it is, and whether it was shipped."""
    walked = genealogy.downstream(item=item)
    depths = {item: 0}
    for edge in walked["edges"]:
        depths[edge[1]] = min(edge[4], depths.get(edge[1], edge[4]))
    rows = []
    for name in depths:
        one = supply.item(name=name)
        rows.append({"item": name, "depth": depths[name], "place": one["place"], "org": one["org"], "disposition": one["disposition"], "parent": one["parent"], "is_shipped": is_shipped(one)})
    return {"items": rows, "complete": walked["complete"]}


def is_shipped(item: dict) -> bool:
    is_away = item["maker"] != "" and item["org"] != item["maker"]
    return is_away or item["step"] == "shipping" or item["disposition"] == "in_transit"


@view
def shipped(item: str) -> list:
    """Which shipped lots contain this one."""
    return [row["item"] for row in affected(item)["items"] if row["is_shipped"] and row["item"] != item]


@view
def recall_of(item: str) -> value:
    """The last recall of an item; None if it was never recalled."""
    number = recalled.get(item)
    return None if number is None else recalls[number]
