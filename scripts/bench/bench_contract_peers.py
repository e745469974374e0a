"""The same transfer and loop in other contract engines of the package index, in the same run.

RestrictedPython and Starlark (starlark-pyo3) meter nothing from Python and keep no state: a dict
stands for it. py-evm runs hand-assembled bytecode with gas and storage. They are no part of
Andon: pip puts them into an environment that is thrown away afterwards, or the reason is printed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from andon.core.codec import encode_arguments
from contracts_py.engine import Engine, Mode
from contracts_py.engine.memory_host import MemoryHost
from scripts.bench.bench_contracts import ALICE, BOB, GAS, TOKEN, context_of, run
from scripts.bench.timing import best

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("RestrictedPython==9.0", "starlark-pyo3==2026.1.3", "py-evm==0.12.1b1")
TURNS = 1_000
INSTALL_S_MAX = 300
RUN_S_MAX = 300


def main() -> None:
    """Print one line a system."""
    print(f"{'system':18} {'transfer us':>12} {'loop ns/turn':>13}  metered")
    transfer_ns, turn_ns = _andon()
    print(f"{'andon':18} {transfer_ns / 1000:12.2f} {turn_ns:13.0f}  gas and memory, exact")
    with tempfile.TemporaryDirectory() as folder:
        python = _environment(Path(folder))
        command = [str(python), "-m", "scripts.bench.peers_apart"]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=RUN_S_MAX,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    for line in done.stdout.splitlines():
        row = json.loads(line)
        if "absent" in row:
            print(f"{row['name']:18} absent: {row['absent']}")
        else:
            print(
                f"{row['name']:18} {row['transfer_us']:12.2f} {row['turn_ns']:13.0f}"
                f"  {row['metered']}"
            )


def _environment(folder: Path) -> Path:
    """Make an environment; says which package pip cannot put into it. Gives its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=INSTALL_S_MAX)
    python = folder / "bin" / "python"
    for package in PACKAGES:
        command = [str(python), "-m", "pip", "install", "--quiet", package]
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=INSTALL_S_MAX
            )
        except subprocess.CalledProcessError as failed:
            print(f"pip cannot install {package}: {failed.stderr.strip().splitlines()[-1]}")
        except subprocess.TimeoutExpired:
            print(f"pip does not install {package} within {INSTALL_S_MAX} s")
    return python


def _andon() -> tuple[float, float]:
    engine, host = Engine(), MemoryHost()
    host.sources["token"] = TOKEN
    run(engine, host, "token", "", Mode.INIT, owner=ALICE)
    args, context = encode_arguments({"target": BOB, "amount": 1}), context_of()

    def transfer() -> None:
        engine.execute(host, context, "token", "transfer", args, GAS, mode=Mode.CALL)
        host.forget()

    return (
        best(transfer, count=20, repeats=200),
        best(lambda: run(engine, host, "token", "loop", n=TURNS), count=1, repeats=40) / TURNS,
    )


if __name__ == "__main__":
    main()
