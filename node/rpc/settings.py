"""From a node's configuration to what its RPC server needs."""

from __future__ import annotations

from pathlib import Path

from node.config import Config
from node.rpc.access import Access, ApiKey, load_keys, server_tls
from node.rpc.revoked import Revoked, load_revoked
from node.rpc.server import RpcSettings


def rpc_lists(config: Config) -> tuple[tuple[ApiKey, ...], Revoked]:
    """Read the lists that may change while a node serves: API keys, revoked certificates.

    Raises:
        InvalidInput: BAD_CONFIG, BAD_KEY.
    """
    keys = load_keys(Path(config.rpc_keys_file)) if config.rpc_keys_file else ()
    revoked = Revoked()
    if config.rpc_revoked_file:
        revoked = load_revoked(Path(config.rpc_revoked_file))
    return keys, revoked


def rpc_settings(config: Config) -> RpcSettings:
    """Read the files that the configuration names.

    Raises:
        InvalidInput: BAD_CONFIG, BAD_KEY.
    """
    keys, revoked = rpc_lists(config)
    return RpcSettings(
        host=config.rpc_host,
        port=config.rpc_port,
        rate_per_s=config.rpc_rate_per_s,
        burst=2 * config.rpc_rate_per_s,
        streams_max=config.rpc_streams_max,
        call_gas_per_s=config.rpc_call_gas_per_s,
        upload_mib_per_hour=config.blobs_mib_per_client_hour,
        hosts=tuple(name.lower() for name in config.rpc_hosts),
        origins=tuple(site.lower() for site in config.rpc_origins),
        access=Access(keys, has_client_ca=bool(config.rpc_client_ca), revoked=revoked),
        tls=server_tls(config.rpc_tls_cert, config.rpc_tls_key, config.rpc_client_ca),
    )
