"""`andon init` and `validate`: one commented file that says what `andon up` is to make."""

from __future__ import annotations

import tomllib
from pathlib import Path

import click
import msgspec

from andon.cli.context import Context
from andon.core.errors import Code, InvalidInput
from andon.core.worker import BACKENDS

MANIFEST_BYTES_MAX = 64 * 1024
VALIDATORS_MAX = 64
OBSERVERS_MAX = 16
PORT_MAX = 65_535
FAST_IDLE_BLOCK_MS = 200
WORKERS = ("none", *BACKENDS)

TEXT = """\
# A local network: `andon up --manifest {path}` makes and starts it.
# What is fixed in the genesis (validators, chain_id, seed, idle_block_ms) counts when the network
# is made; a network that exists keeps its own, and `andon up --reset` begins anew.

chain_id = "andon-local"

# Each validator is an organisation of its own. Four can lose one, seven two.
validators = {validators}

# Nodes that follow and answer, but do not vote.
observers = {observers}

# Peer ports are this one, the next but one, and so on; RPC and explorer lie between them.
base_port = 26656

# What computes predictions: "cpu", "gpu", "tpu", or "none" for contracts that do not predict.
worker = "cpu"

# How long a leader waits for work before it makes an empty block.
idle_block_ms = 1000

# Reproducible keys and genesis. For tests only: whoever knows the number has all keys.
{seed}
"""


class NetworkFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the file may say. `seed` is None for keys of fresh randomness."""

    chain_id: str = "andon-local"
    validators: int = 4
    observers: int = 0
    base_port: int = 26656
    worker: str = "cpu"
    idle_block_ms: int = 1000
    seed: int | None = None


@click.command("init")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default=Path("net.toml"))
@click.option("--validators", type=int, default=4, show_default=True)
@click.option("--observers", type=int, default=0, show_default=True)
@click.option("--seed", type=int, help="Reproducible keys and genesis: tests only.")
@click.pass_obj
def init_command(
    context: Context, *, path: Path, validators: int, observers: int, seed: int | None
) -> None:
    """Write a commented manifest of a local network to PATH and check it."""
    line = "# seed = 42" if seed is None else f"seed = {seed}"
    text = TEXT.format(path=path, validators=validators, observers=observers, seed=line)
    parse_network_file(text, str(path))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InvalidInput(
            Code.BAD_CONFIG, f"{path} exists: not overwritten", hint="name another file"
        ) from None
    context.show({"manifest": str(path)}, f"{path}: next, andon up --manifest {path}")


@click.command("validate")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def validate_command(context: Context, *, path: Path) -> None:
    """Check a manifest and show what it says, defaults included."""
    found = load_network_file(path)
    values = msgspec.to_builtins(found)
    context.show(values, "\n".join(f"{name} = {value}" for name, value in values.items()))


def load_network_file(path: Path) -> NetworkFile:
    """Read a manifest.

    Raises:
        InvalidInput: BAD_CONFIG with the key that is wrong.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MANIFEST_BYTES_MAX + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(Code.BAD_CONFIG, f"cannot read {path}: {error}") from None
    if len(content) > MANIFEST_BYTES_MAX:
        raise InvalidInput(Code.BAD_CONFIG, f"{path} exceeds {MANIFEST_BYTES_MAX} bytes")
    return parse_network_file(text, str(path))


def parse_network_file(text: str, name: str) -> NetworkFile:
    """Parse and check a manifest. Raises as `load_network_file`."""
    try:
        found = msgspec.convert(tomllib.loads(text), NetworkFile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InvalidInput(
            Code.BAD_CONFIG, f"{name}: {error}", hint="`andon init` writes one with comments"
        ) from None
    top = found.base_port + 2 * (found.validators + found.observers)
    for is_right, rule in (
        (1 <= found.validators <= VALIDATORS_MAX, f"validators are 1 to {VALIDATORS_MAX}"),
        (0 <= found.observers <= OBSERVERS_MAX, f"observers are 0 to {OBSERVERS_MAX}"),
        (found.base_port >= 1 and top <= PORT_MAX, f"ports are 1 to {PORT_MAX}, two a node"),
        (found.worker in WORKERS, f"worker is one of {', '.join(WORKERS)}"),
        (found.idle_block_ms >= 1, "idle_block_ms is at least 1"),
        (0 < len(found.chain_id) <= 64, "chain_id has 1 to 64 characters"),
    ):
        if not is_right:
            raise InvalidInput(Code.BAD_CONFIG, f"{name}: {rule}")
    return found
