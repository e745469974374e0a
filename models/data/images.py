"""Folders of images: one folder a class, read as squares of one size, grey or in colour.

`FOLDER/CLASS/file`, or `FOLDER/train/CLASS/file` and `FOLDER/test/CLASS/file` where somebody has
split them already. Reading and shrinking happen before anything is signed; only the levels
count afterwards.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput

IMAGES_MAX = 100_000
CLASSES_MAX = 64
PIXELS_MAX = 64 * 1024 * 1024
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".webp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """`pixels: u8[n, size, size, 1 or 3]`, `labels: i64[n]` as places in `classes`, file names.

    `is_test` is the split that the folder has, all False where it has none.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    names: tuple[str, ...]
    is_test: NDArray[np.bool_]
    sha256: str


def read_images(folder: Path, size: int, *, is_colour: bool = False) -> Images:
    """Read every image below `folder`, in order of its path.

    Raises:
        InvalidInput: BAD_DATASET with what is wrong with the folder or the file.
    """
    parts = [folder / "train", folder / "test"]
    roots = parts if all(part.is_dir() for part in parts) else [folder]
    files = [(path, path.parent.name, root.name == "test") for root in roots for path in _of(root)]
    classes = tuple(sorted({name for _, name, _ in files}))
    if not 2 <= len(classes) <= CLASSES_MAX:
        raise _bad(
            f"{folder} holds {len(classes)} folders of images",
            f"put the images of each class in a folder of its own, 2 to {CLASSES_MAX} of them",
        )
    if len(files) > IMAGES_MAX:
        raise _bad(f"{len(files)} images", f"at most {IMAGES_MAX} are read")
    total = hashlib.sha256()
    pixels = np.zeros((len(files), size, size, 3 if is_colour else 1), np.uint8)
    for place, (path, _, _) in enumerate(files):
        data = path.read_bytes()
        total.update(path.relative_to(folder).as_posix().encode())
        total.update(hashlib.sha256(data).digest())
        pixels[place] = _levels(path, data, size, is_colour=is_colour)
    return Images(
        pixels=pixels,
        labels=np.array([classes.index(name) for _, name, _ in files], np.int64),
        classes=classes,
        names=tuple(path.name for path, _, _ in files),
        is_test=np.array([held for _, _, held in files], bool),
        sha256=total.hexdigest(),
    )


def read_image(path: Path, size: int, *, is_colour: bool = False) -> NDArray[np.uint8]:
    """Read one image as grey levels, or red, green and blue: `u8[size, size, 1 or 3]`.

    Raises:
        InvalidInput: BAD_DATASET if it cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _bad(f"{path}: {error.strerror}", "") from None
    return _levels(path, data, size, is_colour=is_colour)


def _of(root: Path) -> list[Path]:
    if not root.is_dir():
        raise _bad(f"{root} is not a folder", "")
    return sorted(
        path
        for below in sorted(root.iterdir())
        if below.is_dir()
        for path in below.iterdir()
        if path.suffix.lower() in SUFFIXES
    )


def _levels(path: Path, data: bytes, size: int, *, is_colour: bool) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 # only who reads images needs it

    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > PIXELS_MAX:
                raise _bad(f"{path.name} has more than {PIXELS_MAX} pixels", "shrink it first")
            small = image.convert("RGB" if is_colour else "L")
            small = small.resize((size, size), Image.Resampling.BOX)
            return np.asarray(small, np.uint8).reshape(size, size, -1)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        raise _bad(f"{path.name} is not an image that can be read: {error}", "") from None


def _bad(message: str, hint: str) -> InvalidInput:
    return InvalidInput(Code.BAD_DATASET, message, hint=hint)
