"""Runs the node of a home until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb

from andon.core.errors import Code, Corrupt
from node.app import Node
from node.home import note_damage, open_home
from node.log import start_logging
from node.net.fetch import fetching_client
from node.reload import reload
from node.tracing import open_tracing
from node.wiring import dial_rules


def as_it_is(node: Node) -> None:
    """Change nothing."""
    del node


async def run_node(
    home: Path, prepare: Callable[[Node], None] = as_it_is, worker_backend: str = ""
) -> None:
    """Open a home and run its node until SIGTERM or SIGINT; `prepare` sees it before it runs.

    `worker_backend` replaces the configured one, unless it is empty.

    A node that ends over damage leaves a note, by which the next start checks the store first.
    """
    try:
        await _run(home, prepare, worker_backend)
    except* Corrupt as group:
        if any(error.code is Code.STORAGE_DAMAGED for error in leaves(group)):
            note_damage(home)
        raise
    except* lmdb.Error:
        note_damage(home)
        raise


def leaves(group: BaseExceptionGroup[Corrupt]) -> Iterator[Corrupt]:
    """All errors in a group of groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


async def _run(home: Path, prepare: Callable[[Node], None], worker_backend: str) -> None:
    with open_home(home, worker_backend) as opened:
        start_logging(opened.home.logs, opened.config.log_level, opened.home.path.name)
        loop = asyncio.get_running_loop()
        async with fetching_client(dial_rules(opened)) as client:
            node = Node(opened, client)
            name, key = opened.home.path.name, opened.validator_public
            tracing = open_tracing(name, opened.genesis.chain_id, key)
            if tracing is not None:
                node.metrics.tracing, node.finality.trace = tracing, tracing.final
            prepare(node)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, node.stop)
            loop.add_signal_handler(signal.SIGHUP, reload, opened.home, node.rpc)
            try:
                await node.run()
            finally:
                node.close()
