"""Loss of power: images of a traced life open and hold all that was acknowledged."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from node.checkout import CHECKOUT
from node.testing.lab import is_traceable
from node.testing.lab.power import Disk
from node.testing.lab.trace import Made, Renamed, Synced, Wrote

UNFLUSHED = """
import sys
from pathlib import Path
from node.testing.lab import record, run_images
from node.testing.lab.trace import Synced

folder = Path(sys.argv[1])
events = [
    event
    for event in record(folder / "record")
    if not (isinstance(event, Synced) and event.path.startswith(sys.argv[2]))
]
assert events
print(len(run_images(events, 25, 1, folder / "images").findings))
"""


@pytest.mark.skipif(not is_traceable(), reason="needs strace")
@pytest.mark.parametrize("unflushed", ["chain/data.mdb", "consensus/log."])
def test_a_writer_that_does_not_flush_is_found_out(tmp_path: Path, unflushed: str) -> None:
    # Images are opened in a fork, of which JAX warns once another test has imported it.
    done = subprocess.run(
        [sys.executable, "-c", UNFLUSHED, str(tmp_path), unflushed],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def images(disk: Disk, folder: Path) -> set[str]:
    """The contents, by name, of many images."""
    found = set()
    for seed in range(60):
        disk.image(random.Random(seed), folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        found.add(" ".join(f"{path.name}={path.read_bytes().hex()}" for path in files))
    return found


def test_what_was_flushed_is_in_every_image_and_what_was_not_in_some(tmp_path: Path) -> None:
    disk = Disk()
    for event in (
        Made("a", is_folder=False),
        Wrote("a", 0, b"\1", is_durable=False),
        Synced("a"),
        Synced(""),
    ):
        disk.apply(event)
    assert images(disk, tmp_path / "flushed") == {"a=01"}
    disk.apply(Wrote("a", 0, b"\2", is_durable=False))
    assert images(disk, tmp_path / "pending") == {"a=01", "a=02"}
    disk.apply(Renamed("a", "b"))
    assert images(disk, tmp_path / "renamed") == {"a=01", "a=02", "b=01", "b=02"}
    disk.apply(Synced("b"))
    disk.apply(Synced(""))
    assert images(disk, tmp_path / "settled") == {"b=02"}


def test_a_name_in_a_folder_that_was_not_flushed_may_be_gone(tmp_path: Path) -> None:
    disk = Disk()
    for event in (Made("f", is_folder=True), Made("f/a", is_folder=False), Synced("f/a")):
        disk.apply(event)
    assert images(disk, tmp_path / "images") == {"", "a="}
    disk.apply(Synced("f"))
    assert images(disk, tmp_path / "images") == {"", "a="}  # the folder's own name is not flushed
    disk.apply(Synced(""))
    assert images(disk, tmp_path / "images") == {"a="}


def test_a_write_through_a_synchronous_descriptor_is_durable_alone(tmp_path: Path) -> None:
    disk = Disk()
    disk.apply(Made("a", is_folder=False))
    disk.apply(Synced(""))
    disk.apply(Wrote("a", 1, b"\7", is_durable=False))
    disk.apply(Wrote("a", 0, b"\5", is_durable=True))
    assert images(disk, tmp_path / "images") == {"a=05", "a=0507"}


def test_a_large_write_may_be_torn_between_sectors_and_never_within(tmp_path: Path) -> None:
    disk = Disk()
    disk.apply(Made("a", is_folder=False))
    disk.apply(Synced(""))
    disk.apply(Wrote("a", 0, b"\1" * 1024, is_durable=False))
    contents = {text.partition("=")[2] for text in images(disk, tmp_path / "images")}
    whole, none = "01" * 512, "00" * 512
    assert contents <= {"", whole, whole * 2, none + whole}
    assert none + whole in contents
