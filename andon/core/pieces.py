"""A blob in pieces under one Merkle root: each piece is proved on its own as it arrives.

The root stands in the registry beside the blob's digest, so that a peer which sends one false
byte is known by the piece that holds it, and what came before is kept.
"""

from __future__ import annotations

from andon.core.codec import decode, encode
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import Digest, Domain, digest
from andon.core.merkle import (
    MerkleProof,
    Tree,
    check_merkle_proof,
    proof_in_tree,
    root_of_digests,
)

PIECE_BYTES = 1024 * 1024
PROOF_BYTES_MAX = 2048


def piece_digests(blob: bytes) -> list[Digest]:
    """The leaves of a blob: one digest for each `PIECE_BYTES`, the last piece may be shorter."""
    starts = range(0, len(blob), PIECE_BYTES)
    return [digest(Domain.LEAF, blob[start : start + PIECE_BYTES]) for start in starts]


def pieces_root(blob: bytes) -> Digest:
    """The root over all pieces of a blob. Cost: one hash of the blob."""
    return root_of_digests(piece_digests(blob))


def piece_proof(tree: Tree, index: int) -> bytes:
    """The encoded proof of piece `index`, from `tree_of_digests` over the pieces' digests.

    Raises:
        Misuse: MALFORMED if there is no such piece.
    """
    return encode(proof_in_tree(tree, index))


def check_piece(root: bytes, size: int, index: int, piece: bytes, proof: bytes) -> None:
    """Check that `piece` is number `index` of a blob of `size` bytes under `root`.

    Raises:
        InvalidInput: BAD_PROOF, or MALFORMED when the proof is none.
    """
    count = -(-size // PIECE_BYTES)
    wanted = PIECE_BYTES if index < count - 1 else size - (count - 1) * PIECE_BYTES
    shown = decode(MerkleProof, proof, PROOF_BYTES_MAX)
    if len(piece) != wanted or shown.index != index or shown.size != count:
        raise InvalidInput(Code.BAD_PROOF, f"piece {index} has another place or length")
    check_merkle_proof(root, piece, shown)
