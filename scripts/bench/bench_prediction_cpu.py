"""Processor time of a committed prediction against bare `jit`, for a network of 20 MFLOP.

Four validators and their workers, 15 images of 64 x 64 a transaction; everything that all eight
processes use is counted. The proposer computes a prediction and every validator computes it again,
so validators + 1 bare predictions are what there is to compare with: the float32 original under
`jax.jit`, batches of 256, measured before and after on the same machine, the median of its rounds.
ANDON_BENCH_SECONDS (8) is the length, ANDON_BENCH_IMAGES (240 a second) the load.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

from scripts.bench.bench_network import network
from scripts.bench.load import run_load
from scripts.bench.targets import AndonTarget
from scripts.bench.usage import Usage, measure
from scripts.bench.workloads import IMAGE_SIDE, Bench, image_model, image_package

VALIDATORS = 4
BATCH = 256
ROUNDS = 7
GOAL = 1.2
SECONDS = float(os.environ.get("ANDON_BENCH_SECONDS", "8"))
IMAGES_PER_S = float(os.environ.get("ANDON_BENCH_IMAGES", "240"))
WARM_TRANSACTIONS = 12
SETTLE_S_MAX = 60
IDLE_CPU_S = 0.05
"""What all workers together use in a second when they have nothing to do, and some."""


def main() -> None:
    """Print both costs and their ratio."""
    bare = bare_predictions()
    before = {name: cost() for name, cost in bare.items()}
    usage, predictions = asyncio.run(committed())
    after = {name: cost() for name, cost in bare.items()}
    each_ms = 1000 * usage.cpu_total_s / predictions
    workers_s = sum(seconds for name, seconds in usage.cpu_s.items() if name.endswith("worker"))
    print(
        f"  committed: {predictions} predictions, {each_ms:.2f} ms of processor each, "
        f"{1000 * workers_s / predictions:.2f} of it in workers"
    )
    for name in bare:
        each = (before[name] + after[name]) / 2
        ratio = each_ms / ((VALIDATORS + 1) * each)
        print(
            f"  bare {name}: {before[name]:.2f} ms before, {after[name]:.2f} ms after; "
            f"committed / ({VALIDATORS + 1} x bare) = {ratio:.2f} (goal {GOAL} for float32)"
        )


def bare_predictions() -> dict[str, Callable[[], float]]:
    """Functions that measure milliseconds of processor a prediction: the original, and ours."""
    model, package = image_model(), image_package()
    import jax  # noqa: PLC0415 - after the environment
    import jax.numpy as jnp  # noqa: PLC0415
    from flax import nnx  # noqa: PLC0415

    from models.compile import compile_package  # noqa: PLC0415

    random = np.random.default_rng(1)
    images = random.integers(0, 128, (BATCH, IMAGE_SIDE, IMAGE_SIDE, 1)).astype(np.int8)
    graph, state = nnx.split(model)
    forward = jax.jit(lambda held, batch: nnx.merge(graph, held)(batch))
    floats = jnp.asarray(images, jnp.float32)
    ours = compile_package(package, "cpu")
    return {
        "float32 jit": lambda: _cost_ms(lambda: np.asarray(forward(state, floats))),
        "certified": lambda: _cost_ms(lambda: ours(images)),
    }


def _cost_ms(run: Callable[[], object]) -> float:
    run()
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        run()
        found.append(time.process_time() - began)
    return 1000 * statistics.median(found) / BATCH


async def settled(bench: Bench) -> None:
    """Wait until the workers do nothing, SETTLE_S_MAX at most."""
    home, urls = bench.cluster.home, bench.cluster.urls()
    for _ in range(SETTLE_S_MAX):
        before = measure(home, urls)
        await asyncio.sleep(1)
        spent = measure(home, urls).since(before).cpu_s
        if sum(spent[name] for name in spent if name.endswith("worker")) < IDLE_CPU_S:
            return


async def committed() -> tuple[Usage, int]:
    """Run the network; what it used, and how many predictions it committed."""
    async with network(VALIDATORS, with_image=True) as bench:
        workload = bench.workloads()["image15"]
        rate = IMAGES_PER_S / workload.operations
        urls = bench.cluster.urls()
        # Batch sizes are compiled in the background once a batch came, and the network learns who
        # asks what, before anything counts.
        await run_load(AndonTarget(), urls, await bench.sign(workload, WARM_TRANSACTIONS), rate)
        await settled(bench)
        raws = await bench.sign(workload, max(4, int(rate * SECONDS)))
        before = measure(bench.cluster.home, urls)
        result = await run_load(AndonTarget(), urls, raws, rate)
        usage = measure(bench.cluster.home, urls).since(before)
    assert len(result.committed) == len(raws), result.refused
    return usage, result.predictions


if __name__ == "__main__":
    main()
