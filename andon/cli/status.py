"""`andon status`: every node in one table, with the reason for whatever is not ready.

Uses http.client alone: this verb must answer at once, and an HTTP stack costs more to import
than all four answers take.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import click

from andon.cli.context import EXIT_NOT_READY, EXIT_UNREACHABLE, Context, end
from andon.core.json_value import Json

TIMEOUT_S = 2.0
WATCH_PAUSE_S = 1.0
ANSWER_BYTES_MAX = 4 * 1024 * 1024
CREDENTIAL_VARIABLES = ("ANDON_API_KEY_FILE", "ANDON_CA_FILE", "ANDON_CLIENT_CERT_FILE")


@dataclass(slots=True)
class Row:
    """One node's answer; `reply` is None if it did not answer."""

    url: str
    reply: dict[str, Json] | None = None
    reason: str = ""
    clock_off_s: float | None = None
    """The node's clock less ours, in whole seconds; None if it did not say."""


@click.command("status")
@click.option("--watch", is_flag=True, help="Again every second, until Ctrl-C.")
@click.pass_obj
def status_command(context: Context, *, watch: bool) -> None:
    """Show every node; exit 6 if none answers, 7 if one is not ready."""
    while True:
        rows = ask_all(context.endpoints())
        if context.as_json:
            print(json.dumps({"nodes": [_document(row) for row in rows]}), flush=True)
        else:
            print(render(rows), flush=True)
        if not watch:
            break
        time.sleep(WATCH_PAUSE_S)
    if all(row.reply is None for row in rows):
        end(EXIT_UNREACHABLE)
    if any(row.reply is None or not row.reply.get("is_ready") for row in rows):
        end(EXIT_NOT_READY)


def ask_all(urls: list[str]) -> list[Row]:
    """Ask all nodes at once."""
    rows = [Row(url) for url in urls]
    threads = [threading.Thread(target=_ask, args=(row,), daemon=True) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return rows


def _ask(row: Row) -> None:
    parts = urlsplit(row.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers: dict[str, str] = {}
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    if any(name in os.environ for name in CREDENTIAL_VARIABLES):
        from andon.client.credentials import Credentials  # costs time that most never need

        credentials = Credentials.of_environment()
        headers, tls = credentials.headers(), credentials.tls()
        if tls is not None and parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                parts.hostname or "", parts.port, timeout=TIMEOUT_S, context=tls
            )
    try:
        connection.request("GET", "/v1/status", headers=headers)
        answer = connection.getresponse()
        document = json.loads(answer.read(ANSWER_BYTES_MAX))
        if date := answer.getheader("Date"):
            row.clock_off_s = parsedate_to_datetime(date).timestamp() - time.time_ns() // 10**9
        if isinstance(document, dict) and "height" in document:
            row.reply = document
        else:
            row.reason = str(document)[:120]
    except (OSError, http.client.HTTPException, ValueError) as error:
        row.reason = str(error) or type(error).__name__
    finally:
        connection.close()


def render(rows: list[Row]) -> str:
    """Lay the answers out as a table."""
    heights = [int(str(row.reply["height"])) for row in rows if row.reply]
    top = max(heights, default=0)
    now_ms = time.time_ns() // 1_000_000
    head = (
        f"{'node':<28}{'height':>8}{'lag':>5}{'tip age':>9}{'epoch/slot':>12}{'peers':>7}"
        f"{'pool':>6}  {'worker':<10}{'state':<10}ready"
    )
    lines = [head] + [_line(row, top, now_ms) for row in rows]
    disagreement = _disagreement(rows)
    if disagreement:
        lines.append(disagreement)
    return "\n".join(lines)


def _line(row: Row, top: int, now_ms: int) -> str:
    reply = row.reply
    if reply is None:
        return f"{row.url:<28}{'-':>8}{'':>39}  {'':<20}no answer: {row.reason}"
    height = int(str(reply["height"]))
    peers = reply.get("peers")
    listed = peers if isinstance(peers, list) else []
    connected = sum(1 for peer in listed if isinstance(peer, dict) and peer.get("connected"))
    reasons = reply.get("not_ready")
    why = "; ".join(str(item) for item in reasons) if isinstance(reasons, list) else ""
    age_s = max(0, now_ms - int(str(reply["time_ms"]))) / 1000
    ready = "yes" if reply.get("is_ready") else f"no: {why}"
    mismatch = "  PREDICTION MISMATCH, see --json" if reply.get("mismatch") else ""
    return (
        f"{row.url:<28}{height:>8}{top - height:>5}{_age(age_s):>9}"
        f"{str(reply['epoch']) + '/' + str(reply['slot']):>12}"
        f"{f'{connected}/{len(listed)}':>7}{reply['mempool_count']!s:>6}"
        f"  {reply['worker_state']!s:<10}{str(reply['state_root'])[2:10]:<10}{ready}{mismatch}"
    )


def _age(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _disagreement(rows: list[Row]) -> str:
    roots: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.reply:
            seen = roots.setdefault(str(row.reply["height"]), {})
            seen[str(row.reply["state_root"])] = row.url
    for height, seen in roots.items():
        if len(seen) > 1:
            return f"STATE ROOTS DIFFER at height {height}: {', '.join(seen.values())}"
    return ""


def _document(row: Row) -> Json:
    if row.reply is None:
        return {"url": row.url, "ok": False, "reason": row.reason}
    return {"url": row.url, "ok": True, **row.reply}
