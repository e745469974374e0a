"""`andon new NAME`: a project that works at once: a contract, its tests, ways to send."""

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

TEST = '''"""The contract in the nodes' own engine, no network (`andon contract test tests`)."""

from pathlib import Path

import pytest

from andon.core.codec import Dec
from node.testing.contracts import CallFailed, Contracts

SOURCE = Path(__file__).resolve().parent.parent / "contracts" / "@NAME@.py"


def make_world(rul: int = 50) -> tuple[Contracts, bytes]:
    contracts = Contracts(height=7)
    contracts.model("rul", lambda window: rul)
    contracts.deploy("@NAME@", SOURCE, model="rul")
    return contracts, contracts.member("operator", "operator")


def test_a_prediction_is_kept_with_its_height():
    contracts, operator = make_world()
    rul = contracts.call("@NAME@.report", sender=operator, machine="press-7", window=b"\\x00")
    assert rul == Dec(50 * 10**18)
    assert contracts.call("@NAME@.status", machine="press-7")["height"] == 7
    assert contracts.host.events == []


def test_a_machine_near_its_end_is_due():
    contracts, operator = make_world(rul=10)
    called = contracts.attempt("@NAME@.report", sender=operator, machine="p", window=b"\\x00")
    assert [event for _, event, _ in called.events] == ["Due"]


def test_only_operators_report():
    contracts, _ = make_world()
    assert contracts.attempt("@NAME@.report", machine="p", window=b"\\x00").code == "E_ACCESS"


def test_a_machine_has_a_name():
    contracts, operator = make_world()
    with pytest.raises(CallFailed, match="a machine has a name of 1 to 64 characters"):
        contracts.call("@NAME@.report", sender=operator, machine="", window=b"\\x00")
'''

BUILTINS = """# Shows the names of the contract language to editors on Pyright.
from andon.contract import *
"""

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

GATEWAY_CONFIG = """# From MQTT into the contract: `andon gateway check gateway.toml`, then `run`.
[chain]
nodes = ["http://127.0.0.1:26657"]
key = "gateway.key"                 # of a member with role operator

[outbox]
path = "gateway.outbox"

[[streams]]
name = "machines"
machines = ["press-*"]
row_ms = 1000                       # a row is the mean of one second
stride = 10                         # a window each ten rows
package = "model/package.blob"      # its channels, units and quantiser make the window

[streams.call]
contract = "@NAME@"
method = "report"
arguments = { machine = "$machine", window = "$window" }

[[mqtt]]
host = "127.0.0.1"                  # andon up --with mqtt starts a broker
port = 1883
client_id = "gateway-1"
topic = "plant/{machine}/readings"  # {"temperature": 71.2, ...}
"""

README = """# @NAME@

- `contracts/@NAME@.py`: the contract (`__builtins__.pyi` beside it is for editors)
- `tests/test_@NAME@.py`: its tests, in the nodes' own engine
- `readings.csv`: a generated example, presses run to failure; put your own in its place
- `gateway.py`: sends windows of a machine as signed transactions
- `gateway.toml`: the gateway that makes such windows from MQTT messages

Try the contract, in the environment of a checkout of Andon:

    andon contract check --types contracts/@NAME@.py
    andon contract test tests
    andon contract gas contracts/@NAME@.py report machine=press-7 window=0x00 \\
        --role operator --init model=rul --model rul=50

A model of your own, from a table with a column for each sensor, into `model/`; windows, split,
certificate and report are made for you, in about a minute for the example:

    andon models train --csv readings.csv --task rul --group machine --time cycle --out model
    andon models verify model

Use it on a local network, with a model of the checkout or with yours:

    andon up --detach
    andon models publish PATH-OF-THE-CHECKOUT/models/packages/rul-demo --alias rul
    andon deploy contracts/@NAME@.py --init model=rul
    head -c 240 /dev/zero > window.bin    # a window has 30 cycles of 8 sensors, an int8 each
    andon send @NAME@.report machine=press-7 window=@window.bin
    andon call @NAME@.status machine=press-7
    andon down
"""


MACHINES = 16
_SENSORS = "temperature,vibration,pressure"


def example_readings() -> str:
    """A table of machines run to failure: wear that grows with age, under the noise of sensors.

    The same text every time: the noise is a linear congruence (Numerical Recipes, ranqd1).
    """
    noise = 1
    rows = [f"machine,cycle,{_SENSORS}"]
    for machine in range(1, MACHINES + 1):
        life = 60 + machine * 37 % 50
        for cycle in range(1, life + 1):
            wear = 1000 * cycle * cycle // (life * life)
            drawn = []
            for _ in range(3):
                noise = (noise * 1_664_525 + 1_013_904_223) % 2**32
                drawn.append((noise >> 16) % 61 - 30)
            temperature = 650 + wear // 5 + drawn[0]
            vibration = 100 + wear // 8 + drawn[1]
            pressure = 4000 - wear // 4 + drawn[2]
            rows.append(f"press-{machine},{cycle},{temperature},{vibration},{pressure}")
    return "\n".join(rows) + "\n"


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
        "contracts/__builtins__.pyi": BUILTINS,
        f"tests/test_{name}.py": TEST,
        "readings.csv": example_readings(),
        "gateway.py": GATEWAY,
        "gateway.toml": GATEWAY_CONFIG,
        "README.md": README,
    }
    return {path: text.replace("@NAME@", name) for path, text in texts.items()}
