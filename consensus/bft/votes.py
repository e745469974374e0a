"""Count votes, make certificates, notice contradictions (R1, R9, R15, R16, R20)."""

from __future__ import annotations

from andon.core.certificate import Certificate, SignedVote, Signer, Vote, VoteKind
from consensus.bft.effects import CatchUp, Effect, Fetch, KeepCertificate, Report, SendCertificate
from consensus.bft.evidence import find_contradiction
from consensus.bft.pacemaker import enter_slot
from consensus.bft.state import EVIDENCE_SLOTS, SlotTable, State
from consensus.bft.window import drop_middle, is_dropped

FETCHES_MAX = 64
"""Blocks asked for at a time; more means that we have to catch up by other means."""


def receive_vote(state: State, signed: SignedVote, out: list[Effect]) -> bool:
    """Take a vote; returns whether it completed a certificate that is new to us."""
    vote = signed.vote
    if vote.epoch != state.base.epoch:
        if vote.epoch > state.base.epoch:
            out.append(CatchUp(vote.epoch, vote.slot))
        return False
    if not _is_in_window(state, vote.slot):
        return False
    state.last_active[signed.validator] = max(state.last_active[signed.validator], vote.slot)
    if is_dropped(state, vote.slot):
        return False
    table = state.table(vote.slot)
    if not _record(table, signed, out) or vote.kind is VoteKind.PROPOSE:
        return False
    subject = (vote.kind, vote.block)
    weight = table.weights.get(subject, 0) + state.validators.validators[signed.validator].weight
    table.weights[subject] = weight
    if weight < state.quorum or subject in table.certificates or vote.slot <= state.base.slot:
        return False
    _take_certificate(state, _assemble(table, vote), out)
    return True


def receive_certificate(state: State, certificate: Certificate, out: list[Effect]) -> bool:
    """Take a certificate; returns whether it is new to us."""
    vote = certificate.vote
    if vote.epoch != state.base.epoch:
        if vote.epoch > state.base.epoch:
            out.append(CatchUp(vote.epoch, vote.slot))
        return False
    # A quorum signed it, so its slot needs no upper bound: it shows where the others are.
    if vote.slot <= state.base.slot or is_dropped(state, vote.slot):
        return False
    table = state.table(vote.slot)
    if (vote.kind, vote.block) in table.certificates:
        return False
    for signer in certificate.signers:
        # R15: signatures inside certificates count as votes, for evidence and for the tally.
        signed = SignedVote(vote, signer.validator, signer.signature)
        state.last_active[signer.validator] = max(state.last_active[signer.validator], vote.slot)
        if _record(table, signed, out):
            weight = state.validators.validators[signer.validator].weight
            subject = (vote.kind, vote.block)
            table.weights[subject] = table.weights.get(subject, 0) + weight
    _take_certificate(state, certificate, out)
    return True


def gather(state: State, vote: Vote) -> Certificate | None:
    """Assemble all signatures that we hold on a vote, those that came after the quorum too.

    None without a quorum, and for a slot whose votes are forgotten.
    """
    table = state.tables.get(vote.slot)
    if table is None or vote.epoch != state.base.epoch:
        return None
    if table.weights.get((vote.kind, vote.block), 0) < state.quorum:
        return None
    return _assemble(table, vote)


def fetch(state: State, block: bytes, out: list[Effect]) -> None:
    """R19: ask for a block once; the driver repeats until it comes."""
    if block in state.fetching or block in state.blocks or block == state.base.block:
        return
    if len(state.fetching) >= FETCHES_MAX:
        out.append(CatchUp(state.base.epoch, state.slot))
        return
    state.fetching[block] = None
    out.append(Fetch(block))


def _is_in_window(state: State, slot: int) -> bool:
    """R16: votes far ahead or long past are dropped; certificates bring us forward."""
    ahead = slot - state.slot
    return ahead <= state.params.slots_ahead_max and slot > state.base.slot - EVIDENCE_SLOTS


def _record(table: SlotTable, signed: SignedVote, out: list[Effect]) -> bool:
    """Store the first vote of a kind; report a contradiction. True if it counts."""
    held = table.votes.setdefault(signed.validator, {})
    contradicted = find_contradiction(held, signed)
    if contradicted is not None:
        out.append(Report(contradicted, signed))
    if signed.vote.kind in held:
        return False
    held[signed.vote.kind] = signed
    return True


def _assemble(table: SlotTable, vote: Vote) -> Certificate:
    """R1: the certificate of all votes that say the same, ascending by validator."""
    signers = []
    for validator in sorted(table.votes):
        signed = table.votes[validator].get(vote.kind)
        if signed is not None and signed.vote.block == vote.block:
            signers.append(Signer(validator, signed.signature))
    return Certificate(vote, tuple(signers))


def _take_certificate(state: State, certificate: Certificate, out: list[Effect]) -> None:
    vote = certificate.vote
    state.table(vote.slot).certificates[vote.kind, vote.block] = certificate
    state.progress += 1
    out.append(KeepCertificate(certificate))
    # R9: whoever sees a certificate first sends it on, so that nobody alone holds one.
    out.append(SendCertificate(certificate))
    if vote.slot >= state.slot:
        enter_slot(state, vote.slot + 1, out)
    if vote.kind is VoteKind.FINAL:
        drop_middle(state, vote.slot, out)
