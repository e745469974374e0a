"""Labels: uncertain samples go to inspectors of several organisations; a quorum labels them; labels make datasets.

Reliability follows Dawid and Skene: each inspector has counts of what was said by what was true, and each decision
adds its posterior to them, in thousandths. Integers only, so all validators weigh alike."""
datasets = Map(key=str, value=dict)
samples = Map(key=(str, bytes), value=dict)
queue = Map(key=(str, int), value=bytes)
confusion = Map(key=(str, bytes), value=list)
earned = Map(key=(str, bytes), value=int, default=0)
versions = Map(key=(str, int), value=dict)
of_model = Map(key=str, value=str)
Queued = Event(dataset=str, sample=bytes, reason=str, indexed=("dataset",))
Sealed = Event(dataset=str, sample=bytes, orgs=list, indexed=("dataset",))
Labelled = Event(dataset=str, sample=bytes, label=str, surety=int, indexed=("dataset", "label"))
Disputed = Event(dataset=str, sample=bytes, surety=int, indexed=("dataset",))
VersionCut = Event(dataset=str, version=int, digest=bytes, count=int, indexed=("dataset",))
Paid = Event(dataset=str, account=bytes, amount=int, indexed=("account",))

CLASSES_MAX = 16
ANSWERS_MAX = 7
ORGS_MIN = 2
OPEN_MAX = 4096
# What an inspector nobody knows has to his credit: right three times of four, spread over the classes.
PRIOR_RIGHT = 3000
PRIOR_WRONG = 1000


@export(role="modeler")
def open(dataset: str, model: str, classes: list[str], surety: int, reward: int, token: str = "token", feeders: list[str] | None = None):
    """A modeler opens a dataset for a model; `surety` is the posterior, in thousandths, that decides a sample."""
    assert dataset not in datasets and 0 < len(dataset) and len(dataset) <= 64, "a new name of 1 to 64 characters"
    assert 2 <= len(classes) and len(classes) <= CLASSES_MAX, "2 to 16 classes"
    assert 500 < surety and surety < 1000 and reward >= 0, "surety is 501 to 999 thousandths"
    datasets[dataset] = {"org": ctx.org, "owner": ctx.sender, "model": model, "classes": classes, "surety": surety, "reward": reward, "token": token, "feeders": ["quality", "maintenance"] if feeders is None else feeders, "queued": 0, "open": 0, "labelled": 0, "prior": [1000 for name in classes], "digest": hash256(dataset.encode()), "versions": 0}
    of_model[model] = dataset


@export
def enqueue(model: str, sample: bytes, reason: str):
    """A feeding contract, or an operator, asks for the label of a sample, named by its digest; asked again it does nothing."""
    dataset = of_model[model]
    found = datasets[dataset]
    assert ctx.caller in found["feeders"] or (ctx.caller == ctx.sender and has_role(ctx.sender, "operator")), "not a feeder of this dataset"
    assert len(sample) == 32 and len(reason) <= 64, "a digest of 32 bytes, a short reason"
    if (dataset, sample) in samples:
        return
    assert found["open"] < OPEN_MAX, "the queue is full"
    found["queued"] += 1
    found["open"] += 1
    datasets[dataset] = found
    queue[dataset, found["queued"]] = sample
    samples[dataset, sample] = {"number": found["queued"], "org": ctx.org, "reason": reason, "status": "QUEUED", "sealed": {}, "answers": [], "label": "", "surety": 0, "height": ctx.height}
    Queued(dataset=dataset, sample=sample, reason=reason)


@export(role="operator")
def seal(dataset: str, sample: bytes, sealed: dict[str, bytes]):
    """The sample's organisation says which blob, sealed to it, each organisation opens; two at least."""
    found = samples[dataset, sample]
    assert found["org"] == ctx.org and found["status"] == "QUEUED", "only its organisation seals a queued sample"
    assert ORGS_MIN <= len(sealed) and len(sealed) <= 16, "sealed to 2 to 16 organisations"
    for org in sealed:
        assert len(sealed[org]) == 32, "a blob is named by its digest of 32 bytes"
    found.update({"sealed": sealed, "status": "OUT"})
    samples[dataset, sample] = found
    Sealed(dataset=dataset, sample=sample, orgs=sorted(sealed.keys()))


