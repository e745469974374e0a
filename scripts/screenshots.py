"""Take the pictures of the explorer that the README shows, from a network that runs.

make demo, with --keep: python -m scripts.demo --keep
python -m scripts.screenshots --url http://127.0.0.1:27657 --out docs/images
python -m scripts.screenshots --every --out out/pictures   (each page, light and dark, to look at)
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from node.testing.browser import Browser, open_browser

SETTLE_S = 0.5
HEIGHT_MAX = 2400


@dataclass(frozen=True, slots=True)
class Shot:
    """A page, or the first page that a link of `path` whose address begins so leads to."""

    path: str
    first: str = ""
    height: int = 0
    """Pixels; 0 for all of the page, at most `HEIGHT_MAX`."""


README = {
    "overview": Shot("/", height=880),
    "machine": Shot("/machines", "/machine/", 760),
    "validators": Shot("/validators", height=420),
}
EVERY = {
    "overview": Shot("/"),
    "blocks": Shot("/blocks"),
    "block": Shot("/transactions", "/block/"),
    "transactions": Shot("/transactions"),
    "transaction": Shot("/transactions", "/tx/"),
    "predictions": Shot("/predictions"),
    "prediction": Shot("/predictions", "/prediction/"),
    "machines": Shot("/machines"),
    "machine": Shot("/machines", "/machine/"),
    "quality": Shot("/quality"),
    "line": Shot("/quality", "/quality/"),
    "labels": Shot("/labels"),
    "dataset": Shot("/labels", "/labels/"),
    "lots": Shot("/lots"),
    "lot": Shot("/lots", "/lot/"),
    "demand": Shot("/demand"),
    "part": Shot("/demand", "/demand/"),
    "models": Shot("/models"),
    "model": Shot("/models", "/model/"),
    "federated": Shot("/federated"),
    "run": Shot("/federated", "/federated/"),
    "contracts": Shot("/contracts"),
    "contract": Shot("/contracts", "/contract/"),
    "validators": Shot("/validators"),
    "network": Shot("/network"),
    "verify": Shot("/verify"),
    "search": Shot("/search?q=nothing"),
}


async def take(url: str, out: Path, shots: dict[str, Shot], scheme: str = "light") -> list[Path]:
    """Write one picture a page; a page that the network has nothing for is left out."""
    written = []
    async with open_browser() as browser:
        await browser.prefer(scheme)
        for name, shot in shots.items():
            await browser.open(url + shot.path)
            if shot.first and not await _follow(browser, url, shot.first):
                continue
            await asyncio.sleep(SETTLE_S)
            height = shot.height or await _height(browser)
            suffix = "" if scheme == "light" else f"-{scheme}"
            target = out / f"{name}{suffix}.png"
            picture = await browser.screenshot(height=height)
            await asyncio.to_thread(target.write_bytes, picture)
            written.append(target)
    return written


async def _follow(browser: Browser, url: str, start: str) -> bool:
    link = f"document.querySelector('main a[href^=\"{start}\"]')?.getAttribute('href')"
    found = await browser.evaluate(link)
    if not isinstance(found, str):
        return False
    await browser.open(url + found)
    return True


async def _height(browser: Browser) -> int:
    await browser.resize(height=400)  # else a page is at least as tall as the one before
    height = await browser.evaluate("document.documentElement.scrollHeight")
    return min(HEIGHT_MAX, max(400, height)) if isinstance(height, int) else HEIGHT_MAX


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the pictures; 0 if all were."""
    parser = argparse.ArgumentParser(prog="python -m scripts.screenshots", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:27657")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--every", action="store_true", help="each page, light and dark")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        written = asyncio.run(take(options.url, options.out, EVERY if options.every else README))
        if options.every:
            written += asyncio.run(take(options.url, options.out, EVERY, "dark"))
    except (OSError, RuntimeError, TimeoutError) as error:
        print(f"andon: {error}", file=sys.stderr)
        return 1
    for path in written:
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
