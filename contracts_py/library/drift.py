"""Drift: has the population changed on which a model was trained? Chi-square of two samples, in integers.

A stream is a number that is observed for each prediction, sorted into bins; every `size` observations are compared
with the reference. Beyond the limit the contract asks for retraining and says so until somebody has done it."""
streams = Map(key=str, value=dict)
Measured = Event(stream=str, statistic=int, limit=int, mean_shift=int, indexed=("stream",))
RetrainingAsked = Event(stream=str, statistic=int, height=int, indexed=("stream",))
Answered = Event(stream=str, height=int, indexed=("stream",))

BINS_MAX = 32
SIZE_MAX = 100000
NUMBER_MAX = 1000000000000


@export(role="modeler")
def define(stream: str, edges: list[int], reference: list[int], reference_sum: int, size: int, threshold: int, observers: list[str]):
    """Modelers set bins, the reference's counts and sum, and the limit in thousandths of chi-square.

    A number belongs to bin i if it is below edges[i] and not below the one before. Observers are organisations
    and contracts."""
    assert 0 < len(stream) and len(stream) <= 64, "a stream has a name of 1 to 64 characters"
    if stream in streams:
        assert streams[stream]["org"] == ctx.org, "the stream belongs to another organisation"
    assert 1 <= len(edges) and len(edges) < BINS_MAX and len(reference) == len(edges) + 1, "one bin more than edges"
    for place in range(1, len(edges)):
        assert edges[place - 1] < edges[place], "edges ascend"
    assert min(reference) >= 0 and sum(reference) > 0 and 0 < threshold, "counts are not negative, not all 0"
    assert 1 <= size and size <= SIZE_MAX and len(observers) <= 16, "size is 1 to 100,000"
    streams[stream] = {"org": ctx.org, "edges": edges, "reference": reference, "reference_sum": reference_sum, "size": size, "limit": threshold, "observers": observers, "counts": [0 for bin in reference], "sum": 0, "asked": 0, "statistic": 0, "mean_shift": 0, "windows": 0}


@export
def observe(stream: str, number: int) -> bool:
    """An observer, organisation or contract, adds one number; tells whether retraining is asked for."""
    found = streams[stream]
    who = ctx.caller if type_of(ctx.caller) == "str" else ctx.org
    assert who in found["observers"], "not an observer of this stream"
    assert abs(number) <= NUMBER_MAX, "the number is out of range"
    place = len([edge for edge in found["edges"] if edge <= number])
    found["counts"][place] += 1
    found["sum"] += number
    if sum(found["counts"]) >= found["size"]:
        compare(stream, found)
    streams[stream] = found
    return found["asked"] > 0


def compare(stream: str, found: dict):
    counts = found["counts"]
    found["statistic"] = chi_square(found["reference"], counts)
    found["mean_shift"] = found["sum"] * 1000 // sum(counts) - found["reference_sum"] * 1000 // sum(found["reference"])
    found["windows"] += 1
    found["counts"] = [0 for bin in counts]
    found["sum"] = 0
    Measured(stream=stream, statistic=found["statistic"], limit=found["limit"], mean_shift=found["mean_shift"])
    if found["statistic"] > found["limit"] and found["asked"] == 0:
        found["asked"] = ctx.height
        RetrainingAsked(stream=stream, statistic=found["statistic"], height=ctx.height)


def chi_square(one: list, other: list) -> int:
    """Thousandths, rounded down, of sum (a B - b A)^2 / (A B (a + b)) over the bins."""
    a = sum(one)
    b = sum(other)
    total = 0
    for pair in zip(one, other):
        if pair[0] + pair[1] > 0:
            gap = pair[0] * b - pair[1] * a
            total += 1000 * gap * gap // (a * b * (pair[0] + pair[1]))
    return total


@export(role="modeler")
def answer(stream: str, reference: list[int], reference_sum: int):
    """The organisation has trained anew: the population of the new model is the reference from now on."""
    found = streams[stream]
    assert found["org"] == ctx.org and found["asked"] > 0, "nobody asked, or another organisation"
    assert len(reference) == len(found["reference"]) and min(reference) >= 0 and sum(reference) > 0, "counts for each bin"
    found.update({"reference": reference, "reference_sum": reference_sum, "asked": 0, "counts": [0 for bin in reference], "sum": 0})
    streams[stream] = found
    Answered(stream=stream, height=ctx.height)


@view
def status(stream: str) -> value:
    return streams.get(stream)


@view
def is_asked(stream: str) -> bool:
    """Whether retraining is asked for."""
    return streams[stream]["asked"] > 0
