"""Overhead of a round beside Flower's simulation, in one run: same plants, sizes and updates.

Flower gets an environment of its own under `out/bench/flower`, made with pip; if that fails, the
comparison is skipped and says why. Training does nothing on both sides, plain and FedAvg, so a
round's whole time is overhead. Ray's first round is shown apart. Source: reference 4.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import venv
from pathlib import Path

import numpy as np

from models.federated.ring import Encoding
from models.federated.simulate import Federation

HOME = Path("out") / "bench" / "flower"
PACKAGE = "flwr[simulation]==1.41.0"
INSTALL_TIMEOUT_S = 900
RUN_TIMEOUT_S = 600
PLANTS = 10
ROUNDS = 6
SIZES = (6_337, 1_002_697)
PROGRAM = Path(__file__).with_name("flower_app.txt")


def main() -> None:
    """Print one line a size and system."""
    python, reason = _environment()
    if python is None:
        print(f"skipped: {PACKAGE} cannot be installed here: {reason}")
    for size in SIZES:
        first, *others = _ours(size)
        print(f"  {size:9,} Andon   first {first:7.3f}  median {float(np.median(others)):7.3f} s")
        if python is not None:
            print(f"  {size:9,} Flower  {_flower(python, size)}", flush=True)


def _ours(size: int) -> list[float]:
    """Seconds of each plain round, ten plants and the server in this process."""
    federation = Federation.start(
        np.zeros(size, np.float32), Encoding(16, 1 << 20, 1 << 26, 1, PLANTS)
    )
    updates = [np.full(size, 0.001, np.float32) for _ in range(PLANTS)]
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        federation.step(updates)
        taken.append(time.perf_counter() - began)
    return taken


def _environment() -> tuple[Path | None, str]:
    """Flower's interpreter, or why there is none."""
    python = HOME / "bin" / "python"
    if not python.exists():
        venv.create(HOME, with_pip=True)
    install = [str(python), "-m", "pip", "install", "-q", PACKAGE]
    try:
        done = subprocess.run(
            install, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return None, f"pip took more than {INSTALL_TIMEOUT_S} s"
    if done.returncode:
        return None, done.stderr.strip().splitlines()[-1][:200] if done.stderr else "pip failed"
    return python, ""


def _flower(python: Path, size: int) -> str:
    environment = {**os.environ, "FLWR_TELEMETRY_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
    command = [str(python), "-c", PROGRAM.read_text(encoding="utf-8")]
    try:
        done = subprocess.run(
            [*command, str(size), str(PLANTS), str(ROUNDS)],
            capture_output=True, text=True, check=False, timeout=RUN_TIMEOUT_S, env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no result within {RUN_TIMEOUT_S} s"
    line = next((s for s in done.stdout.splitlines() if s.startswith("[")), "")
    if done.returncode or not line:
        return f"failed: {(done.stderr.strip().splitlines() or ['no output'])[-1][:200]}"
    first, *others = json.loads(line)
    return f"first {first:7.3f}  median {float(np.median(others)):7.3f} s"


if __name__ == "__main__":
    main()
