"""A node's home, locked and opened: settings, genesis, keys, sign state, storage."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from andon.core.errors import Code, Corrupt, InvalidInput
from andon.core.genesis import Genesis, genesis_from_json
from andon.core.keys import PrivateKey
from node.config import Config, Home, load_config
from node.crashes import has_crashed, keep_note
from node.find_damage import find_damage
from node.keystore import NODE_KEY, load_key
from node.lock import locked
from node.signer.opening import open_signer
from node.signer.ports import ValidatorSigner
from node.storage import BlobStore, ChainStore, ConsensusLog, scrub
from node.storage.durable import flush

BLOBS = "blobs"
"""Folder of blobs in the data folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A home with its files open; `signer` is None for an observer."""

    home: Home
    config: Config
    genesis: Genesis
    node_key: PrivateKey
    signer: ValidatorSigner | None
    store: ChainStore
    votes: ConsensusLog
    blobs: BlobStore

    @property
    def validator_public(self) -> bytes | None:
        """Key under which this node votes; None for an observer."""
        return None if self.signer is None else self.signer.public_key


@contextmanager
def open_home(path: Path, worker_backend: str = "") -> Iterator[Opened]:
    """Lock and open a home; closes everything at the end.

    `worker_backend` replaces the configured one, unless it is empty.

    Raises:
        InvalidInput: BAD_CONFIG, BAD_GENESIS, BAD_KEY. Unavailable: LOCKED. Corrupt: damaged.
    """
    home = Home(path.resolve())
    config = load_config(home)
    if worker_backend:
        config = msgspec.structs.replace(config, worker_backend=worker_backend)
    with ExitStack() as stack:
        stack.enter_context(locked(home.path / "lock"))
        genesis = read_genesis(home)
        if home.suspect.exists() or has_crashed(home):
            examine(home, config)
        node_key = load_key(home.keys / NODE_KEY)
        store = ChainStore(
            home.data / "chain",
            config.storage_map_mib * 1024 * 1024,
            delay_ms=config.storage_delay_ms,
            mark=home.chain_mark,
        )
        stack.callback(store.close)
        signer = open_signer(home, config, genesis.chain_id, stack, may_create=store.is_empty())
        votes = ConsensusLog(home.data / "consensus", home.votes_mark)
        stack.callback(votes.close)
        blobs = BlobStore(home.data / BLOBS)
        yield Opened(
            home=home,
            config=config,
            genesis=genesis,
            node_key=node_key,
            signer=signer,
            store=store,
            votes=votes,
            blobs=blobs,
        )


def note_damage(path: Path) -> None:
    """Leave the note by which the next start checks the store first, if the disk takes it."""
    with contextlib.suppress(OSError):
        Home(path.resolve()).suspect.touch(mode=0o600)


def examine(home: Home, config: Config) -> None:
    """Check the store of a home whose last process ended badly; set a damaged one aside.

    The chain then comes back from peers, through catch-up or state sync. Sign state and marks stay,
    so nothing is signed twice. The bad store is kept for whoever looks into it, once: damage upon
    damage is a broken disk, or a bug that would eat every copy.

    What consensus remembers checks itself whenever it is opened, and is never set aside: who loses
    it decides that.

    Raises:
        Corrupt: STORAGE_DAMAGED if a store was set aside before.
    """
    folder, aside = home.data / "chain", home.data / "chain.damaged"
    reason = find_damage(folder, config.storage_map_mib * 1024 * 1024)
    if reason:
        if aside.exists():
            raise Corrupt(
                Code.STORAGE_DAMAGED,
                f"the store is damaged again: {reason}",
                hint=f"check the disk and memory of this machine, then remove {aside.name}",
            )
        print(f"andon node: set aside as {aside.name}: {reason}", file=sys.stderr)  # noqa: T201 - logs do not exist yet
        folder.rename(aside)
        flush(home.data)
    home.suspect.unlink(missing_ok=True)
    if has_crashed(home):
        keep_note(home)
    flush(home.path)


def check_home(path: Path) -> str:
    """Check the store of a home whose node does not run; returns what was found sound.

    Raises:
        as `open_home`; Corrupt: STORAGE_DAMAGED.
    """
    with open_home(path) as opened:
        if opened.store.is_empty():
            return "sound: the store is empty"
        with opened.store.snapshot() as snapshot:
            found = scrub(snapshot)
        return (
            f"sound: height {found.height}, {found.transactions} transactions, "
            f"{found.values} values"
        )


def read_genesis(home: Home) -> Genesis:
    """Read the network's genesis document.

    Raises:
        InvalidInput: BAD_GENESIS.
    """
    try:
        return genesis_from_json(home.genesis.read_bytes())
    except OSError as error:
        raise InvalidInput(
            Code.BAD_GENESIS,
            f"cannot read {home.genesis}: {error.strerror}",
            hint="copy the network's genesis file there, unchanged",
        ) from None
