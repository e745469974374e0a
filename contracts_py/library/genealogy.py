"""Genealogy: edges lead from a part to what was made of it or holds it; walks up and down are bounded."""
writer = Var(str)
edges = Map(key=int, value=list)
last = Var(int, default=0)
degrees = Map(key=str, value=list)
ups = Map(key=(str, int), value=int)
downs = Map(key=(str, int), value=int)
void = Map(key=str, value=bool, default=False)

PAIRS_MAX = 512
DEPTH_MAX = 16
WALK_MAX = 1024
BACK_MAX = 64


@init
def setup(writer_contract: str = "supply"):
    writer.set(writer_contract)


def check_caller():
    assert ctx.caller == writer.get(), "only the contract that records events writes edges"


@export
def link(sources: list, targets: list, event: str, kind: str):
    """The recording contract adds edges, MADE or HELD, from every source to every target."""
    check_caller()
    assert len(sources) * len(targets) <= PAIRS_MAX, "at most 512 pairs of part and whole"
    number = last.get()
    for target in targets:
        for source in sources:
            assert source != target, "nothing is made of itself"
            number += 1
            # An edge counts while its event does and no event that counts has ended it.
            edges[number] = [source, target, event, kind, ""]
            above = degrees.get(target, [0, 0])
            ups[target, above[0]] = number
            degrees[target] = [above[0] + 1, above[1]]
            below = degrees.get(source, [0, 0])
            downs[source, below[1]] = number
            degrees[source] = [below[0], below[1] + 1]
    last.set(number)


@export
def unlink(child: str, parent: value, event: str):
    """The recording contract ends what holds a child; a parent of None ends all."""
    check_caller()
    count = degrees.get(child, [0, 0])[1]
    for place in range(max(0, count - BACK_MAX), count):
        number = downs[child, place]
        edge = edges[number]
        if edge[3] == "HELD" and is_active(edge) and (parent is None or edge[1] == parent):
            edge[4] = event
            edges[number] = edge


@export
def drop(event: str):
    """The recording contract says that an event counts no more."""
    check_caller()
    void[event] = True


def is_active(edge: list) -> bool:
    return not void[edge[2]] and (edge[4] == "" or void[edge[4]])


def walk(start: str, is_up: bool) -> dict:
    """Breadth first over edges that count: rows of [from, to, event, kind, depth]."""
    rows = []
    seen = {start: True}
    front = [start]
    looked = 0
    for depth in range(DEPTH_MAX):
        fresh = []
        for name in front:
            for place in range(degrees.get(name, [0, 0])[0 if is_up else 1]):
                looked += 1
                if looked > WALK_MAX:
                    return {"edges": rows, "complete": False}
                edge = edges[ups[name, place] if is_up else downs[name, place]]
                if is_active(edge):
                    other = edge[0] if is_up else edge[1]
                    rows.append([edge[0], edge[1], edge[2], edge[3], depth + 1])
                    if other not in seen:
                        seen[other] = True
                        fresh.append(other)
        front = fresh
        if len(front) == 0:
            return {"edges": rows, "complete": True}
    return {"edges": rows, "complete": False}


@view
def upstream(item: str) -> dict:
    """What an item was made of or holds; `complete` is False where the bounds of a walk were reached."""
    return walk(item, True)


@view
def downstream(item: str) -> dict:
    """What was made of an item or holds it."""
    return walk(item, False)


@view
def holder(item: str) -> str:
    """What holds an item now; empty if nothing does."""
    count = degrees.get(item, [0, 0])[1]
    for back in range(min(count, BACK_MAX)):
        edge = edges[downs[item, count - 1 - back]]
        if edge[3] == "HELD" and is_active(edge):
            return edge[1]
    return ""
