"""Take the pictures of the explorer that the README shows, from a network that runs.

make demo, with --keep: python -m scripts.demo --keep
python -m scripts.screenshots --url http://127.0.0.1:27657 --out docs/images
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from node.testing.browser import open_browser

PAGES = {"overview": "/", "machine": "/machines", "validators": "/validators"}
HEIGHTS = {"overview": 880, "machine": 760, "validators": 420}
SETTLE_S = 0.5


async def take(url: str, out: Path) -> list[Path]:
    """Write one picture a page; the machine is the first of the list."""
    written = []
    async with open_browser() as browser:
        for name, path in PAGES.items():
            await browser.open(url + path)
            if name == "machine":
                first = await browser.evaluate(
                    "document.querySelector('td a').getAttribute('href')"
                )
                await browser.open(url + str(first))
            await asyncio.sleep(SETTLE_S)
            picture = await browser.screenshot(height=HEIGHTS[name])
            target = out / f"{name}.png"
            await asyncio.to_thread(target.write_bytes, picture)
            written.append(target)
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the pictures; 0 if all were."""
    parser = argparse.ArgumentParser(prog="python -m scripts.screenshots", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:27657")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        written = asyncio.run(take(options.url, options.out))
    except (OSError, RuntimeError, TimeoutError) as error:
        print(f"andon: {error}", file=sys.stderr)
        return 1
    for path in written:
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
