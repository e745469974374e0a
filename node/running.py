"""Runs the node of a home until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import aiohttp

from node.app import Node
from node.home import open_home
from node.log import start_logging
from node.reload import reload_log_level


async def run_node(home: Path) -> None:
    """Open a home and run its node until SIGTERM or SIGINT."""
    with open_home(home) as opened:
        start_logging(opened.home.logs, opened.config.log_level, opened.home.path.name)
        loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
        ) as client:
            node = Node(opened, client)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, node.stop)
            loop.add_signal_handler(signal.SIGHUP, reload_log_level, opened.home)
            try:
                await node.run()
            finally:
                node.close()
