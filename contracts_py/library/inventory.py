"""Stock of spare parts: reservations, safety stock, reorder proposals, suppliers, and the forecast KPI that knows them.

The KPI follows the idea of Tadayonrad and Ndiaye (2023): the error of a forecast matters by the season in which it is
made and by how far the supplier can be relied on, because safety stock has to cover both."""
import demand

stock = Map(key=str, value=dict)
reservations = Map(key=int, value=dict)
proposals = Map(key=int, value=dict)
last = Var(int, default=0)
reservers = Var(list)
suppliers = Map(key=str, value=dict)
Reserved = Event(part=str, reservation=int, quantity=int, is_short=bool, indexed=("part",))
Settled = Event(part=str, reservation=int, is_used=bool, indexed=("part",))
Proposed = Event(part=str, proposal=int, quantity=int, supplier=str, indexed=("part", "supplier"))
Moved = Event(proposal=int, part=str, status=str, indexed=("part",))

QUANTITY_MAX = 1000000
LEAD_MAX = 24
# Factor of safety stock by service level in thousandths, from the normal distribution.
LEVELS = ((800, dec("0.8416")), (900, dec("1.2816")), (950, dec("1.6449")), (975, dec("1.96")), (990, dec("2.3263")), (995, dec("2.5758")), (999, dec("3.0902")))

@init
def setup(reserving_contracts: list[str] | None = None):
    reservers.set(["maintenance"] if reserving_contracts is None else reserving_contracts)

@export(role="operator")
def stock_part(part: str, on_hand: int, supplier: str, lead_months: int, service: int):
    """The owner of a part in `demand` counts its stock and says who supplies it, how fast, how surely it must be there."""
    assert demand.part(name=part)["org"] == ctx.org, "the part belongs to another organisation"
    assert 0 <= on_hand and on_hand <= QUANTITY_MAX, "a quantity is 0 to 1,000,000"
    assert 1 <= lead_months and lead_months <= LEAD_MAX, "lead time is 1 to 24 months"
    assert service in [row[0] for row in LEVELS], "service is 800, 900, 950, 975, 990, 995 or 999 thousandths"
    past = stock.get(part) or {"reserved": 0, "on_order": 0, "used": 0, "shortages": 0}
    past.update({"org": ctx.org, "on_hand": on_hand, "supplier": supplier, "lead": lead_months, "service": service})
    stock[part] = past

@export
def reserve(part: str, quantity: int, reason: str) -> int:
    """A reserving contract, or an operator of the owner, sets parts aside; a shortage asks for more."""
    found = stock[part]
    assert ctx.caller in reservers.get() or (has_role(ctx.sender, "operator") and ctx.caller == ctx.sender and ctx.org == found["org"]), "only the owner or a known contract reserves"
    assert 0 < quantity and quantity <= QUANTITY_MAX and len(reason) <= 200, "a positive quantity, a short reason"
    number = next_number()
    is_short = found["on_hand"] - found["reserved"] < quantity
    found["reserved"] += quantity
    found["shortages"] += 1 if is_short else 0
    stock[part] = found
    reservations[number] = {"part": part, "quantity": quantity, "reason": reason, "by": ctx.caller, "status": "OPEN", "height": ctx.height}
    Reserved(part=part, reservation=number, quantity=quantity, is_short=is_short)
    propose_if_low(part)
    return number

@export
def settle(reservation: int, is_used: bool):
    """Whoever reserved says whether the parts were used."""
    found = reservations[reservation]
    assert found["by"] == ctx.caller and found["status"] == "OPEN", "whoever reserved settles, once"
    found["status"] = "USED" if is_used else "RELEASED"
    reservations[reservation] = found
    held = stock[found["part"]]
    held["reserved"] -= found["quantity"]
    if is_used:
        assert held["on_hand"] >= found["quantity"], "the part is not in stock"
        held["on_hand"] -= found["quantity"]
        held["used"] += found["quantity"]
    stock[found["part"]] = held
    Settled(part=found["part"], reservation=reservation, is_used=is_used)
    propose_if_low(found["part"])

@export(role="operator")
def close_month(part: str, other: int) -> dict:
    """The owner ends the month: what work orders used and what was used otherwise is the actual demand."""
    found = stock[part]
    assert found["org"] == ctx.org and other >= 0, "the part belongs to another organisation"
    used = found["used"] + other
    assert found["on_hand"] >= other, "more was used than was there"
    found["on_hand"] -= other
    found["used"] = 0
    stock[part] = found
    return {"part": part, "actual": used, "policy": policy(part)}

def next_number() -> int:
    number = last.get() + 1
    last.set(number)
    return number

