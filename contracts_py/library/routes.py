"""Routes of daisy-chaining (FedDC): each member's model goes, sealed, to another member as it is.

Who receives whose model is a permutation without fixed points, drawn from the keys of all who take
part when the last of them has announced. It is public and the receiver sees one plant's model: a
run with routes needs a privacy budget. A member that takes nothing goes on with its own model.
Source: Kamp, Fischer, Vreeken, ICLR 2023, arXiv 2110.03469.
"""
import conduct
import training
import updates

given = Map(key=tuple, value=dict)
Given = Event(run=str, number=int, giver=bytes, taker=bytes, blob=bytes, indexed=("run", "taker"))
Taken = Event(run=str, number=int, giver=bytes, taker=bytes, indexed=("run", "giver"))


@export
def give(run: str, number: int, attempt: int, blob: bytes, model: bytes, size: int, rho: int):
    """Commit to a model for its receiver: digests of sealed blob and of content, bytes, micro-rho it costs."""
    before = given.get((run, number, attempt, ctx.sender))
    if before is not None and (before["blob"] != blob or before["model"] != model):
        conduct.fault(run=run, account=ctx.sender, reason="two different messages")
        return
    found = training.entered(run=run, number=number, attempt=attempt, phase="ROUTE", field="given")
    announced = found["round"]["announced"]
    assert ctx.sender in announced, "this member announced no keys"
    assert len(blob) == 32 and len(model) == 32, "digests have 32 bytes"
    assert size == 4 * found["run"]["elements"], "a model has four bytes an element"
    assert rho > 0, "a model that another plant will see is trained with noise"
    conduct.charge(run=run, number=number, rho=rho, budget=found["run"]["rho_budget"])
    order = drawn(run, number, attempt, announced)
    taker = announced[order[announced.index(ctx.sender)]]
    given[(run, number, attempt, ctx.sender)] = {"blob": blob, "model": model, "size": size, "rho": rho, "taker": taker}
    Given(run=run, number=number, giver=ctx.sender, taker=taker, blob=blob)
    training.noted(run=run, number=number, field="given")


@export
def take(run: str, number: int, attempt: int):
    """The receiver has opened its model and found it to be the committed one."""
    found = training.entered(run=run, number=number, attempt=attempt, phase="TAKE", field="taken")
    giver = giver_to(run, number, attempt, found["round"]["announced"], ctx.sender)
    assert giver in found["round"]["given"], "no model was given to this member"
    Taken(run=run, number=number, giver=giver, taker=ctx.sender)
    training.noted(run=run, number=number, field="taken")


def giver_to(run, number, attempt, announced, taker):
    order = drawn(run, number, attempt, announced)
    return announced[order.index(announced.index(taker))]


def drawn(run, number, attempt, announced):
    """Member i gives to member result[i]; Sattolo's shuffle makes one cycle, so nobody keeps its own."""
    words = [(run, number, attempt)]
    for account in announced:
        words.append(updates.sent(run=run, number=number, attempt=attempt, account=account)["keys"]["seal_key"])
    seed = hash256(encode(words))
    places = [place for place in range(len(announced))]
    for last in range(len(places) - 1, 0, -1):
        seed = hash256(seed)
        # 256 bits modulo at most 255: the bias is below 2^-240.
        chosen = number_of(seed) % last
        held = places[last]
        places[last] = places[chosen]
        places[chosen] = held
    return places


def number_of(digest):
    total = 0
    for byte in digest[:31]:
        total = total * 256 + byte
    return total


@view
def order(run: str, number: int, attempt: int) -> list:
    """[giver, taker] for every member that announced keys."""
    announced = training.round_at(run=run, number=number)["announced"]
    places = drawn(run, number, attempt, announced)
    return [[announced[index], announced[places[index]]] for index in range(len(announced))]


@view
def parcel(run: str, number: int, attempt: int, giver: bytes) -> value:
    return given.get((run, number, attempt, giver))
