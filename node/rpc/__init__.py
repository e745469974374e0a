"""The node's public faces: JSON-RPC, REST, event streams, health and metrics over one table."""

from node.rpc.server import RpcServer, RpcSettings

__all__ = ["RpcServer", "RpcSettings"]
