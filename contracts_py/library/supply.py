"""Supply chain: EPCIS 2.0 events of lots and serial numbers; counterfeits; corrections.

Ids are GS1 paths such as 01/09506000134352/21/A7. An event is never changed or deleted: its organisation
declares it in error, and from then on it does not count.
"""
import genealogy
import places
events = Map(key=str, value=dict)
log = Map(key=int, value=str)
last = Var(int, default=0)
items = Map(key=str, value=dict)
trail = Map(key=(str, int), value=str)
Captured = Event(event=str, kind=str, org=str, items=list, indexed=("event", "kind"))
InError = Event(event=str, reason=str, org=str, indexed=("event",))
Suspect = Event(item=str, reason=str, event=str, indexed=("item", "reason"))

KINDS = ("ObjectEvent", "AggregationEvent", "TransactionEvent", "TransformationEvent", "AssociationEvent")
ACTIONS = ("ADD", "OBSERVE", "DELETE")
LISTS = ("epcs", "children", "inputs", "outputs")
QUANTITIES = ("quantities", "child_quantities", "input_quantities", "output_quantities")
EVENTS_MAX = 64
ITEMS_MAX = 128
BACK_MAX = 64
AHEAD_MS = 3600000

@export(role="operator")
def capture(event: dict) -> str:
    """Operators record one event, or declare one of their organisation in error; gives its id."""
    return take(event)

@export(role="operator")
def capture_many(events: list) -> list:
    """The same for 1 to 64 events: all or none."""
    assert 0 < len(events) and len(events) <= EVENTS_MAX, "1 to 64 events"
    return [take(event) for event in events]

def take(event: dict) -> str:
    assert event.get("kind") in KINDS, "unknown kind of event"
    identity = "urn:andon:event:" + hex(hash256(encode(event))) if event.get("id") is None else event["id"]
    assert 0 < len(identity) and len(identity) <= 200, "an event id has 1 to 200 characters"
    if event.get("error") is not None:
        return declare_error(identity, event["error"])
    assert identity not in events, "an event with this id is recorded; a correction has an error declaration"
    assert 0 < event["time_ms"] and event["time_ms"] <= ctx.time_ms + AHEAD_MS, "the event is in the future"
    if event["kind"] == "TransformationEvent":
        assert event.get("action") is None, "a transformation has no action"
    else:
        assert event.get("action") in ACTIONS, "action is ADD, OBSERVE or DELETE"
    found = places.place(name=event.get("read_point") or "")
    assert found is None or found["org"] == ctx.org, "the read point belongs to another organisation"
    names = touched(event)
    assert 0 < len(names) and len(names) <= ITEMS_MAX, "an event names 1 to 128 items"
    number = last.get() + 1
    last.set(number)
    event.update({"id": identity, "org": ctx.org, "recorded_ms": ctx.time_ms, "height": ctx.height, "number": number})
    events[identity] = event
    log[number] = identity
    made = made_by(event)
    for name in names:
        see(name, event, name in made)
    connect(event)
    Captured(event=identity, kind=event["kind"], org=ctx.org, items=names)
    return identity

def touched(event: dict) -> list:
    """Items of an event, each once, in the order in which it names them."""
    found = {}
    if event.get("parent") is not None:
        found[event["parent"]] = True
    for field in LISTS:
        for name in event.get(field, []):
            found[name] = True
    for field in QUANTITIES:
        for row in event.get(field, []):
            found[row[0]] = True
    for name in found:
        assert type_of(name) == "str" and 0 < len(name) and len(name) <= 128, "an item has an id of 1 to 128 characters"
    return found.keys()

def side(event: dict, field: str, quantities: str) -> list:
    return event.get(field, []) + [row[0] for row in event.get(quantities, [])]

def made_by(event: dict) -> list:
    if event["kind"] == "TransformationEvent":
        return side(event, "outputs", "output_quantities")
    if event["kind"] == "ObjectEvent" and event["action"] == "ADD":
        return side(event, "epcs", "quantities")
    return []

