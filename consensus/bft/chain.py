"""From certificates to final blocks: what to fetch, validate and commit (R5, R13, R14, R19)."""

from __future__ import annotations

from andon.core.block import Header, Justification
from andon.core.certificate import Certificate, VoteKind
from consensus.bft.effects import CatchUp, Commit, Diverged, Effect, Halt, Validate
from consensus.bft.state import DEPTH_MAX, EVIDENCE_SLOTS, Base, BlockEntry, State
from consensus.bft.votes import fetch


def add_block(state: State, block: bytes, header: Header, justification: Justification) -> bool:
    """Remember a block's header; returns whether it may still matter."""
    state.fetching.pop(block, None)
    if block in state.blocks:
        return True
    if header.epoch != state.base.epoch or header.height <= state.base.height:
        return False
    state.blocks[block] = BlockEntry(header, justification)
    return True


def want(
    state: State, block: bytes, out: list[Effect], walked: dict[bytes, None] | None = None
) -> None:
    """R5: have a block validated, its unfinal ancestors first; fetch what is missing.

    Stops at what `walked` holds and adds what it walks: who wants many blocks of one branch
    (a validator that is behind, at each message) would walk it again for each of them.
    """
    walked = {} if walked is None else walked
    for _ in range(DEPTH_MAX):
        if block == state.base.block or block in walked:
            return
        walked[block] = None
        entry = state.blocks.get(block)
        if entry is None:
            fetch(state, block, out)
            return
        entry.is_wanted = True
        if entry.verdict is not None or entry.is_asked:
            return
        if _is_executable(state, entry):
            entry.is_asked = True
            out.append(Validate(block, is_certified=False))
            return
        block = entry.header.parent
    out.append(CatchUp(state.base.epoch, state.slot))


def want_children(state: State, parent: bytes, out: list[Effect]) -> None:
    """Go on with blocks that waited for their parent."""
    for block, entry in list(state.blocks.items()):
        if entry.header.parent == parent and entry.is_wanted:
            want(state, block, out)


def finalise(state: State, out: list[Effect]) -> None:
    """R13: a Final certificate makes its block and all ancestors final, once we have them all."""
    waiting: dict[bytes, None] = {}
    for slot in reversed(state.reviewed()):
        for (kind, _), certificate in state.tables[slot].certificates.items():
            if kind is VoteKind.FINAL and _try_commit(state, certificate, waiting, out):
                return


def _try_commit(
    state: State, certificate: Certificate, waiting: dict[bytes, None], out: list[Effect]
) -> bool:
    """Make a block final; or add to `waiting` it and those ancestors that must wait with it."""
    block = certificate.vote.block
    if block == state.base.block:  # R14: a closing block, final in a later slot once more
        return False
    branch = _branch(state, block, waiting, out)
    if not branch:
        return False
    if state.blocks[branch[0]].header.parent != state.base.block:
        _halt(state, certificate, out)
        return False
    for place, cursor in enumerate(branch):
        if not state.blocks[cursor].verdict:
            waiting.update(dict.fromkeys(branch[place:]))
            _adopt(state, cursor, certificate, out)
            return False
    out.append(Commit(block, certificate))
    header = state.blocks[block].header
    state.base = Base(
        epoch=state.base.epoch,
        slot=certificate.vote.slot,
        height=header.height,
        block=block,
        certificate=certificate,
    )
    state.is_closed = header.closes_epoch
    prune(state)
    return True


def _branch(
    state: State, block: bytes, waiting: dict[bytes, None], out: list[Effect]
) -> list[bytes]:
    """Blocks above the base up to `block`, ascending; empty if one is missing, which is asked."""
    branch: list[bytes] = []
    for _ in range(DEPTH_MAX):
        if block in waiting:
            break
        entry = state.blocks.get(block)
        if entry is None:
            fetch(state, block, out)
            break
        if entry.header.height > state.base.height + DEPTH_MAX - len(branch):
            out.append(CatchUp(state.base.epoch, state.slot))
            return []  # those below may be near enough
        branch.append(block)
        if entry.header.height <= state.base.height + 1:
            return branch[::-1]
        block = entry.header.parent
    waiting.update(dict.fromkeys(branch))
    return []


def _adopt(state: State, block: bytes, certificate: Certificate, out: list[Effect]) -> None:
    """Execute what a quorum made final, also if our own models would not have agreed to it."""
    entry = state.blocks[block]
    if entry.is_adopted and entry.verdict is False and not state.is_halted:
        state.is_halted = True
        out.append(Diverged(block, certificate))
    elif not entry.is_asked or (entry.verdict is False and not entry.is_adopted):
        entry.is_asked = entry.is_adopted = True
        entry.verdict = None
        out.append(Validate(block, is_certified=True))


def prune(state: State) -> None:
    """R16: drop what the base made irrelevant."""
    base = state.base
    for slot in [slot for slot in state.tables if slot <= base.slot - EVIDENCE_SLOTS]:
        del state.tables[slot]
    dead = [key for key, entry in state.blocks.items() if entry.header.height <= base.height]
    for block in dead:
        del state.blocks[block]
    # A fetch whose block came too late is asked for again if it still matters.
    state.fetching.clear()


def _is_executable(state: State, entry: BlockEntry) -> bool:
    parent = entry.header.parent
    if parent == state.base.block:
        return True
    known = state.blocks.get(parent)
    return known is not None and known.verdict is True


def _halt(state: State, certificate: Certificate, out: list[Effect]) -> None:
    if not state.is_halted and state.base.certificate is not None:
        state.is_halted = True
        out.append(Halt(state.base.certificate, certificate))
