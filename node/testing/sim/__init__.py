"""The discrete-event simulator: the real core in virtual time, one seed a world."""

from node.testing.sim.options import ACTORS, Options, draw, quiet
from node.testing.sim.watch import SimulationFailed
from node.testing.sim.world import Outcome, World

__all__ = ["ACTORS", "Options", "Outcome", "SimulationFailed", "World", "draw", "quiet"]