def see(name: str, event: dict, is_made: bool):
    item = items.get(name)
    if item is None:
        item = {"made": "", "maker": "", "org": "", "place": "", "time_ms": 0, "step": "", "disposition": "", "parent": "", "events": 0, "suspect": "", "blamed": ""}
    is_single = name.find("/21/") > 0 or name.startswith("00/")
    owner = places.owner_of(item=name)
    if is_made:
        assert owner == "" or owner == ctx.org, f"only {owner} makes items of this company prefix"
        if item["made"] == "":
            item.update({"made": event["id"], "maker": ctx.org})
        elif is_single:
            accuse(name, item, "DUPLICATE_SERIAL", event["id"])
    elif name.find("/21/") > 0 and owner != "" and item["made"] == "":
        accuse(name, item, "UNKNOWN_SERIAL", event["id"])
    if is_single and item["place"] != "" and not places.is_reachable(here=where(event), there=item["place"], milliseconds=event["time_ms"] - item["time_ms"]):
        accuse(name, item, "IMPOSSIBLE_TRAVEL", event["id"])
    trail[name, item["events"]] = event["id"]
    item["events"] += 1
    if event["time_ms"] >= item["time_ms"]:
        move(item, event)
    items[name] = item

def where(event: dict) -> str:
    return event.get("location") or event.get("read_point") or ""

def move(item: dict, event: dict):
    item.update({"org": event["org"], "time_ms": event["time_ms"], "place": where(event) or item["place"]})
    item.update({"step": event.get("step") or "", "disposition": event.get("disposition") or item["disposition"]})

def accuse(name: str, item: dict, reason: str, event: str):
    item.update({"suspect": reason, "blamed": event})
    Suspect(item=name, reason=reason, event=event)

def connect(event: dict):
    if event["kind"] == "TransformationEvent":
        genealogy.link(sources=side(event, "inputs", "input_quantities"), targets=side(event, "outputs", "output_quantities"), event=event["id"], kind="MADE")
    elif (event["kind"] == "AggregationEvent" or event["kind"] == "AssociationEvent") and event["action"] != "OBSERVE":
        parent = event.get("parent")
        children = side(event, "children", "child_quantities")
        if event["action"] == "ADD":
            assert parent is not None, "what is put together has a parent"
            genealogy.link(sources=children, targets=[parent], event=event["id"], kind="HELD")
        else:
            for child in children:
                genealogy.unlink(child=child, parent=parent, event=event["id"])
        hold(children)

def hold(children: list):
    for child in children:
        item = items[child]
        item["parent"] = genealogy.holder(item=child)
        items[child] = item

def declare_error(identity: str, error: dict) -> str:
    found = events[identity]
    assert found["org"] == ctx.org, "only the organisation that recorded an event declares it in error"
    assert found.get("error") is None, "the event is declared in error already"
    assert len(error.get("corrective", [])) <= EVENTS_MAX, "too many corrective events"
    error["declared_ms"] = ctx.time_ms
    found["error"] = error
    events[identity] = found
    genealogy.drop(event=identity)
    for name in touched(found):
        derive(name, identity)
    InError(event=identity, reason=error.get("reason") or "", org=ctx.org)
    return identity

def derive(name: str, wrong: str):
    """Put an item back to what its other events say; at most the last 64 are looked at."""
    item = items[name]
    if item["blamed"] == wrong:
        item.update({"suspect": "", "blamed": ""})
    if item["made"] == wrong:
        item.update({"made": "", "maker": ""})
    item.update({"time_ms": 0, "org": "", "place": "", "step": "", "disposition": ""})
    for place in range(max(0, item["events"] - BACK_MAX), item["events"]):
        event = events[trail[name, place]]
        if event.get("error") is None:
            if item["made"] == "" and name in made_by(event):
                item.update({"made": event["id"], "maker": event["org"]})
            if event["time_ms"] >= item["time_ms"]:
                move(item, event)
    item["parent"] = genealogy.holder(item=name)
    items[name] = item

@export(role="admin")
def clear(item: str):
    """The maker, or the owner of the prefix, has looked into a suspicion and takes it back."""
    found = items[item]
    assert ctx.org == found["maker"] or ctx.org == places.owner_of(item=item), "only its maker clears an item"
    found.update({"suspect": "", "blamed": ""})
    items[item] = found

@view
def item(name: str) -> value:
    return items.get(name)

@view
def event(identity: str) -> value:
    return events.get(identity)

@view
def events_of(name: str, after: int, count: int) -> list:
    """Events of an item from place `after` on, in the order in which they were recorded."""
    known = items.get(name, {"events": 0})["events"]
    return [events[trail[name, place]] for place in range(after, min(known, after + min(count, EVENTS_MAX)))]

@view
def events_from(after: int, count: int) -> list:
    """Events with numbers above `after`, in the order in which they were recorded."""
    return [events[log[number]] for number in range(after + 1, min(last.get(), after + min(count, EVENTS_MAX)) + 1)]
