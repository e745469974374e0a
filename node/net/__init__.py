"""Authenticated links between nodes: handshake, WebSocket gossip, HTTP fetches, limits."""
