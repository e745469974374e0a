"""What a running node takes from its configuration again on SIGHUP."""

from __future__ import annotations

import structlog

from andon.core.errors import InvalidInput
from node.config import Home, load_config
from node.log import set_level

log = structlog.get_logger()


def reload_log_level(home: Home) -> None:
    """Take `log_level` from the configuration again; a bad file changes nothing."""
    try:
        level = load_config(home).log_level
    except InvalidInput as error:
        log.error("config.refused", reason=str(error))  # noqa: TRY400 - the file is at fault
        return
    set_level(level)
    log.info("log.level_changed", to=level)