@export(role="inspector")
def answer(dataset: str, sample: bytes, label: str) -> str:
    """An inspector labels a sample, once; gives its status."""
    plan = datasets[dataset]
    found = samples[dataset, sample]
    assert found["status"] == "OUT" and ctx.org in found["sealed"], "the sample is not out with your organisation"
    assert label in plan["classes"], "unknown label"
    for row in found["answers"]:
        assert row[0] != ctx.sender, "you have answered"
    found["answers"].append([ctx.sender, ctx.org, plan["classes"].index(label)])
    orgs = sorted([row[1] for row in found["answers"]])
    if orgs[0] != orgs[-1]:
        weigh(dataset, plan, sample, found)
    elif len(found["answers"]) >= ANSWERS_MAX - 1:
        revert("another organisation has to answer now")
    samples[dataset, sample] = found
    return found["status"]


def weigh(dataset: str, plan: dict, sample: bytes, found: dict):
    chances = posterior(dataset, plan, found["answers"])
    best = max(chances)
    found["surety"] = best
    if best >= plan["surety"]:
        place = chances.index(best)
        found["label"] = plan["classes"][place]
        found["status"] = "LABELLED"
        plan["labelled"] += 1
        plan["digest"] = hash256(plan["digest"] + sample + found["label"].encode())
        plan["prior"][place] += 1000
        learn(dataset, plan, found["answers"], chances, place)
        Labelled(dataset=dataset, sample=sample, label=found["label"], surety=best)
    elif len(found["answers"]) >= ANSWERS_MAX:
        found["status"] = "DISPUTED"
        learn(dataset, plan, found["answers"], chances, -1)
        Disputed(dataset=dataset, sample=sample, surety=best)
    if found["status"] != "OUT":
        plan["open"] -= 1
        datasets[dataset] = plan


def posterior(dataset: str, plan: dict, answers: list) -> list:
    """Thousandths by class: prior times what each inspector says where that class is true."""
    chances = [share for share in plan["prior"]]
    for row in answers:
        counts = confusion.get((dataset, row[0])) or prior_of(len(plan["classes"]))
        for place in range(len(chances)):
            # A million keeps seven products of small chances above zero in 256 bits.
            chances[place] = chances[place] * (counts[place][row[2]] * 1000000 // sum(counts[place]))
    total = sum(chances)
    return [share * 1000 // total for share in chances]


def prior_of(count: int) -> list:
    return [[PRIOR_RIGHT if said == true else max(1, PRIOR_WRONG // (count - 1)) for said in range(count)] for true in range(count)]


def learn(dataset: str, plan: dict, answers: list, chances: list, decided: int):
    for row in answers:
        counts = confusion.get((dataset, row[0])) or prior_of(len(chances))
        for place in range(len(chances)):
            counts[place][row[2]] += chances[place]
        confusion[dataset, row[0]] = counts
        if row[2] == decided:
            earned[dataset, row[0]] += plan["reward"]


@export
def pay(dataset: str, account: bytes) -> int:
    """The owner of the dataset pays, from own units of the token, what an inspector has earned."""
    plan = datasets[dataset]
    assert plan["owner"] == ctx.sender, "only the owner pays"
    amount = earned[dataset, account]
    assert amount > 0, "nothing is owed"
    earned[dataset, account] = 0
    call(plan["token"], "transfer", {"target": account, "amount": amount})
    Paid(dataset=dataset, account=account, amount=amount)
    return amount


@export(role="modeler")
def cut(dataset: str) -> bytes:
    """Freeze a version: its digest covers all labels so far in order; a training run names it as its data."""
    plan = datasets[dataset]
    assert plan["org"] == ctx.org and plan["labelled"] > 0, "only its organisation cuts a version with labels"
    plan["versions"] += 1
    versions[dataset, plan["versions"]] = {"digest": plan["digest"], "count": plan["labelled"], "height": ctx.height}
    datasets[dataset] = plan
    VersionCut(dataset=dataset, version=plan["versions"], digest=plan["digest"], count=plan["labelled"])
    return plan["digest"]


@view
def version(dataset: str, number: int) -> value:
    return versions.get((dataset, number))


@view
def sample(dataset: str, digest: bytes) -> value:
    return samples.get((dataset, digest))


@view
def pending(dataset: str, after: int, count: int) -> list:
    """Samples with numbers above `after` that wait for a label: [number, digest, status]."""
    out = []
    for number in range(after + 1, min(datasets[dataset]["queued"], after + min(count, 256)) + 1):
        found = samples[dataset, queue[dataset, number]]
        if found["status"] == "QUEUED" or found["status"] == "OUT":
            out.append([number, queue[dataset, number], found["status"]])
    return out


@view
def reliability(dataset: str, account: bytes) -> list:
    """By class, in thousandths: how often an inspector says it where it is true."""
    size = len(datasets[dataset]["classes"])
    counts = confusion.get((dataset, account)) or prior_of(size)
    return [counts[place][place] * 1000 // sum(counts[place]) for place in range(size)]


@view
def debt(dataset: str, account: bytes) -> int:
    return earned[dataset, account]
