"""Contracts under test: a world around the very engine of the node, and its pytest fixture."""

from node.testing.contracts.world import Called, CallFailed, Contracts, Snapshot

__all__ = ["CallFailed", "Called", "Contracts", "Snapshot"]
