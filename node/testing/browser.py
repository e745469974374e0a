"""A headless Chromium over its DevTools protocol: enough for tests and pictures of the explorer.

Needs the distribution's `chromium`; no driver, no download. Records what a strict page must not
do: console errors, policy violations, requests to other origins.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec

START_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_S = 20.0
LOAD_TIMEOUT_S = 15.0
MESSAGE_BYTES_MAX = 64 * 1024 * 1024
NAMES = ("chromium", "chromium-browser", "google-chrome")

Fields = dict[str, object]


class _Message(msgspec.Struct, frozen=True):
    id: int = 0
    method: str = ""
    params: Fields = {}
    result: Fields = {}
    error: Fields | None = None


def find_browser() -> str | None:
    """Path of a Chromium, None if there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass(slots=True)
class Browser:
    """One page. `complaints` and `requests` fill as it works."""

    _socket: aiohttp.ClientWebSocketResponse
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _answers: dict[int, asyncio.Future[_Message]] = field(default_factory=dict)
    _loaded: asyncio.Event = field(default_factory=asyncio.Event)
    _number: int = 0

    async def ask(self, method: str, **params: object) -> Fields:
        """Send a command and wait for its result.

        Raises:
            RuntimeError: the browser's own complaint.
        """
        self._number += 1
        future: asyncio.Future[_Message] = asyncio.get_running_loop().create_future()
        self._answers[self._number] = future
        command = {"id": self._number, "method": method, "params": params}
        await self._socket.send_str(msgspec.json.encode(command).decode())
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            answer = await future
        if answer.error is not None:
            raise RuntimeError(f"{method}: {answer.error}")
        return answer.result

    async def open(self, url: str) -> None:
        """Go to a page and wait until it has loaded."""
        self._loaded.clear()
        await self.ask("Page.navigate", url=url)
        async with asyncio.timeout(LOAD_TIMEOUT_S):
            await self._loaded.wait()

    async def evaluate(self, script: str) -> object:
        """Run an expression in the page; promises are awaited."""
        answer = await self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        result = answer.get("result")
        return result.get("value") if isinstance(result, dict) else None

    async def wait_for(self, script: str, timeout_s: float = 10.0) -> None:
        """Wait until an expression is true.

        Raises:
            TimeoutError: it did not become so.
        """
        async with asyncio.timeout(timeout_s):
            while not await self.evaluate(script):  # noqa: ASYNC110 - the page sends no event
                await asyncio.sleep(0.05)

    async def choose_file(self, selector: str, path: Path) -> None:
        """Put a file into a file input."""
        document = await self.ask("DOM.getDocument")
        root = document["root"]
        assert isinstance(root, dict)
        found = await self.ask("DOM.querySelector", nodeId=root["nodeId"], selector=selector)
        await self.ask("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(path)])

    async def screenshot(self, width: int = 1200, height: int = 900) -> bytes:
        """Take a picture of the page as PNG."""
        await self.resize(width, height)
        answer = await self.ask("Page.captureScreenshot", format="png")
        return base64.b64decode(str(answer["data"]))

    async def resize(self, width: int = 1200, height: int = 900) -> None:
        """Give the window another size, in pixels."""
        await self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def prefer(self, scheme: str) -> None:
        """Ask pages for their `light` or `dark` colours."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.ask("Emulation.setEmulatedMedia", features=features)

    async def listen(self) -> None:
        """Take in what the browser says; ends with the connection."""
        async for raw in self._socket:
            if raw.type is aiohttp.WSMsgType.TEXT:
                self._take(msgspec.json.decode(raw.data, type=_Message))

    def _take(self, message: _Message) -> None:
        if message.id:
            future = self._answers.pop(message.id, None)
            if future is not None and not future.done():
                future.set_result(message)
            return
        match message.method:
            case "Page.loadEventFired":
                self._loaded.set()
            case "Network.requestWillBeSent":
                request = message.params.get("request")
                if isinstance(request, dict):
                    self.requests.append(str(request.get("url")))
            case "Log.entryAdded":
                entry = message.params.get("entry")
                if isinstance(entry, dict) and entry.get("level") == "error":
                    self.complaints.append(str(entry.get("text")))
            case "Runtime.exceptionThrown":
                self.complaints.append(str(message.params))
            case _:
                pass


@contextlib.asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Start a browser with one empty page.

    Raises:
        RuntimeError: there is no Chromium, or it did not start.
    """
    program = find_browser()
    if program is None:
        raise RuntimeError("no chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            f"--user-data-dir={profile}",
            "--remote-debugging-port=0",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                port = await _port(process)
            async with _page(port) as browser:
                yield browser
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


@contextlib.asynccontextmanager
async def _page(port: int) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            targets = await answer.json()
        url = next(item["webSocketDebuggerUrl"] for item in targets if item["type"] == "page")
        async with (
            session.ws_connect(url, max_msg_size=MESSAGE_BYTES_MAX) as socket,
            asyncio.TaskGroup() as group,
        ):
            browser = Browser(socket)
            listener = group.create_task(browser.listen())
            for domain in ("Page", "Network", "Log", "Runtime", "DOM"):
                await browser.ask(f"{domain}.enable")
            try:
                yield browser
            finally:
                listener.cancel()


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    async for line in process.stderr:
        if line.startswith(b"DevTools listening on "):
            return int(line.split(b":")[2].split(b"/")[0])
    raise RuntimeError("chromium ended before it listened")
