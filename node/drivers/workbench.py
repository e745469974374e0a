"""Building and judging blocks for the core: slow work, every failure of which is an event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from andon.core.block import Block, block_hash
from andon.core.errors import AndonError, InvalidInput, Unavailable
from consensus import bft
from node.drivers.bodies import Bodies
from node.drivers.consensus_ports import Chain, Hooks

REFUSED_COUNT_MAX = 8
"""Bodies from others that may be refused in a row before a certified block counts as refused."""

PACE_S = 0.05
"""What a leader keeps, at least, between the last block and its own. A block costs every
validator some 10 ms of processor, however few transactions it holds: without a pause a network
with little to do spends all its cores on blocks of three, and answers no sooner."""

log = structlog.get_logger()


class Workbench:
    """Stateless but for what its parts hold; both methods may run at the same time."""

    def __init__(
        self, chain: Chain, bodies: Bodies, hooks: Hooks, clock_ms: Callable[[], int]
    ) -> None:
        self._chain = chain
        self._bodies = bodies
        self._hooks = hooks
        self._clock_ms = clock_ms
        self._refused_count = 0
        self._seen_s = -PACE_S
        """When the last block came, on the clock of the loop."""

    async def build(self, effect: bft.Build, state: bft.State) -> bft.Event:
        """Wait for transactions, at most `idle_block_ms`, and make a block of them."""
        try:
            await self._chain.wait_transactions(effect.parent, state.params.idle_block_ms)
            await self._pause(state.params.idle_block_ms)
            if state.slot != effect.slot or state.base.epoch != effect.epoch:
                return bft.BuildFailed(effect.slot)
            block = await self._chain.build(
                effect.parent, effect.epoch, effect.slot, effect.justification, self._clock_ms()
            )
        except AndonError as error:
            log.warning("block.not_built", slot=effect.slot, reason=str(error)[:200])
            return bft.BuildFailed(effect.slot)
        self._note_block()
        identity = block_hash(block.header)
        self._bodies.add_block(identity, block)
        return bft.BlockBuilt(
            slot=effect.slot,
            block=identity,
            header=block.header,
            justification=block.justification,
        )

    async def validate(self, effect: bft.Validate) -> bft.Event:
        """Get the body and judge it; None if it cannot be judged now."""
        self._note_block()
        block = await self._bodies.obtain(effect.block)
        verdict = None if block is None else await self._judge(block, effect)
        return bft.BlockValidated(effect.block, verdict)

    def _note_block(self) -> None:
        self._seen_s = asyncio.get_running_loop().time()

    async def _pause(self, idle_block_ms: int) -> None:
        """Keep `PACE_S` from the last block; at once if it is older, as on an idle chain."""
        pace_s = min(PACE_S, idle_block_ms / 1000)  # a chain of fast empty blocks wants them
        rest_s = self._seen_s + pace_s - asyncio.get_running_loop().time()
        if rest_s > 0:
            await asyncio.sleep(rest_s)

    async def _judge(self, block: Block, effect: bft.Validate) -> bool | None:
        needs_worker = bool(block.predictions) and not effect.is_certified
        if needs_worker and not self._hooks.may_vote():
            return None
        try:
            await self._chain.validate(block, is_certified=effect.is_certified)
        except InvalidInput as error:
            self._hooks.on_refused(effect.block, error)
            log.warning("block.refused", reason=error.message[:200], height=block.header.height)
            # The header does not bind the claimed outputs one by one: if somebody else than the
            # leader gave us the body, another one may be good.
            is_open = effect.is_certified or self._bodies.is_fetched(effect.block)
            self._bodies.drop(effect.block)
            if is_open and self._refused_count < REFUSED_COUNT_MAX:
                self._refused_count += 1
                return None
            return False
        except Unavailable as error:
            log.info("block.undecided", reason=error.message[:200], height=block.header.height)
            return None
        self._refused_count = 0
        return True
