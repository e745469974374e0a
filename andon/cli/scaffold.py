"""`andon new NAME`: a project that works at once: a contract, its tests, a gateway script."""

from __future__ import annotations

import re
from pathlib import Path

import click

from andon.cli.context import Context
from andon.core.errors import Code, InvalidInput
from andon.core.json_value import Json

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}\Z", re.ASCII)

CONTRACT = '''"""Remaining life of machines, by a certified model; tells which is due."""
model = Var(str)
limit = Var(dec)
machines = Map(key=str, value=dict)
Due = Event(machine=str, rul=dec)


@init
def setup(model: str, rul_limit: int = 30):
    configure(model, rul_limit)


def configure(name: str, rul_limit: int):
    assert rul_limit > 0, "the limit is positive"
    model.set(name)
    limit.set(dec(rul_limit))


@export(role="operator")
def report(machine: str, window: bytes) -> dec:
    """Predict from one window; every validator recomputes it before it votes."""
    assert 0 < len(machine) and len(machine) <= 64, "a machine has a name of 1 to 64 characters"
    rul = predict(model.get(), window)
    machines[machine] = {"rul": rul, "height": ctx.height}
    if rul < limit.get():
        Due(machine=machine, rul=rul)
    return rul


@view
def status(machine: str) -> value:
    return machines.get(machine)
'''

TEST = '''"""The contract in the nodes' own engine, without a network."""

from pathlib import Path

from andon.core.codec import Dec, decode_value, encode_arguments
from contracts_py.engine import Context, Engine, Mode, Prediction
from contracts_py.engine.memory_host import MemoryHost

SOURCE = Path(__file__).resolve().parent.parent / "contracts" / "@NAME@.py"
OPERATOR, STRANGER = bytes(32), b"\\x01" * 32


def make_host(rul: int = 50) -> MemoryHost:
    host = MemoryHost(
        sources={"@NAME@": SOURCE.read_bytes()},
        roles={OPERATOR: ("operator",)},
        models={"rul": lambda window: Prediction(output=(rul,), scale_num=1, scale_den=1, gas=100)},
    )
    assert call(host, "setup", Mode.INIT, model="rul").ok
    return host


def call(host, method, mode=Mode.CALL, sender=OPERATOR, **arguments):
    context = Context(chain_id="test", height=7, time_ms=0, sender=sender, transaction_id=bytes(32))
    data = encode_arguments(arguments)
    return Engine().execute(host, context, "@NAME@", method, data, 1_000_000, mode=mode)


def test_a_prediction_is_kept_with_its_height():
    host = make_host()
    outcome = call(host, "report", machine="press-7", window=b"\\x00")
    assert decode_value(outcome.result) == Dec(50 * 10**18)
    kept = decode_value(call(host, "status", Mode.VIEW, machine="press-7").result)
    assert kept["height"] == 7
    assert host.events == []


def test_a_machine_near_its_end_is_due():
    host = make_host(rul=10)
    assert call(host, "report", machine="press-7", window=b"\\x00").ok
    assert [name for _, name, _ in host.events] == ["Due"]


def test_only_operators_report():
    assert not call(make_host(), "report", sender=STRANGER, machine="p", window=b"\\x00").ok


def test_a_machine_has_a_name():
    outcome = call(make_host(), "report", machine="", window=b"\\x00")
    assert outcome.failure is not None
    assert outcome.failure.message == "a machine has a name of 1 to 64 characters"
'''

GATEWAY = '''"""Send windows of a machine: python gateway.py URL KEY MACHINE FILE..."""

import sys
from pathlib import Path

from andon.client import AndonError, Client
from andon.client.wallet import load_key_file


def main() -> int:
    if len(sys.argv) < 5:
        print(__doc__, file=sys.stderr)
        return 2
    url, key, machine = sys.argv[1:4]
    with Client(url, key=load_key_file(Path(key))) as client:
        for path in sys.argv[4:]:
            try:
                outcome = client.send(
                    "@NAME@", "report", machine=machine, window=Path(path).read_bytes()
                )
            except AndonError as error:
                print(f"{path}: {error}", file=sys.stderr)
                return 1
            due = any(event.name == "Due" for event in outcome.events)
            print(f"{path}: {outcome.results[0].scaled / 10**18:.1f}{' DUE' if due else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
'''

README = """# @NAME@

- `contracts/@NAME@.py`: the contract
- `tests/test_@NAME@.py`: its tests, in the nodes' own engine
- `gateway.py`: sends windows of a machine as signed transactions

Try the contract, in the environment of a checkout of Andon:

    PYTHONPATH=PATH-OF-THE-CHECKOUT pytest tests

Use it on a local network:

    andon up --detach
    andon models publish PATH-OF-THE-CHECKOUT/models/packages/rul-demo --alias rul
    andon deploy contracts/@NAME@.py --init model=rul
    andon send @NAME@.report machine=press-7 window=@window.bin
    andon call @NAME@.status machine=press-7
    andon down
"""


@click.command("new")
@click.argument("name")
@click.option(
    "--in",
    "parent",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where to make the project's folder.",
)
@click.pass_obj
def new_command(context: Context, *, name: str, parent: Path) -> None:
    """Write a new project NAME: a contract, its tests, a gateway script."""
    files = project_files(name)
    root = parent / name
    if root.exists():
        raise InvalidInput(
            Code.BAD_ARGUMENTS, f"{root} exists already", hint="choose another name or --in"
        )
    for place, text in files.items():
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    written: list[Json] = [str(root / place) for place in files]
    context.show(
        {"project": str(root), "files": written},
        "\n".join([*(str(path) for path in written), f"next: see {root / 'README.md'}"]),
    )


def project_files(name: str) -> dict[str, str]:
    """Texts of a project by path.

    Raises:
        InvalidInput: BAD_ARGUMENTS if the name cannot be a contract's.
    """
    if _NAME.match(name) is None:
        raise InvalidInput(
            Code.BAD_ARGUMENTS,
            f"{name!r} cannot be a contract's name",
            hint="begin with a-z, go on with a-z, 0-9 and _, at most 32 characters",
        )
    texts = {
        f"contracts/{name}.py": CONTRACT,
        f"tests/test_{name}.py": TEST,
        "gateway.py": GATEWAY,
        "README.md": README,
    }
    return {path: text.replace("@NAME@", name) for path, text in texts.items()}
