"""Byzantine validators, one file each. An actor owns its key's outgoing wire, and no other key.

Inside is an honest node; the actor drops, changes and adds what it sends.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from andon.core.block import Block
from node.testing.sim.actors.censor import Censor
from node.testing.sim.actors.double_voter import DoubleVoter
from node.testing.sim.actors.equivocator import Equivocator
from node.testing.sim.actors.forger import Forger
from node.testing.sim.actors.mutator import Mutator
from node.testing.sim.actors.prediction_liar import PredictionLiar
from node.testing.sim.actors.selective_sender import SelectiveSender
from node.testing.sim.actors.slot_flooder import SlotFlooder
from node.testing.sim.actors.stale_replayer import StaleReplayer
from node.testing.sim.actors.state_liar import StateLiar
from node.testing.sim.actors.sync_liar import SyncLiar
from node.testing.sim.actors.twin import Twin
from node.testing.sim.actors.withholder import Withholder
from node.testing.sim.messages import SimMessage

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode
    from node.testing.sim.world import World

Sent = tuple[SimMessage, Block | None]


class Actor(Protocol):
    """Decides what really goes to one receiver."""

    def send(
        self, node: SimNode, target: int, message: SimMessage, block: Block | None
    ) -> Iterable[Sent]:
        """Replace one message of the honest node inside."""
        ...


def make_actor(name: str, world: World, rng: random.Random) -> Actor:
    """Make an actor by its name in `options.ACTORS`."""
    actors: dict[str, Actor] = {
        "equivocator": Equivocator(world.chain_id),
        "double_voter": DoubleVoter(world.chain_id),
        "withholder": Withholder(),
        "selective_sender": SelectiveSender(rng),
        "censor": Censor(),
        "state_liar": StateLiar(world.chain_id),
        "prediction_liar": PredictionLiar(),
        "stale_replayer": StaleReplayer(rng),
        "slot_flooder": SlotFlooder(world.chain_id),
        "sync_liar": SyncLiar(),
        "mutator": Mutator(world.chain_id, rng),
        "twin": Twin(rng),
        "forger": Forger(world.chain_id),
    }
    return actors[name]
