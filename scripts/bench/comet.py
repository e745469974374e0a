"""A CometBFT testnet on this machine, built by Go's ordinary module install, for comparison.

What it does: orders and executes `key=value` pairs of its built-in kvstore. What it does not do,
and Andon does: check a signature per transaction, run contracts, keep a state tree with proofs of
entries, run models. So its figure is that of the consensus engine alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

VERSION = os.environ.get("ANDON_COMETBFT", "v0.38.17")
MODULE = "github.com/cometbft/cometbft/cmd/cometbft"
FOLDER = Path("out") / "cometbft"
BUILD_TIMEOUT_S = 900
START_TIMEOUT_S = 60
FIRST_HOST = 101
"""Node i listens on 127.0.0.(FIRST_HOST + i), so that all can have the same ports."""


def binary() -> Path | None:
    """The built program; None, with the reason printed, if Go or its module proxy is not there."""
    found = (FOLDER / "bin" / "cometbft").resolve()
    if found.exists():
        return found
    if shutil.which("go") is None:
        print("  skipped: there is no Go toolchain on this machine")
        return None
    print(f"  building CometBFT {VERSION} (about a minute)", flush=True)
    built = subprocess.run(
        ["go", "install", f"{MODULE}@{VERSION}"],
        env={**os.environ, "GOBIN": str(found.parent)},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if built.returncode != 0:
        print(f"  skipped: go install failed: {built.stderr.strip().splitlines()[-1:]}")
        return None
    return found


@contextlib.contextmanager
def testnet(program: Path, home: Path, validators: int, *, commit_wait: str) -> Iterator[list[str]]:
    """Run a network; gives the RPC URLs. `commit_wait` is CometBFT's `timeout_commit`."""
    subprocess.run(
        f"{program} testnet --v {validators} --o {home} "
        f"--starting-ip-address 127.0.0.{FIRST_HOST}".split(),
        check=True,
        capture_output=True,
    )
    urls: list[str] = []
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for index in range(validators):
            folder, host = home / f"node{index}", f"127.0.0.{FIRST_HOST + index}"
            configure(folder / "config" / "config.toml", host, commit_wait)
            with (folder / "log").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        [program, "start", "--home", folder, "--proxy_app", "kvstore"],
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )
            urls.append(f"http://{host}:26657")
        _wait(urls)
        yield urls
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


def configure(path: Path, host: str, commit_wait: str) -> None:
    """Give a node its address, the pause after a block, and a mempool as large as Andon's."""
    text = path.read_text(encoding="utf-8")
    values = {
        "timeout_commit": f'"{commit_wait}"',
        "skip_timeout_commit": "true" if commit_wait == "0s" else "false",
        "log_level": '"error"',
        "max_request_batch_size": "0",
    }
    for name, value in values.items():
        text = re.sub(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
    text = re.sub(r'"tcp://[^":]*:(26656|26657)"', rf'"tcp://{host}:\1"', text)
    # The mempool's own limits would refuse a burst that Andon takes.
    text = re.sub(r"(?ms)(^\[mempool\].*?^size = )\d+", r"\g<1>50000", text)
    text = re.sub(r"(?ms)(^\[mempool\].*?^cache_size = )\d+", r"\g<1>100000", text)
    path.write_text(text, encoding="utf-8")


def _wait(urls: list[str]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    for url in urls:
        while True:
            try:
                with urllib.request.urlopen(url + "/block?height=1", timeout=2) as reply:  # noqa: S310 - loopback
                    if b'"result"' in reply.read():
                        break
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} committed no block in {START_TIMEOUT_S} s")
            time.sleep(0.1)
