"""The durable store of a gateway: LMDB, one write transaction for everything a batch did.

A message is acknowledged only after the transaction that holds it is on disk. Seen messages,
windows under construction, places in sources, windows to send and signed transactions live here
together, so a process that dies anywhere goes on exactly where it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import lmdb
import msgspec

from andon.core.errors import Code, Corrupt, Unavailable
from andon.gateway.config import OutboxTable
from andon.gateway.reading import Arrival
from andon.gateway.windows import Line, Window

KEPT_MAX = 10_000
"""Finished batches, refused windows and strays of which the content is kept."""

STRAY_BYTES_MAX = 64 * 1024
PRUNE_MAX = 2_000
"""Old entries removed in one transaction."""

_NAMES = (
    "meta",
    "lines",
    "seen0",
    "seen1",
    "journal",
    "pending",
    "batches",
    "done",
    "refused",
    "made",
)
COUNTERS = ("messages", "samples", "duplicates", "strays", "windows", "sent", "refused")
_pack = msgspec.msgpack.Encoder().encode


class Batch(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A signed transaction with the windows `first` to `last`; sent until its fate is known."""

    number: int
    first: int
    last: int
    attempt: int
    raw: bytes
    id: bytes
    expires_height: int
    is_bare: bool
    """True if it only records: the window's own call was refused."""


class Refused(msgspec.Struct, array_like=True, frozen=True):
    """A window whose call the chain refused, with the chain's words."""

    window: Window
    reason: str


@dataclass(frozen=True, slots=True)
class Strayed:
    """A message that nobody understood."""

    arrival: Arrival
    reason: str


