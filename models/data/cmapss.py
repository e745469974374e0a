"""NASA C-MAPSS turbofan data: the original whitespace text, plain or .xz, as sensor windows.

Convention, stated with every figure: remaining useful life is capped at 125 cycles in training
and, for the "capped" metrics, in the test labels too. Test windows are the last `WINDOW` cycles
of each engine; an engine with fewer cycles is padded in front with its first reading.
"""

from __future__ import annotations

import hashlib
import lzma
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput

SUBSETS = ("FD001", "FD002", "FD003", "FD004")
WINDOW = 30
RUL_CAP = 125
COLUMNS = 26
# The seven other sensors are constant under one operating condition.
SENSORS = (2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21)
SETTING_NAMES = ("setting_1", "setting_2", "setting_3")
FILE_BYTES_MAX = 64 * 1024 * 1024

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Engine:
    """One run: `settings: f64[cycles, 3]` and `sensors: f64[cycles, 14]`.

    `remaining` is the life left after its last cycle: 0 for training engines.
    """

    number: int
    settings: Floats
    sensors: Floats
    remaining: int

    @property
    def cycles(self) -> int:
        """How many cycles were recorded."""
        return len(self.sensors)


@dataclass(frozen=True, slots=True)
class Windows:
    """`sensors: f64[n, size, 14]`, `settings: f64[n, size, 3]` and uncapped `rul: f64[n]`.

    `engine` and `cycle` say where each window ends.
    """

    sensors: Floats
    settings: Floats
    rul: Floats
    engine: NDArray[np.int64]
    cycle: NDArray[np.int64]


def sensor_names() -> tuple[str, ...]:
    """The channel names in the order of a window's last axis."""
    return tuple(f"sensor_{number}" for number in SENSORS)


def read_engines(folder: Path, subset: str, part: str) -> list[Engine]:
    """Read `train` or `test` of one subset, e.g. `read_engines(folder, "FD001", "test")`.

    Raises:
        InvalidInput: BAD_DATASET when a file is missing or is not C-MAPSS text.
    """
    if subset not in SUBSETS or part not in ("train", "test"):
        raise _bad(f"no C-MAPSS part {part}_{subset}", "subsets: " + ", ".join(SUBSETS))
    table = _table(_find(folder, f"{part}_{subset}.txt"), COLUMNS)
    numbers = table[:, 0].astype(np.int64)
    units = np.unique(numbers)
    remaining = np.zeros(len(units), np.int64)
    if part == "test":
        remaining = _table(_find(folder, f"RUL_{subset}.txt"), 1)[:, 0].astype(np.int64)
        if len(remaining) != len(units):
            raise _bad(f"RUL_{subset} has {len(remaining)} lines for {len(units)} engines", "")
    columns = [4 + number for number in SENSORS]
    engines = []
    for unit, left in zip(units, remaining, strict=True):
        rows = table[numbers == unit]
        engines.append(Engine(int(unit), rows[:, 2:5], rows[:, columns], int(left)))
    return engines


def all_windows(engines: list[Engine], size: int = WINDOW, shortest: int = WINDOW) -> Windows:
    """Every window of every engine that ends after `shortest` cycles or more.

    Windows with fewer than `size` cycles are padded in front, as short test engines are.
    """
    ends = [
        (engine, end)
        for engine in engines
        for end in range(engine.cycles, min(shortest, engine.cycles) - 1, -1)
    ]
    return _collect(ends, size)


def last_windows(engines: list[Engine], size: int = WINDOW) -> Windows:
    """The last window of each engine: what the published test metrics are scored on."""
    return _collect([(engine, engine.cycles) for engine in engines], size)


def window_at(values: Floats, end: int, size: int = WINDOW) -> Floats:
    """The window of `values: f64[cycles, channels]` that ends before cycle index `end`."""
    window = values[max(0, end - size) : end]
    short = size - len(window)
    return np.concatenate([np.repeat(window[:1], short, axis=0), window]) if short else window


def rmse(predicted: Floats, actual: Floats) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.mean((predicted - actual) ** 2)))


def nasa_score(predicted: Floats, actual: Floats) -> float:
    """The PHM 2008 score: late predictions cost more than early ones. Lower is better."""
    d = predicted - actual
    return float(np.where(d < 0, np.exp(-d / 13) - 1, np.exp(d / 10) - 1).sum())


def data_digest(folder: Path, subset: str) -> str:
    """SHA-256 over the texts of a subset, for lineage; equal for plain and .xz files."""
    total = hashlib.sha256()
    for name in (f"train_{subset}.txt", f"test_{subset}.txt", f"RUL_{subset}.txt"):
        total.update(hashlib.sha256(_bytes(_find(folder, name))).digest())
    return total.hexdigest()


def _collect(ends: list[tuple[Engine, int]], size: int) -> Windows:
    return Windows(
        np.stack([window_at(engine.sensors, end, size) for engine, end in ends]),
        np.stack([window_at(engine.settings, end, size) for engine, end in ends]),
        np.array([engine.cycles - end + engine.remaining for engine, end in ends], np.float64),
        np.array([engine.number for engine, _ in ends], np.int64),
        np.array([end for _, end in ends], np.int64),
    )


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.xz", folder / "cmapss" / f"{name}.xz"):
        if candidate.is_file():
            return candidate
    raise _bad(
        f"{folder} has no {name} or {name}.xz", "point DATA at the folder of the C-MAPSS files"
    )


def _bytes(path: Path) -> bytes:
    if path.suffix != ".xz":
        return path.read_bytes()[:FILE_BYTES_MAX]
    with lzma.open(path) as stream:
        return stream.read(FILE_BYTES_MAX)


def _table(path: Path, columns: int) -> Floats:
    try:
        values = np.array(_bytes(path).split(), np.float64)
    except (ValueError, lzma.LZMAError, EOFError):
        raise _bad(f"{path.name} is not a table of numbers", "") from None
    if len(values) == 0 or len(values) % columns or not np.isfinite(values).all():
        raise _bad(f"{path.name} does not have {columns} columns of finite numbers", "")
    return values.reshape(-1, columns)


def _bad(message: str, hint: str) -> InvalidInput:
    return InvalidInput(Code.BAD_DATASET, message, hint=hint)
