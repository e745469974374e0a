"""Exhaustive search of the pure core: four validators, a few slots, Byzantine ones that sign all.

The enemy decides who hears which certificate and proposal when, and whose timer fires. Honest
validators are real cores. Their steps are remembered by (local state, event), so that the search
itself walks over small tuples. Votes are not delivered one by one: a certificate can be delivered
as soon as honest votes and the Byzantine ones together could form it, which allows strictly more.
Validation and fetching succeed at once: withholding a block is withholding what names it. Final
certificates are not delivered: to a core they say less than the Notar certificate before them,
and take choices away; whether they can exist is what is checked.

Votes that close no choice are given at once by whoever may give them, since more votes only allow
the enemy more: Final in a slot that is left behind, Notar for the one block of an honest leader.

Two local states are one if they have signed the same and have the same choices left; validators
that lead none of the slots to come are interchangeable.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from andon.core.block import Header, Justification, block_hash, justification_digest
from andon.core.certificate import (
    Certificate,
    SignedVote,
    Vote,
    VoteKind,
)
from andon.core.genesis import Params
from andon.core.hashing import ZERO_DIGEST
from consensus import bft
from consensus.bft.leader import Place
from node.testing.model_state import (
    QUORUM,
    SET,
    VALIDATORS,
    Move,
    Node,
    Subject,
    certificate_of,
    is_contradiction,
    node_of,
)
from node.testing.sim.chain import genesis_header

Local = tuple[object, ...]
World = tuple[int, ...]


class Violated(AssertionError):
    """A property does not hold in a reachable state."""


@dataclass(slots=True)
class Report:
    """What was searched. `forks` counts states with two conflicting final blocks."""

    states: int = 0
    transitions: int = 0
    locals: int = 0
    forks: int = 0
    is_complete: bool = True


class Search:
    """Breadth-first over global states, each a tuple with one local state an honest validator."""

    def __init__(self, slots: int, faulty: tuple[int, ...]) -> None:
        self._slots = slots
        self._faulty = faulty
        self._honest = tuple(n for n in range(VALIDATORS) if n not in faulty)
        root = genesis_header("model", SET)
        self._root = block_hash(root)
        self._root_header = root
        self._headers: dict[bytes, tuple[Header, Justification]] = {}
        self._nodes: list[Node] = []
        self._ids: dict[Local, int] = {}
        self._closures: dict[World, World] = {}
        self.report = Report()

    def run(self, states_max: int) -> Report:
        """Search until all is seen, or `states_max` is reached.

        Raises:
            Violated: two conflicting blocks are final with one faulty validator, or a fork does
                not give more than a third of the validators away.
        """
        start = self._closed(tuple(sorted(self._start(index) for index in self._honest)))
        seen = {start}
        frontier = [start]
        while frontier:
            following: list[World] = []
            for world in frontier:
                self._check(world)
                for after in self._successors(world):
                    self.report.transitions += 1
                    if after not in seen:
                        seen.add(after)
                        following.append(after)
            frontier = following
            if len(seen) > states_max:
                self.report.is_complete = False
                break
        self.report.states = len(seen)
        self.report.locals = len(self._nodes)
        return self.report

    # -- the enemy's moves ------------------------------------------------------------------

    def _successors(self, world: World) -> Iterator[World]:
        certificates = self._certificates(world)
        proposals = self._proposals(world, certificates)
        for place, local in enumerate(world):
            node = self._nodes[local]
            for move in self._moves(node, certificates, proposals):
                after = self._move(local, move)
                if after != local:
                    yield self._closed(tuple(sorted((*world[:place], after, *world[place + 1 :]))))

    def _closed(self, world: World) -> World:
        """Let everybody give the votes that close no choice."""
        found = self._closures.get(world)
        if found is not None:
            return found
        after = world
        is_moving = True
        while is_moving:
            is_moving = False
            certificates = self._certificates(after)
            proposals = self._honest_proposals(after)
            for place, local in enumerate(after):
                moved = self._close_one(local, certificates, proposals)
                if moved != local:
                    after = tuple(sorted((*after[:place], moved, *after[place + 1 :])))
                    is_moving = True
                    break
        self._closures[world] = after
        return after

    def _close_one(
        self, local: int, certificates: list[Subject], proposals: dict[bytes, None]
    ) -> int:
        node = self._nodes[local]
        if node.leads:  # what it knows decides what it will build upon
            return local
        for kind, at, block in certificates:
            if kind is VoteKind.NOTAR and at < node.state.slot and at in node.undecided:
                return self._move(local, ("certificate", kind, at, block))
        for block in proposals:
            if self._headers[block][0].slot == node.state.slot and node.can_notar:
                return self._move(local, ("proposal", block))
        return local

    def _move(self, local: int, move: Move) -> int:
        node = self._nodes[local]
        after = node.moves.get(move)
        if after is None:
            after = node.moves[move] = self._apply(node, move)
        return after

    def _moves(
        self, node: Node, certificates: list[Subject], proposals: list[bytes]
    ) -> Iterator[Move]:
        """What may happen to a validator and change anything."""
        slot = node.state.slot
        for subject in certificates:
            kind, at, _ = subject
            if kind is VoteKind.FINAL or subject in node.held:
                continue
            is_old = at < slot and not node.leads
            if not is_old or (kind is VoteKind.NOTAR and at in node.undecided):
                yield ("certificate", *subject)
        if slot <= self._slots:
            for block in proposals:
                at = self._headers[block][0].slot
                if at > slot or (at == slot and node.can_notar):
                    yield "proposal", block
            if node.can_skip:
                yield ("timer",)

    def _certificates(self, world: World) -> list[Subject]:
        """All certificates that the honest votes so far and all Byzantine ones can form."""
        counts: dict[Subject, int] = {}
        for local in world:
            for subject in self._nodes[local].casts:
                counts[subject] = counts.get(subject, 0) + 1
        needed = QUORUM - len(self._faulty)
        return sorted(subject for subject, count in counts.items() if count >= needed)

    def _proposals(self, world: World, certificates: list[Subject]) -> list[bytes]:
        found = self._honest_proposals(world)
        for slot in range(1, self._slots + 1):
            if bft.leader_of(VALIDATORS, 0, slot) in self._faulty:
                for spot in self._places(slot, certificates):
                    for salt in (1, 2):
                        found[self._make_block(slot, spot, salt)] = None
                for spot in self._lies(slot, certificates):
                    found[self._make_block(slot, spot, 3)] = None
        return list(found)

    def _honest_proposals(self, world: World) -> dict[bytes, None]:
        found: dict[bytes, None] = {}
        for local in world:
            found.update(dict.fromkeys(self._nodes[local].proposals))
        return found

    def _places(self, slot: int, certificates: list[Subject]) -> Iterator[Place]:
        """Every valid justification of a block in `slot`."""
        skips: list[Certificate] = []
        for below in range(slot - 1, 0, -1):
            for kind, at, block in certificates:
                if at == below and kind is not VoteKind.SKIP:
                    why = Justification(certificate_of((kind, at, block)), tuple(reversed(skips)))
                    yield Place(block, why)
            if (VoteKind.SKIP, below, ZERO_DIGEST) not in certificates:
                return
            skips.append(certificate_of((VoteKind.SKIP, below, ZERO_DIGEST)))
        yield Place(self._root, Justification(None, tuple(reversed(skips))))

    def _lies(self, slot: int, certificates: list[Subject]) -> Iterator[Place]:
        """Justifications that leave out the Skip certificates: no core may believe them."""
        if slot > 1:
            yield Place(self._root, Justification(None, ()))
        for subject in certificates:
            if subject[0] is not VoteKind.SKIP and subject[1] < slot - 1:
                yield Place(subject[2], Justification(certificate_of(subject), ()))

    def _make_block(self, slot: int, place: Place, salt: int) -> bytes:
        parent = self._headers.get(place.parent)
        height = 1 if parent is None else parent[0].height + 1
        header = msgspec.structs.replace(
            self._root_header,
            slot=slot,
            height=height,
            parent=place.parent,
            justification_digest=justification_digest(place.justification),
            gas_used=salt,
        )
        block = block_hash(header)
        self._headers[block] = (header, place.justification)
        return block

    # -- honest validators --------------------------------------------------------------------

    def _start(self, index: int) -> int:
        base = bft.Base(epoch=0, slot=0, height=0, block=self._root, certificate=None)
        params = Params()
        at = bft.Position(base=base, validators=SET, index=index, params=params)
        state = bft.initial_state(at)
        self._feed(state, bft.Started())
        return self._intern(state)

    def _apply(self, node: Node, move: Move) -> int:
        state = copy.deepcopy(node.state)
        match move:
            case ("certificate", VoteKind() as kind, int(slot), bytes(block)):
                self._feed(state, bft.CertificateReceived(certificate_of((kind, slot, block))))
            case ("proposal", bytes(block)):
                header, why = self._headers[block]
                leader = bft.leader_of(VALIDATORS, 0, header.slot)
                vote = Vote(VoteKind.PROPOSE, 0, header.slot, block)
                self._feed(
                    state,
                    bft.ProposalReceived(
                        vote=SignedVote(vote, leader, b""),
                        header=header,
                        justification=why,
                        slot_justification=None,
                    ),
                )
            case _:
                self._feed(state, bft.TimerFired(bft.Timer.SKIP, 0, state.slot))
        return self._intern(state)

    def _feed(self, state: bft.State, event: bft.Event) -> None:
        """Handle an event and, at once, all that follows inside the node."""
        _, effects = bft.step(state, event)
        for effect in effects:
            match effect:
                case bft.Validate():
                    self._feed(state, bft.BlockValidated(effect.block, verdict=True))
                case bft.Fetch():
                    header, why = self._headers[effect.block]
                    self._feed(
                        state,
                        bft.BlockReceived(block=effect.block, header=header, justification=why),
                    )
                case bft.Build() if effect.slot <= self._slots:
                    place = Place(effect.parent, effect.justification)
                    block = self._make_block(effect.slot, place, 0)
                    self._feed(
                        state,
                        bft.BlockBuilt(
                            slot=effect.slot,
                            block=block,
                            header=self._headers[block][0],
                            justification=effect.justification,
                        ),
                    )
                case _:
                    pass

    def _intern(self, state: bft.State) -> int:
        """Give the number of a local state; two with the same future are one."""
        node = node_of(state, self._slots)
        signed = tuple(
            (slot, tuple(sorted(table.cast.items())))
            for slot, table in sorted(state.tables.items())
            if slot <= self._slots and table.cast
        )
        key: Local = (
            node.leads,
            min(state.slot, self._slots + 1),
            state.is_halted,
            signed,
            node.held if node.leads else None,
        )
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(self._nodes)
            self._nodes.append(node)
        return found

    # -- properties ---------------------------------------------------------------------------

    def _check(self, world: World) -> None:
        finals = [subject for subject in self._certificates(world) if subject[0] is VoteKind.FINAL]
        for index, left in enumerate(finals):
            for right in finals[index + 1 :]:
                if not self._is_one_branch(left[2], right[2]):
                    self.report.forks += 1
                    self._check_guilt(world, left, right)

    def _is_one_branch(self, left: bytes, right: bytes) -> bool:
        return left in self._ancestry(right) or right in self._ancestry(left)

    def _ancestry(self, block: bytes) -> list[bytes]:
        found = [block]
        while block in self._headers:
            block = self._headers[block][0].parent
            found.append(block)
        return found

    def _check_guilt(self, world: World, left: Subject, right: Subject) -> None:
        """A fork needs more than a third, and names it: two quorums that contradict each other."""
        if 3 * len(self._faulty) < VALIDATORS:
            raise Violated(f"two final blocks in slots {left[1]} and {right[1]}: {world}")
        used = [left, right, *self._justifying(left[2]), *self._justifying(right[2])]
        # Whoever finalised a block held its Notar certificate.
        used += [(VoteKind.NOTAR, slot, block) for _, slot, block in (left, right)]
        pairs = [(a, b) for a in used for b in used if is_contradiction(a, b)]
        if not pairs:
            raise Violated(f"a fork that names nobody: slots {left[1]} and {right[1]}")

    def _justifying(self, block: bytes) -> Iterator[Subject]:
        while block in self._headers:
            header, why = self._headers[block]
            for certificate in (why.parent_certificate, *why.skips):
                if certificate is not None:
                    vote = certificate.vote
                    yield vote.kind, vote.slot, vote.block
            block = header.parent
