"""What a running node takes from its configuration again on SIGHUP: log level, lists of the RPC."""

from __future__ import annotations

import structlog

from andon.core.errors import InvalidInput
from node.config import Home, load_config
from node.log import set_level
from node.rpc import RpcServer
from node.rpc.settings import rpc_lists

log = structlog.get_logger()


def reload(home: Home, rpc: RpcServer) -> None:
    """Take `log_level`, API keys and revoked certificates anew; a bad file changes nothing."""
    try:
        config = load_config(home)
        keys, revoked = rpc_lists(config)
    except InvalidInput as error:
        log.error("config.refused", reason=str(error))  # noqa: TRY400 - the file is at fault
        return
    set_level(config.log_level)
    rpc.renew(keys, revoked)
    log.info(
        "config.reloaded",
        log_level=config.log_level,
        api_keys=len(keys),
        revoked=len(revoked.fingerprints) + len(revoked.serials),
    )
