"""What an operator does to the disk of one node: snapshots, restore, replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from andon.core.errors import Code, InvalidInput, Misuse
from andon.core.genesis import Genesis
from consensus.ledger import genesis_state
from node.config import Home, load_config
from node.drivers.contract_engine import ContractEngine
from node.home import open_home, read_genesis
from node.replay import Replayed, replay, silent
from node.storage import ChainStore, PortableFiles, Snapshot
from node.storage.portable import MANIFEST, check_manifest


@contextmanager
def viewed(path: Path) -> Iterator[tuple[Home, Genesis, Snapshot]]:
    """A view of the chain of a home, also while its node runs.

    Raises:
        InvalidInput: NOT_FOUND if there is no chain yet; as `open_home`.
    """
    home = Home(path.resolve())
    config = load_config(home)
    folder = home.data / "chain"
    if not folder.exists():
        raise InvalidInput(Code.NOT_FOUND, f"{folder} holds no chain", hint="start the node once")
    store = ChainStore(folder, config.storage_map_mib * 1024 * 1024, is_readonly=True)
    try:
        with store.snapshot() as snapshot:
            yield home, read_genesis(home), snapshot
    finally:
        store.close()


def create_snapshot(path: Path) -> tuple[int, Path]:
    """Write a portable state of the last final block; gives its height and folder."""
    with viewed(path) as (home, _, snapshot):
        files = PortableFiles(home.snapshots)
        height = files.write(snapshot)
        return height, files.folder / str(height)


def list_snapshots(path: Path) -> list[tuple[int, int]]:
    """Heights and sizes (bytes) of what is in the home."""
    files = PortableFiles(Home(path.resolve()).snapshots)
    return [(height, files.size_bytes(height)) for height in files.heights()]


def restore_snapshot(path: Path, source: Path) -> int:
    """Fill the empty store of a home from a portable state; gives its height.

    Everything is checked against the home's genesis. The slots up to the restored block are closed
    in the sign state first, as when a node syncs.

    Raises:
        Misuse: NOT_READY if there is a chain already. InvalidInput: BAD_PROOF and its kin.
    """
    if not (source / MANIFEST).is_file():
        raise InvalidInput(
            Code.NOT_FOUND, f"{source} is no snapshot", hint="name a folder DIR/data/snapshots/N"
        )
    with open_home(path) as opened:
        checked = check_manifest(opened.genesis, (source / MANIFEST).read_bytes())
        genesis = genesis_state(opened.genesis, ContractEngine())
        if opened.store.is_empty():
            opened.store.initialise(genesis)
        elif opened.store.head_height() > 0:
            raise Misuse(
                Code.NOT_READY,
                "this home holds a chain already",
                hint="move data/chain away first, and leave sign_state where it is",
            )
        vote = checked.manifest.final.certificate.vote
        if opened.signer is not None:
            opened.signer.advance(vote.epoch, vote.slot)
        opened.store.install(checked, lambda name: (source / name).read_bytes())
        return checked.height


def replay_home(
    path: Path, last: int | None = None, report: Callable[[int], None] = silent
) -> Replayed:
    """Execute the chain of a home again from genesis; raises as `replay`."""
    with viewed(path) as (_, genesis, snapshot):
        return replay(genesis, ContractEngine(), snapshot, last=last, report=report)
