"""Origins of federated models: from a registered package to the run, and to each round that made it."""
import training

adopted = Map(key=str, value=list)
made_by = Map(key=bytes, value=str)
Adopted = Event(run=str, model=bytes, state=bytes, indexed=("run", "model"))

ROUNDS_MAX = 256
PACKAGES_MAX = 16


@export(role="modeler")
def adopt(run: str, model_id: bytes):
    """The owner of a run names the registered package that was made from the run's present state."""
    plan = training.status(run=run)["run"]
    assert plan["owner"] == ctx.sender, "only the owner adopts a package"
    assert model_id not in made_by, "this package was adopted"
    found = call("models", "package", {"model_id": model_id})
    assert found is not None and found["run"] == run, "the package does not name this run as its origin"
    assert found["data"] == plan["data"], "the package names other data than the run"
    rows = adopted.get(run, [])
    assert len(rows) < PACKAGES_MAX, "at most 16 packages a run"
    adopted[run] = rows + [[model_id, plan["state"], plan["round"]]]
    made_by[model_id] = run
    Adopted(run=run, model=model_id, state=plan["state"])


@view
def packages_of(run: str) -> list:
    """Packages made from the run: [model, state, number of the last round before]."""
    return adopted.get(run, [])


@view
def lineage(model_id: bytes, after: int, count: int) -> dict:
    """The run of a package and its closed rounds above `after` (256 at most), as
    [number, state, score, kept, members that took part, height]."""
    run = made_by[model_id]
    last = [row[2] for row in adopted[run] if row[0] == model_id][0]
    rows = []
    for number in range(after + 1, min(last, after + min(count, ROUNDS_MAX)) + 1):
        current = training.round_at(run=run, number=number)
        found = current.get("result")
        if found is not None:
            rows.append([number, found["state"], found["score"], found["kept"], current["frozen"], found["height"]])
    return {"run": run, "data": training.status(run=run)["run"]["data"], "rounds": rows}
