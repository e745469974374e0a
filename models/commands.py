"""What a person does with models, as plain functions: train, verify, show.

`python -m models` types them; other tools import them lazily, since they pull in JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from andon.core.errors import Code, InvalidInput
from andon.core.json_value import Json, to_hex
from andon.core.publisher import SIGNATURE_NAME, check_model_signature, read_signature
from models.certificate import describe
from models.environment import prepare_environment
from models.package import Package
from models.recipes.settings import PLAIN, Settings
from models.runtime import Runtime

if TYPE_CHECKING:
    from models.recipes.own import Outcome

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Told:
    """What a command found, for programs and for people."""

    document: dict[str, Json]
    lines: list[str]


RECIPES = ("turbofan", "demo", "ai4i", "secom", "neu", "carparts", "liveline")


def train(
    name: str, data: Path, out: Path, *, seed: int, say: Say, subset: str = "FD001",
    model: str = "", stage: int = 1, settings: Settings = PLAIN,
) -> Told:  # fmt: skip
    """Run a recipe, save its package in `out`, and tell its figures.

    Raises:
        InvalidInput: BAD_DATASET, or BAD_REQUEST for a recipe or model that does not exist, or for
            settings of networks where none is trained.
    """
    if settings != PLAIN and name in ("carparts", "liveline"):
        raise InvalidInput(
            Code.BAD_REQUEST, f"{name} trains no network",
            hint="leave out epochs, precision, patience and checkpoints",
        )  # fmt: skip
    prepare_environment("cpu")
    from models.recipes import (  # noqa: PLC0415 # they import jax
        demand,
        line,
        tabular,
        train_demo,
        turbofan,
        vision,
    )
    from models.recipes.learners import tuned  # noqa: PLC0415

    if name == "turbofan":
        folder = data / "cmapss" if (data / "cmapss").is_dir() else data
        result = turbofan.train(folder, subset, model or "network", seed, say, settings=settings)
    elif name == "demo":
        config = replace(settings.applied(train_demo.FIT), seed=seed)
        result = train_demo.train(config, say, settings.checkpoints)
    elif name == "ai4i":
        _, result = tabular.cross_validated(tabular.ai4i(data), seed, say, settings)
    elif name == "secom":
        learners = tuned(tabular.drift_learners(model or "glm"), settings)
        result = tabular.time_split(tabular.secom(data), 0.7, 20, seed, say, learners=learners)
    elif name == "neu":
        result = vision.train(data, seed, say, model or "texture", settings=settings)
    elif name == "carparts":
        result = demand.train(data, say)
    elif name == "liveline":
        result = line.train(data, stage, seed, say)
    else:
        raise InvalidInput(
            Code.BAD_REQUEST, f"no recipe {name!r}", hint="recipes: " + ", ".join(RECIPES)
        )
    result.package.save(out)
    return Told(_figures(result.package, result.figures, result.convention), result.lines())


def train_own(
    csv: Path, out: Path, *, task: str, name: str, target: str, group: str, time: str,
    ignore: tuple[str, ...], window: int, seed: int, say: Say, cap: float = 0.0,
    settings: Settings = PLAIN,
) -> Told:  # fmt: skip
    """Train on somebody's table; save the package and `report.html` in `out`.

    Raises:
        InvalidInput: BAD_DATASET with what to change.
    """
    prepare_environment("cpu")
    from models.recipes.own import train_csv  # noqa: PLC0415 # they import jax
    from models.recipes.own_data import Request  # noqa: PLC0415

    outcome = train_csv(
        Request(
            csv=csv, task=task, name=name, target=target, group=group, time=time,
            ignore=ignore, window=window, seed=seed, cap=cap,
        ),
        say,
        settings,
    )  # fmt: skip
    return _save(outcome, out)


def train_own_images(
    folder: Path,
    out: Path,
    *,
    name: str,
    size: int,
    seed: int,
    say: Say,
    model: str = "",
    is_colour: bool = False,
    settings: Settings = PLAIN,
) -> Told:
    """Train on somebody's folder of images; save the package and `report.html` in `out`.

    Raises:
        InvalidInput: BAD_DATASET with what to change.
    """
    prepare_environment("cpu")
    from models.recipes.own_images import ImageRequest, train_images  # noqa: PLC0415 # jax

    request = ImageRequest(
        folder=folder, name=name, size=size, seed=seed, model=model,
        is_colour=is_colour,
    )  # fmt: skip
    return _save(train_images(request, say, settings), out)


def _figures(
    package: Package, figures: tuple[tuple[str, float], ...], convention: str
) -> dict[str, Json]:
    named: dict[str, Json] = {name: f"{value:.6g}" for name, value in figures}
    return {
        "name": package.manifest.name,
        "model_id": to_hex(package.id),
        "figures": named,
        "convention": convention,
    }


def _save(outcome: Outcome, out: Path) -> Told:
    from models.recipes.html import report  # noqa: PLC0415 # it imports jax

    outcome.package.save(out)
    (out / "report.html").write_text(report(outcome), "utf-8")
    figures = [f"  {figure}: {value:.4g}" for figure, value in outcome.figures]
    head = f"{outcome.package.manifest.name}  model {to_hex(outcome.package.id)}"
    lines = [head, *figures, f"  convention: {outcome.convention}", f"  report: {out}/report.html"]
    document = _figures(outcome.package, outcome.figures, outcome.convention)
    return Told(document | {"report": f"{out}/report.html"}, lines)


def verify(path: Path, backend: str, publisher: str = "") -> Told:
    """Open a package, check everything, and run its conformance vectors on `backend`.

    A `package.sig` beside it must fit; with `publisher` (a 0x key) it must be there and be theirs.

    Raises:
        InvalidInput: as `Package.from_blob`, BAD_SIGNATURE.
        Unavailable: CONFORMANCE_FAILED, or WORKER_DOWN when the backend does not start.
    """
    package = open_package(path)
    signer = _signer(path, package.id, publisher)
    runtime = Runtime(backend)
    line = runtime.warm()
    runtime.check_backend()
    runtime.load(package.to_blob())
    runtime.conformance(package.id)
    size = len(package.to_blob())
    unsigned = "no: networks take it only from a member whose key signs as publisher"
    lines = [
        f"model   {to_hex(package.id)}",
        f"blob    {to_hex(package.digest)}  {size} bytes",
        f"exact   certified; {len(package.golden.windows)} golden vectors and edge inputs agree",
        f"backend {line}",
        f"signed  {unsigned if signer is None else 'by ' + signer}",
    ]
    document: dict[str, Json] = {
        "model_id": to_hex(package.id),
        "blob": to_hex(package.digest),
        "blob_bytes": size,
        "golden_vectors": len(package.golden.windows),
        "backend": line,
        "signer": signer,
    }
    return Told(document, lines)


def _signer(path: Path, model_id: bytes, publisher: str) -> str | None:
    beside = (path if path.is_dir() else path.parent) / SIGNATURE_NAME
    if not beside.is_file():
        if publisher:
            raise InvalidInput(
                Code.BAD_SIGNATURE,
                f"there is no {SIGNATURE_NAME} beside the package",
                hint="its publisher makes one with `andon models sign PATH --from KEY`",
            )
        return None
    found = read_signature(beside.read_bytes())
    check_model_signature(model_id, found)
    name = to_hex(found.publisher)
    if publisher and publisher.lower() != name:
        raise InvalidInput(
            Code.BAD_SIGNATURE, f"signed by {name}, not by {publisher}", hint="ask the publisher"
        )
    return name


def show(path: Path) -> Told:
    """Manifest, certificate and card of a package."""
    package = open_package(path)
    manifest = package.manifest
    lines = [
        f"{manifest.name} {manifest.version}  ({manifest.task}, {manifest.kind})",
        f"input   int8 {list(manifest.input_shape)}, {manifest.input_bytes} bytes",
        f"output  {manifest.outputs} x {manifest.scale_num}/{manifest.scale_den}",
        f"gas     {manifest.gas}  ({manifest.multiply_adds} multiply-adds)",
        *(f"{name:<24}{value}" for name, value in manifest.training),
        "",
        describe(package.graph, package.certificate),
        "",
        package.card,
    ]
    document: dict[str, Json] = {
        "model_id": to_hex(package.id),
        "name": manifest.name,
        "version": manifest.version,
        "task": manifest.task,
        "kind": manifest.kind,
        "input_shape": list(manifest.input_shape),
        "outputs": manifest.outputs,
        "scale": [manifest.scale_num, manifest.scale_den],
        "gas": manifest.gas,
        "multiply_adds": manifest.multiply_adds,
        "training": dict(manifest.training),
        "card": package.card,
    }
    return Told(document, lines)


def window(path: Path, image: Path, out: Path) -> Told:
    """Write the window of an image for a package, and tell what the package says of it here.

    Raises:
        InvalidInput: as `open_package`, BAD_MODEL_INPUT, BAD_DATASET.
    """
    from models.pictures import image_window, shares  # noqa: PLC0415 # only who has images

    package = open_package(path)
    found = image_window(package, image)
    out.write_bytes(found.tobytes())
    likely = shares(package, found)
    head = f"{out}: {found.size} bytes, as a contract's window or image=@{out}"
    named: dict[str, Json] = {name: f"{share:.4f}" for name, share in likely}
    return Told(
        {"window": str(out), "bytes": int(found.size), "shares": named},
        [head, *(f"  {name:<16}{share:.4f}" for name, share in likely)],
    )


def open_package(path: Path) -> Package:
    """A folder with `package.blob`, or the blob itself.

    Raises:
        InvalidInput: NOT_FOUND, BAD_MODEL_PACKAGE and what the package breaks.
    """
    blob = path / "package.blob" if path.is_dir() else path
    if not blob.exists():
        raise InvalidInput(
            Code.NOT_FOUND,
            f"there is no package in {path}",
            hint="a folder that `andon models train --out` wrote, or its package.blob",
        )
    return Package.load(path) if path.is_dir() else Package.from_blob(path.read_bytes())
