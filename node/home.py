"""A node's home, locked and opened: settings, genesis, keys, sign state, storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from andon.core.errors import Code, InvalidInput
from andon.core.genesis import Genesis, genesis_from_json
from andon.core.keys import PrivateKey
from node.config import Config, Home, load_config
from node.keystore import NODE_KEY, load_key
from node.lock import locked
from node.signer.opening import open_signer
from node.signer.ports import ValidatorSigner
from node.storage import BlobStore, ChainStore, LmdbConsensusStore, scrub


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A home with its files open; `signer` is None for an observer."""

    home: Home
    config: Config
    genesis: Genesis
    node_key: PrivateKey
    signer: ValidatorSigner | None
    store: ChainStore
    votes: LmdbConsensusStore
    blobs: BlobStore


@contextmanager
def open_home(path: Path) -> Iterator[Opened]:
    """Lock and open a home; closes everything at the end.

    Raises:
        InvalidInput: BAD_CONFIG, BAD_GENESIS, BAD_KEY. Unavailable: LOCKED. Corrupt: damaged.
    """
    home = Home(path.resolve())
    config = load_config(home)
    with ExitStack() as stack:
        stack.enter_context(locked(home.path / "lock"))
        genesis = read_genesis(home)
        node_key = load_key(home.keys / NODE_KEY)
        store = ChainStore(
            home.data / "chain",
            config.storage_map_mib * 1024 * 1024,
            delay_ms=config.storage_delay_ms,
            mark=home.chain_mark,
        )
        stack.callback(store.close)
        signer = open_signer(home, config, genesis.chain_id, stack, may_create=store.is_empty())
        votes = LmdbConsensusStore(home.data / "consensus", home.votes_mark)
        stack.callback(votes.close)
        yield Opened(
            home=home,
            config=config,
            genesis=genesis,
            node_key=node_key,
            signer=signer,
            store=store,
            votes=votes,
            blobs=BlobStore(home.data / "blobs"),
        )


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
