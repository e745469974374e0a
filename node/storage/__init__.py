"""Durable storage: the chain, what consensus must remember, blobs."""

from node.storage.blob_files import BLOB_BYTES_MAX, WHOLE_BYTES_MAX
from node.storage.blob_quota import BlobQuota
from node.storage.blobs import BlobStore
from node.storage.chain_store import MAP_BYTES, ChainStore, StoredBlock
from node.storage.consensus_log import ConsensusLog
from node.storage.effects import adoptable_block
from node.storage.patrol import Damage, Part, Patrol, proof_of
from node.storage.portable import HistoryItem, check_item
from node.storage.portable_files import PortableFiles, history_item
from node.storage.scrub import Scrubbed, scrub
from node.storage.snapshot import Snapshot

__all__ = [
    "BLOB_BYTES_MAX",
    "MAP_BYTES",
    "WHOLE_BYTES_MAX",
    "BlobQuota",
    "BlobStore",
    "ChainStore",
    "ConsensusLog",
    "Damage",
    "HistoryItem",
    "Part",
    "Patrol",
    "PortableFiles",
    "Scrubbed",
    "Snapshot",
    "StoredBlock",
    "adoptable_block",
    "check_item",
    "history_item",
    "proof_of",
    "scrub",
]
