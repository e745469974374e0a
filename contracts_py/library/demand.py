"""Demand for spare parts: certified forecasts of intermittent series, scored against what came, beside baselines.

A month is a number that grows by one. The model's input is made here from the actuals on the chain, so nobody chooses
it. When the actual of a month comes in, the forecast is scored beside TSB smoothing, the last value and the value a
year before: everybody sees whether the model earns its place."""
options = Var(dict)
parts = Map(key=str, value=dict)
actuals = Map(key=(str, int), value=int)
forecasts = Map(key=(str, int), value=dict)
Forecast = Event(part=str, month=int, amount=dec, indexed=("part",))
Scored = Event(part=str, month=int, actual=int, amount=dec, indexed=("part",))

QUANTITY_MAX = 1000000
YEAR = 12
MONTHS_MAX = 60
TSB_ALPHA = dec("0.1")
METHODS = ("model", "tsb", "naive", "seasonal")


@init
def setup(model: str, history: int = 36, top: int = 6):
    """The model takes `history` months, each over the series' step size, `top` steps as 127."""
    assert 2 <= history and history <= MONTHS_MAX and 0 < top, "a history has 2 to 60 months"
    options.set({"model": model, "history": history, "top": top})


@export(role="operator")
def register(part: str, month: int, history: list[int]):
    """The owner of a part brings its past: quantities up to and with `month`."""
    assert part not in parts and 0 < len(part) and len(part) <= 128, "a new part with a name of 1 to 128 characters"
    assert len(history) <= MONTHS_MAX, "at most 60 months"
    first = month + 1 - len(history)
    found = {"org": ctx.org, "first": first, "last": first - 1, "chance": dec(0), "size": dec(0), "scores": {}}
    for quantity in history:
        found = add(part, found, quantity)
    parts[part] = found


@export(role="operator")
def record(part: str, quantity: int) -> dict:
    """The owner records the actual of the next month; gives the scores of all methods."""
    found = owned(part)
    month = found["last"] + 1
    made = forecasts.get((part, month))
    if made is not None:
        made["actual"] = quantity
        forecasts[part, month] = made
        for method in METHODS:
            found["scores"][method] = scored(found["scores"].get(method), quantity - made[method])
        Scored(part=part, month=month, actual=quantity, amount=made["model"])
    parts[part] = add(part, found, quantity)
    return found["scores"]


def scored(past: value, error: value) -> dict:
    found = past or {"count": 0, "absolute": dec(0), "squared": dec(0), "bias": dec(0)}
    gap = dec(error)
    return {"count": found["count"] + 1, "absolute": found["absolute"] + abs(gap), "squared": found["squared"] + gap * gap, "bias": found["bias"] - gap}


def add(part: str, found: dict, quantity: int) -> dict:
    """One more month; Teunter, Syntetos and Babai: the chance of demand and its size are smoothed apart."""
    assert 0 <= quantity and quantity <= QUANTITY_MAX, "a quantity is 0 to 1,000,000"
    found["last"] += 1
    actuals[part, found["last"]] = quantity
    if quantity > 0:
        found["chance"] += TSB_ALPHA * (dec(1) - found["chance"])
        found["size"] = dec(quantity) if found["size"] == 0 else found["size"] + TSB_ALPHA * (dec(quantity) - found["size"])
    else:
        found["chance"] -= TSB_ALPHA * found["chance"]
    return found


def owned(part: str) -> dict:
    found = parts[part]
    assert found["org"] == ctx.org, "the part belongs to another organisation"
    return found


@export(role="operator")
def forecast(part: str) -> dec:
    """Predict the next month from the actuals on the chain."""
    found = owned(part)
    chosen = options.get()
    month = found["last"] + 1
    assert (part, month) not in forecasts, "this month is forecast already"
    series = history_of(part, found, chosen["history"])
    step = step_of(series)
    window = [min(127, (2 * 127 * 1000 * quantity + chosen["top"] * step) // (2 * chosen["top"] * step)) for quantity in series]
    amount = max(dec(0), predict(chosen["model"], window) * step / 1000)
    ago = actuals.get((part, month - YEAR))
    forecasts[part, month] = {"model": amount, "tsb": found["chance"] * found["size"], "naive": series[-1], "seasonal": series[-1] if ago is None else ago, "height": ctx.height}
    Forecast(part=part, month=month, amount=amount)
    return amount


def history_of(part: str, found: dict, months: int) -> list:
    """The last months, oldest first; before the first month nothing was needed."""
    return [actuals.get((part, month)) or 0 for month in range(found["last"] + 1 - months, found["last"] + 1)]


def step_of(series: list) -> int:
    """Root mean squared step in thousandths, at least 1."""
    total = sum([(series[place] - series[place - 1]) ** 2 for place in range(1, len(series))])
    return max(1, root(total * 1000000 // (len(series) - 1)))


def root(number: int) -> int:
    """Integer square root, rounded down, by Newton's method from above."""
    if number < 2:
        return number
    guess = number
    for turn in range(300):
        better = (guess + number // guess) // 2
        if better >= guess:
            return guess
        guess = better
    revert("the root did not settle")


@view
def square_root(number: int) -> int:
    return root(number)


@view
def part(name: str) -> value:
    return parts.get(name)


@view
def accuracy(part: str) -> dict:
    """By method: months scored, MAE, RMSE, bias, and the MAE over that of the naive forecast."""
    found = parts[part]["scores"]
    out = {}
    for method in METHODS:
        one = found.get(method)
        if one is not None:
            rest = found["naive"]["absolute"]
            out[method] = {"months": one["count"], "mae": one["absolute"] / one["count"], "rmse": dec(root(int(one["squared"] * 1000000 / one["count"]))) / 1000, "bias": one["bias"] / one["count"], "relative": one["absolute"] / rest if rest > 0 else None}
    return out


@view
def months(part: str, count: int) -> list:
    """The last months, oldest first: [month, actual, forecast or None]."""
    last = parts[part]["last"]
    first = max(parts[part]["first"], last + 1 - min(count, MONTHS_MAX))
    return [[month, actuals[part, month], forecasts.get((part, month), {"model": None})["model"]] for month in range(first, last + 1)]


@view
def outlook(part: str) -> dict:
    """What the next month needs: the forecast, or TSB if there is none yet, and the mean squared error so far."""
    found = parts[part]
    made = forecasts.get((part, found["last"] + 1))
    score = found["scores"].get("model")
    squared = score["squared"] / score["count"] if score is not None else found["size"] * found["size"] * found["chance"]
    return {"amount": found["chance"] * found["size"] if made is None else made["model"], "squared": squared, "month": found["last"] + 1, "season": season(part, found, found["last"] + 1)}


def season(part: str, found: dict, month: int) -> dec:
    """The month of the year over an average month of the last three full years; 1 without a full year or demand."""
    years = min(3, (found["last"] + 1 - found["first"]) // YEAR)
    whole = sum(history_of(part, found, years * YEAR)) if years > 0 else 0
    if whole == 0:
        return dec(1)
    same = sum([actuals.get((part, month - YEAR * back)) or 0 for back in range(1, years + 1)])
    # One average month stands beside the observed ones, so that three years of an intermittent part do not give zero.
    return (dec(same) + dec(whole) / (years * YEAR)) / (years + 1) / (dec(whole) / (years * YEAR))


@view
def season_of(part: str, month: int) -> dec:
    return season(part, parts[part], month)
