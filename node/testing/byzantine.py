"""A node that breaks the rules on purpose: `python -m node.testing.byzantine --home DIR KIND`.

Inside runs the real node; what its consensus says goes through a liar first. The liar signs with
the validator's key and keeps no record of it. For `andon chaos byzantine` and tests.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from andon.core.certificate import SignedVote, Vote, VoteKind, vote_signing_bytes
from andon.core.errors import AndonError
from andon.core.hashing import Domain, digest
from andon.core.keys import PrivateKey
from andon.core.wire import Message, VoteMessage
from node.app import Node
from node.config import Home
from node.drivers.consensus_ports import Transport
from node.keystore import VALIDATOR_KEY, load_key
from node.loop import run
from node.running import run_node

REMEMBERED_MAX = 256
STRIDE = 37


class Kind(Enum):
    """How to break the rules."""

    EQUIVOCATE = "equivocate"
    """A second Notar or Final vote beside each of its own, for a block that nobody made."""
    SILENT = "silent"
    """It follows the chain and never says a word in consensus."""
    REPLAY = "replay"
    """It repeats what it said long ago beside everything it says."""


class Liar:
    """A `Transport` that says more, or less, than it is given."""

    def __init__(self, kind: Kind, inner: Transport, chain_id: str, key: PrivateKey) -> None:
        self._kind, self._inner, self._chain_id, self._key = kind, inner, chain_id, key
        self._said: deque[Message] = deque(maxlen=REMEMBERED_MAX)

    def broadcast(self, message: Message) -> None:
        """Tell all."""
        self._tell(message, self._inner.broadcast)

    def send(self, peer_key: bytes, message: Message) -> None:
        """Tell one."""
        self._tell(message, lambda said: self._inner.send(peer_key, said))

    def _tell(self, message: Message, send: Callable[[Message], None]) -> None:
        match self._kind:
            case Kind.SILENT:
                return
            case Kind.REPLAY:
                self._said.append(message)
                send(self._said[-1 - STRIDE % len(self._said)])
            case Kind.EQUIVOCATE:
                if isinstance(message, VoteMessage):
                    contradiction = self._contradict(message.vote)
                    if contradiction is not None:
                        send(VoteMessage(contradiction))
        send(message)

    def _contradict(self, signed: SignedVote) -> SignedVote | None:
        vote = signed.vote
        if vote.kind not in (VoteKind.NOTAR, VoteKind.FINAL):
            return None
        if signed != self._sign(vote, signed.validator):
            return None  # somebody else's vote that we pass on
        other = digest(Domain.BLOB, vote.block)
        return self._sign(Vote(vote.kind, vote.epoch, vote.slot, other), signed.validator)

    def _sign(self, vote: Vote, validator: int) -> SignedVote:
        message = vote_signing_bytes(self._chain_id, vote)
        return SignedVote(vote, validator, self._key.sign(message))


def main() -> int:
    """Run until SIGTERM, as the real node does."""
    parser = argparse.ArgumentParser(prog="python -m node.testing.byzantine", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("kind", choices=[kind.value for kind in Kind])
    options = parser.parse_args()
    kind, home = Kind(options.kind), Home(options.home.resolve())

    def corrupt(node: Node) -> None:
        consensus = node.consensus
        key = load_key(home.keys / VALIDATOR_KEY)
        chain_id = node.execution.genesis_document.chain_id
        consensus.transport = Liar(kind, consensus.transport, chain_id, key)

    status = 0
    try:
        run(run_node(home.path, corrupt))
    except* AndonError as group:
        print(f"andon node: {group.exceptions[0]}", file=sys.stderr)  # noqa: T201 - as node/__main__
        status = 3
    return status


if __name__ == "__main__":
    sys.exit(main())
