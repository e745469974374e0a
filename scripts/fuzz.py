"""Fuzz the decoders: `make fuzz SECONDS=600` runs every target so long, `ONLY=frame,value` some.

Uses atheris (coverage-guided) where it is installed, each target in a process of its own. Corpora
are kept in tests/fuzz/TARGET, one input a file: `--keep` adds the smallest of those that reached
something new. A finding is kept in out/fuzz/TARGET and ends the run with status 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "fuzz"
FOUND = ROOT / "out" / "fuzz"
VECTORS = ROOT / "tests" / "vectors"
INPUT_BYTES_MAX = 8192
SEEDS_MAX = 64
KEPT_MAX = 48


def main() -> int:
    """Run the chosen targets one after the other; 1 if one found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="comma-separated targets")
    parser.add_argument("--seconds", type=int, default=60, help="time for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep what reached something new")
    parser.add_argument("--target", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.target:
        return _inside(options.target, rest)
    from node.testing.fuzz import TARGETS  # noqa: PLC0415 - atheris wants to import it itself

    names = [name for name in options.only.split(",") if name] or list(TARGETS)
    failed = [name for name in names if not _run(name, options)]
    print(f"{len(names)} targets, {len(failed)} with findings: {' '.join(failed) or 'none'}")
    return 1 if failed else 0


def _run(name: str, options: argparse.Namespace) -> bool:
    """Fuzz one target in a process of its own; True if nothing was found."""
    corpus, found, fresh = CORPUS / name, FOUND / name, FOUND / name / "corpus"
    for folder in (corpus, fresh):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (fresh / f"seed-{number}").write_bytes(seed)
    common = [sys.executable, "-m", "scripts.fuzz", "--target", name]
    limits = [f"-max_len={INPUT_BYTES_MAX}", f"-seed={options.seed}", "-timeout=10"]
    done = subprocess.run(
        [
            *common,
            str(fresh),
            str(corpus),
            *limits,
            f"-max_total_time={options.seconds}",
            f"-artifact_prefix={found}/",
            "-print_final_stats=1",
            "-verbosity=0",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    stats = dict(
        line.removeprefix("stat::").split(":", 1)
        for line in done.stderr.splitlines()
        if line.startswith("stat::")
    )
    runs = stats.get("number_of_executed_units", "0").strip()
    print(f"{name:<16}{runs:>12} inputs in {options.seconds} s", flush=True)
    if done.returncode != 0:
        print(done.stderr[-3000:], flush=True)
        return False
    if options.keep:
        _keep(fresh, corpus)
    return True


def _keep(fresh: Path, corpus: Path) -> None:
    """Add the smallest inputs that the fuzzer kept, up to KEPT_MAX in all."""
    known = {path.name for path in corpus.iterdir()}
    found = [path for path in fresh.iterdir() if not path.name.startswith("seed-")]
    found.sort(key=lambda path: (path.stat().st_size, path.name))
    for path in found[: max(0, KEPT_MAX - len(known))]:
        (corpus / path.name).write_bytes(path.read_bytes())


def seeds(name: str) -> list[bytes]:
    """Valid inputs from the golden vectors that have a field of that meaning."""
    fields = {
        "block": ("block",),
        "certificate": ("certificate",),
        "vote": ("vote", "signed"),
        "frame": ("bytes",),
        "value": ("bytes",),
        "transaction": ("raw",),
    }
    files = {"frame": "frames", "value": "values", "transaction": "transactions", "block": "blocks"}
    found: list[bytes] = []
    for path in sorted(VECTORS.glob(f"{files.get(name, '*')}.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        for entry in document.get("valid", []):
            for field in fields.get(name, ()):
                text = entry.get(field) if isinstance(entry, dict) else None
                if isinstance(text, str):
                    found.append(bytes.fromhex(text))
    if name == "contract":
        library = ROOT / "contracts_py" / "library"
        found += [path.read_bytes() for path in sorted(library.glob("[a-z]*.py"))]
    if name == "json-rpc":
        found += [
            b'{"jsonrpc": "2.0", "id": 1, "method": "%s", "params": {}}' % method.encode()
            for method in ("status", "submit", "call", "state", "block", "transaction")
        ]
        found.append(b"[" + b",".join(found[-2:]) + b"]")
    if name == "config":
        found.append(b'peer_port = 1\nrpc_port = 2\nlog_level = "info"\n')
    return [seed for seed in found if len(seed) <= INPUT_BYTES_MAX][:SEEDS_MAX]


def _inside(name: str, arguments: list[str]) -> int:
    """Be the fuzzer's process."""
    import atheris  # noqa: PLC0415 - only here, and only on Linux

    with atheris.instrument_imports(include=["andon", "consensus", "contracts_py", "node"]):
        from node.testing.fuzz import TARGETS, run  # noqa: PLC0415

    target = TARGETS[name]

    def one(data: bytes) -> None:
        run(target, data)

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