def propose_if_low(part: str):
    found = stock[part]
    wanted = policy(part)
    position = found["on_hand"] + found["on_order"] - found["reserved"]
    if position <= wanted["reorder_point"]:
        quantity = max(1, wanted["order_up_to"] - position)
        number = next_number()
        found["on_order"] += quantity
        stock[part] = found
        proposals[number] = {"part": part, "org": found["org"], "quantity": quantity, "supplier": found["supplier"], "status": "PROPOSED", "height": ctx.height, "due": 0, "delivered": 0}
        Proposed(part=part, proposal=number, quantity=quantity, supplier=found["supplier"])

@export(role="operator")
def review(part: str):
    """The owner asks for a proposal if the stock is low."""
    assert stock[part]["org"] == ctx.org, "the part belongs to another organisation"
    propose_if_low(part)

@export(role="operator")
def order(proposal: int, due_height: int):
    """The owner orders what was proposed, due by a height."""
    found = moved(proposal, "PROPOSED", "ORDERED")
    assert found["org"] == ctx.org and due_height > ctx.height, "only the owner orders, for the future"
    found["due"] = due_height
    proposals[proposal] = found

@export(role="operator")
def decline(proposal: int):
    """The owner does not follow a proposal."""
    found = moved(proposal, "PROPOSED", "DECLINED")
    assert found["org"] == ctx.org, "only the owner declines"
    proposals[proposal] = found
    arrive(found["part"], found["quantity"], 0)

@export(role="operator")
def deliver(proposal: int, quantity: int):
    """The owner takes the goods in; the supplier's reliability is the share that came in time."""
    found = moved(proposal, "ORDERED", "DELIVERED")
    assert found["org"] == ctx.org and 0 <= quantity and quantity <= found["quantity"], "only the owner takes in what was ordered"
    found["delivered"] = quantity
    proposals[proposal] = found
    arrive(found["part"], found["quantity"], quantity)
    score = suppliers.get(found["supplier"], {"ordered": 0, "in_time": 0})
    score["ordered"] += found["quantity"]
    score["in_time"] += quantity if ctx.height <= found["due"] else 0
    suppliers[found["supplier"]] = score

def moved(proposal: int, before: str, after: str) -> dict:
    found = proposals[proposal]
    assert found["status"] == before, "the proposal is not in this state"
    found["status"] = after
    Moved(proposal=proposal, part=found["part"], status=after)
    return found

def arrive(part: str, ordered: int, quantity: int):
    held = stock[part]
    held["on_order"] -= ordered
    held["on_hand"] += quantity
    stock[part] = held

@view
def reliability(supplier: str) -> dec:
    """Share delivered in time; one delivery in time is assumed before the first."""
    score = suppliers.get(supplier, {"ordered": 0, "in_time": 0})
    return dec(score["in_time"] + 1) / (score["ordered"] + 1)

def policy(part: str) -> dict:
    """Safety stock covers the forecast's error over a lead time that an unreliable supplier makes longer."""
    found = stock[part]
    look = demand.outlook(part=part)
    lead = dec(found["lead"]) / max(reliability(found["supplier"]), dec("0.1"))
    factor = [row[1] for row in LEVELS if row[0] == found["service"]][0]
    # The season raises what is expected and, with it, the spread; a quiet month lowers neither below half.
    season = max(look["season"], dec("0.5"))
    spread = dec(demand.square_root(number=int(look["squared"] * lead * 1000000))) / 1000
    safety = ceil(factor * spread * season)
    expected = look["amount"] * lead * season
    point = ceil(expected) + safety
    return {"safety_stock": safety, "reorder_point": point, "order_up_to": point + max(1, ceil(look["amount"] * season)), "lead": lead, "season": season}

@view
def policy_of(part: str) -> dict:
    return policy(part)

@view
def kpi(part: str, count: int) -> dict:
    """Weighted error of the last months' forecasts over weighted demand; `plain` is the same without weights.

    An error weighs by the season of its month; a forecast too low weighs more the less its supplier delivers in time.
    """
    lacking = dec(1) - reliability(stock[part]["supplier"])
    sums = {"error": dec(0), "demand": dec(0), "plain": dec(0), "actual": 0, "months": 0}
    for row in demand.months(part=part, count=count):
        if row[2] is not None:
            gap = row[2] - row[1]
            weight = demand.season_of(part=part, month=row[0])
            sums["error"] += abs(gap) * weight * (dec(1) + lacking if gap < 0 else dec(1))
            sums["demand"] += row[1] * weight
            sums["plain"] += abs(gap)
            sums["actual"] += row[1]
            sums["months"] += 1
    if sums["actual"] == 0:
        return {"months": sums["months"], "kpi": None, "plain": None}
    return {"months": sums["months"], "kpi": sums["error"] / sums["demand"], "plain": sums["plain"] / sums["actual"]}

@view
def of(part: str) -> value:
    return stock.get(part)

@view
def proposal(number: int) -> value:
    return proposals.get(number)
