import json
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
# Logging is global to a process, so each case runs in its own.
SCRIPT = """
import sys, logging, structlog
from pathlib import Path
from node.log import set_level, start_logging
start_logging(Path(sys.argv[1]), "info", "north")
log = structlog.get_logger()
log.debug("vote.ignored")
log.info("block.committed", height=3)
logging.getLogger("other").warning("plain %s", "text")
set_level("debug")
log.debug("vote.sent", slot=4)
from aiohttp.http_exceptions import LineTooLong
try:
    raise LineTooLong(b"x", 1)
except LineTooLong:
    logging.getLogger("aiohttp.server").exception("strangers write nonsense")
try:
    raise ValueError("boom")
except ValueError:
    log.exception("task.crashed")
"""


def test_logs_are_json_lines_with_fixed_fields_and_the_level_can_change(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
        text=True,
    )
    lines = [json.loads(line) for line in (tmp_path / "node.log").read_text().splitlines()]
    events = [line["event"] for line in lines]
    assert events == ["block.committed", "plain text", "vote.sent", "task.crashed"]
    assert all({"ts", "level", "node"} <= line.keys() for line in lines)
    assert lines[0]["height"] == 3
    assert lines[0]["node"] == "north"
    assert "ValueError: boom" in lines[3]["exception"]
    assert "task.crashed" in done.stderr
    assert "block.committed" not in done.stderr
