"""The explorer: the node's own facts as pages, readable without JavaScript, no other origin."""

from node.explorer.server import Explorer

__all__ = ["Explorer"]