class Outbox:
    """The store; one process at a time. `writing()` is a transaction: all of it or nothing."""

    def __init__(self, path: Path, settings: OutboxTable) -> None:
        self.settings = settings
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._env = lmdb.open(
                str(path), map_size=settings.size_mb << 20, max_dbs=16, metasync=True, sync=True
            )
        except lmdb.Error as error:
            raise Corrupt(Code.STORAGE_DAMAGED, f"outbox {path}: {error}") from None
        self._db = {
            name: self._env.open_db(name.encode()) for name in (*_NAMES, "strays", "counters")
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store."""
        self._env.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writer]:
        """Open a write transaction; on return it is on disk.

        Raises:
            Unavailable: STORAGE_FULL.
        """
        try:
            with self._env.begin(write=True) as transaction:
                yield Writer(self, transaction)
        except lmdb.MapFullError:
            raise Unavailable(
                Code.STORAGE_FULL,
                f"the outbox of {self.settings.size_mb} MB is full",
                hint="the sources wait; raise size_mb or let the network drain it",
            ) from None

    def lines(self) -> dict[str, Line]:
        """All machines."""
        decoder = msgspec.msgpack.Decoder(Line)
        with self._env.begin(self._db["lines"]) as read:
            return {line.machine: line for line in (decoder.decode(v) for _, v in read.cursor())}

    def notes(self) -> dict[str, bytes]:
        """All notes of sources."""
        with self._env.begin(self._db["meta"]) as read:
            return {bytes(key).decode(): bytes(value) for key, value in read.cursor()}

    def is_known(self, client_id: str) -> bool:
        """Tell whether a broker has subscribed this client before."""
        with self._env.begin(self._db["meta"]) as read:
            return read.get(f"session/{client_id}".encode()) is not None

    def remember(self, client_id: str) -> None:
        """Note that a broker has subscribed this client; a full disk leaves it for next time."""
        if not self.is_known(client_id):
            with contextlib.suppress(Unavailable), self.writing() as writer:
                writer.note(f"session/{client_id}", b"")

    def counters(self) -> dict[str, int]:
        """Totals since the store was made, and what waits."""
        with self._env.begin() as read:
            totals = {
                name: _number(read.get(name.encode(), db=self._db["counters"])) for name in COUNTERS
            }
            totals["waiting"] = read.stat(self._db["pending"])["entries"]
        return totals

    def waiting(self) -> int:
        """Windows that are not final yet."""
        with self._env.begin() as read:
            return int(read.stat(self._db["pending"])["entries"])

    def oldest_ms(self) -> int | None:
        """When the oldest window that waits was made; None if none waits."""
        with self._env.begin() as read:
            found = read.cursor(self._db["pending"])
            if not found.first():
                return None
            value = read.get(found.key(), db=self._db["made"])
        return None if value is None else _number(value)

    def used_ratio(self) -> float:
        """Share of the map that tables take up; pages that were freed do not count."""
        with self._env.begin() as read:
            tables = [read.stat(table) for table in self._db.values()]
        pages = sum(t["branch_pages"] + t["leaf_pages"] + t["overflow_pages"] for t in tables)
        return float(pages * self._env.stat()["psize"] / self._env.info()["map_size"])

    def pending(self, count_max: int) -> list[tuple[int, Window]]:
        """The oldest windows that are not final yet."""
        decoder = msgspec.msgpack.Decoder(Window)
        found: list[tuple[int, Window]] = []
        with self._env.begin(self._db["pending"]) as read:
            for key, value in read.cursor():
                if len(found) == count_max:
                    break
                found.append((_place(key), decoder.decode(value)))
        return found

    def batch(self) -> Batch | None:
        """The transaction whose fate is open, if there is one."""
        with self._env.begin(self._db["batches"]) as read:
            for _, value in read.cursor():
                return msgspec.msgpack.decode(value, type=Batch)
        return None

    def journal(self) -> Iterator[Arrival]:
        """The raw messages that are kept, in order of arrival."""
        with self._env.begin(self._db["journal"]) as read:
            for _, value in read.cursor():
                source, topic, payload, arrived = msgspec.msgpack.decode(
                    value, type=tuple[int, str, bytes, int]
                )
                yield Arrival(source, topic, payload, arrived)

    def refused(self) -> list[Refused]:
        """Windows whose call was refused, oldest first."""
        with self._env.begin(self._db["refused"]) as read:
            return [msgspec.msgpack.decode(value, type=Refused) for _, value in read.cursor()]

    def strays(self) -> list[tuple[str, bytes, str]]:
        """Topic, payload and reason of messages that nobody understood."""
        with self._env.begin(self._db["strays"]) as read:
            return [
                msgspec.msgpack.decode(value, type=tuple[str, bytes, str])
                for _, value in read.cursor()
            ]


class Writer:
    """A write transaction of the store."""

    def __init__(self, outbox: Outbox, transaction: lmdb.Transaction) -> None:
        self._settings = outbox.settings
        self._db = outbox._db  # noqa: SLF001 - the other half of one class
        self._transaction = transaction
        self._counts = dict.fromkeys(COUNTERS, 0)

    def is_new(self, identity: bytes) -> bool:
        """Remember a message; False if it was here before."""
        current, older = self._generations()
        if self._transaction.get(identity, db=self._db[current]) is not None:
            return False
        if self._transaction.get(identity, db=self._db[older]) is not None:
            return False
        self._transaction.put(identity, b"", db=self._db[current])
        return True

    def _generations(self) -> tuple[str, str]:
        turn = _number(self._transaction.get(b"generation", db=self._db["counters"]))
        pair = ("seen0", "seen1") if turn % 2 == 0 else ("seen1", "seen0")
        if self._transaction.stat(self._db[pair[0]])["entries"] * 2 < self._settings.seen_max:
            return pair
        self._transaction.drop(self._db[pair[1]], delete=False)
        self._transaction.put(b"generation", _pack(turn + 1), db=self._db["counters"])
        return pair[1], pair[0]

    def keep(self, arrival: Arrival) -> None:
        """Append a raw message to the journal, within its bound."""
        if self._settings.journal_max:
            entry = (arrival.source, arrival.topic, arrival.payload, arrival.arrived_ms)
            self._append("journal", _pack(entry))
            self._prune("journal", self._settings.journal_max)

    def stray(self, found: Strayed) -> None:
        """Keep a message that nobody understood, within a bound; it is counted always."""
        arrival = found.arrival
        self.count("strays", 1)
        entry = (arrival.topic, arrival.payload[:STRAY_BYTES_MAX], found.reason)
        self._append("strays", _pack(entry))
        self._prune("strays", KEPT_MAX)

    def put_line(self, line: Line) -> None:
        """Write a machine's state."""
        self._transaction.put(line.machine.encode(), _pack(line), db=self._db["lines"])

    def note(self, name: str, value: bytes) -> None:
        """Write a source's note."""
        self._transaction.put(name.encode(), value, db=self._db["meta"])

    def put_window(self, window: Window, made_ms: int) -> None:
        """Queue a window for the chain."""
        place = self._append("pending", _pack(window), stored_in="windows")
        self._transaction.put(_key(place), _pack(made_ms), db=self._db["made"])
        self.count("windows", 1)

    def put_batch(self, batch: Batch) -> None:
        """Keep a signed transaction before it is sent, in place of an earlier attempt."""
        self._transaction.put(_key(0), _pack(batch), db=self._db["batches"])

    def finish(self, batch: Batch, height: int, reason: str = "") -> None:
        """Forget a batch and its windows; with a reason, its window is kept as refused."""
        for place in range(batch.first, batch.last + 1):
            value = self._transaction.pop(_key(place), db=self._db["pending"])
            self._transaction.delete(_key(place), db=self._db["made"])
            if value is not None and reason:
                window = msgspec.msgpack.decode(value, type=Window)
                self._append("refused", _pack(Refused(window, reason)))
                self._prune("refused", KEPT_MAX)
                self.count("refused", 1)
        self.count("sent", 0 if reason else batch.last - batch.first + 1)
        self._transaction.pop(_key(0), db=self._db["batches"])
        self._append("done", _pack((batch.id, height, batch.first, batch.last)))
        self._prune("done", KEPT_MAX)

    def refuse_call(self, window: Window, reason: str) -> None:
        """Keep a window whose own call was refused; its record still goes."""
        self._append("refused", _pack(Refused(window, reason)))
        self._prune("refused", KEPT_MAX)
        self.count("refused", 1)

    def count(self, name: str, number: int) -> None:
        """Add to a total."""
        self._counts[name] += number

    def settle(self) -> None:
        """Write the totals; the last act of a transaction."""
        for name, number in self._counts.items():
            if number:
                key = name.encode()
                total = _number(self._transaction.get(key, db=self._db["counters"])) + number
                self._transaction.put(key, _pack(total), db=self._db["counters"])

    def waiting(self) -> int:
        """Windows that are not final yet."""
        return int(self._transaction.stat(self._db["pending"])["entries"])

    def _append(self, name: str, value: bytes, stored_in: str = "") -> int:
        """Append under a number that is never used again, even when the table has run empty."""
        counter = b"next/" + (stored_in or name).encode()
        number = _number(self._transaction.get(counter, db=self._db["counters"]))
        self._transaction.put(counter, _pack(number + 1), db=self._db["counters"])
        self._transaction.put(_key(number), value, db=self._db[name], append=True)
        return number

    def _prune(self, name: str, count_max: int) -> None:
        excess = self._transaction.stat(self._db[name])["entries"] - count_max
        if excess <= 0:
            return
        with self._transaction.cursor(self._db[name]) as cursor:
            for _ in range(min(excess, PRUNE_MAX)):
                if not cursor.first():
                    break
                cursor.delete()


def _key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _place(key: bytes) -> int:
    return int.from_bytes(key, "big")


def _number(value: bytes | memoryview | None) -> int:
    return 0 if value is None else msgspec.msgpack.decode(value, type=int)
