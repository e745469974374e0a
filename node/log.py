"""Structured logs: one JSON object a line, level changeable at run time, keys never in them.

Fixed fields: `ts` (UTC, RFC 3339), `level`, `event` (noun.verb), `node`. Levels as in the style
guide: error = a person must act, warning = a peer misbehaved, info = a chain event.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from logging.handlers import RotatingFileHandler
from pathlib import Path

import structlog
from aiohttp.http_exceptions import BadHttpMessage

from andon.core.errors import Code, InvalidInput

LOG_FILE = "node.log"
LOG_BYTES_MAX = 32 * 1024 * 1024
LOG_FILES_MAX = 4
_NAMES = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def start_logging(folder: Path, level: str, node: str) -> None:
    """Send all logs of this process to `folder`/node.log, rotated; stderr gets errors."""
    folder.mkdir(parents=True, exist_ok=True)
    to_file = RotatingFileHandler(
        folder / LOG_FILE, maxBytes=LOG_BYTES_MAX, backupCount=LOG_FILES_MAX, encoding="utf-8"
    )
    to_screen = logging.StreamHandler()
    to_screen.setLevel(logging.ERROR)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        _node_adder(node),
        structlog.processors.format_exc_info,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(sort_keys=False, default=str),
        ],
        foreign_pre_chain=shared,
    )
    root = logging.getLogger()
    for handler in (to_file, to_screen):
        handler.setFormatter(formatter)
        root.addHandler(handler)
    logging.getLogger("aiohttp.server").addFilter(_is_ours_to_know)
    set_level(level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def set_level(level: str) -> None:
    """Change the level now.

    Raises:
        InvalidInput: BAD_CONFIG for an unknown level.
    """
    if level not in _NAMES:
        raise InvalidInput(Code.BAD_CONFIG, f"log level is none of {', '.join(_NAMES)}")
    logging.getLogger().setLevel(_NAMES[level])
    # asyncio and aiohttp narrate at debug and info what the node says better itself.
    for name in ("asyncio", "aiohttp"):
        logging.getLogger(name).setLevel(max(_NAMES[level], logging.WARNING))


def _is_ours_to_know(record: logging.LogRecord) -> bool:
    """Drop what aiohttp says about malformed requests: strangers must not fill our logs."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, BadHttpMessage)


def _node_adder(node: str) -> structlog.typing.Processor:
    def add(
        _logger: object, _method: str, event: MutableMapping[str, object]
    ) -> MutableMapping[str, object]:
        event.setdefault("node", node)
        return event

    return add
