# ruff: noqa: T201 - what it prints is its result
"""Run hostile payloads in this process and print one verdict a line; started by the tests.

Usage: runner.py [--apart] FILE...   Each line: id, verdict, gas, milliseconds to check, to run,
bytes that the call held at most (only with --apart). A verdict is `refused RULE LINE`,
`failed CODE LINE`, or `value HEX`.
With --apart each payload has a process of its own, bounded in memory, processor time and wall time,
and what dies there is `killed SIGNAL`. Two lines follow: digests over what generated programs and
the descriptions of the standard contracts give. `test_hostile.py --worst` prints the slowest and
the largest.
"""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import sys
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from andon.core.codec import encode_arguments, encode_value  # noqa: E402
from contracts_py.engine import Context, ContractRefused, Engine, Mode, Outcome  # noqa: E402
from contracts_py.engine.memory_host import MemoryHost  # noqa: E402
from contracts_py.library import names, source  # noqa: E402
from node.testing.oracle.programs import integer_program, value_program  # noqa: E402

GAS_LIMIT = 20_000_000
MEMORY_BYTES_MAX = 512 * 1024 * 1024
CPU_S_MAX = 5
WALL_S_MAX = 20
SLOW_MS = 10.0
CHECKS_MAX = 12
GROWN_KIB_MAX = 4096
REPLY_BYTES_MAX = 4096
PRELUDE = """balances = Map(key=str, value=any)
total = Var(int, default=0)
Transfer = Event(x=any)
"""
HEAD = "@export\ndef f(a: int):\n"
ACCOUNT = b"a" * 32
PROGRAMS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One block of a corpus file."""

    identity: str
    kind: str
    expect: str
    text: str

    def source(self) -> bytes:
        """The contract that carries the payload."""
        if self.kind == "gen":
            made = eval(self.text, {"__builtins__": {"range": range}})
            assert isinstance(made, str)
            return made.encode("utf-8", "surrogatepass")
        if self.kind == "module":
            return (PRELUDE + self.text).encode("utf-8", "surrogatepass")
        if self.kind == "expr":
            return (PRELUDE + HEAD + f"    return ({self.text})\n").encode("utf-8", "surrogatepass")
        body = "".join(f"    {line}\n" for line in self.text.splitlines())
        return (PRELUDE + HEAD + body).encode("utf-8", "surrogatepass")


def payloads(path: Path) -> Iterator[Payload]:
    """Read a corpus file."""
    for block in path.read_text(encoding="utf-8").split("\n### ")[1:]:
        head, _, text = block.partition("\n")
        identity, _, kind, expect, _ = [part.strip() for part in head.split("|", 4)]
        yield Payload(identity=identity, kind=kind, expect=expect, text=text.strip("\n"))


def run(payload: Payload) -> str:
    """Check, then call; gives the line of output."""
    host, source = MemoryHost(), payload.source()
    checks = [checked(source)]
    while min(spent for _, _, spent in checks) > SLOW_MS and len(checks) < CHECKS_MAX:
        # What else the machine does can only add: a slow verdict is asked for again.
        # Processor time would be the better clock, but some kernels count it in ticks of 4 ms.
        checks.append(checked(source))
    engine, verdict, _ = checks[0]
    spent = min(spent for _, _, spent in checks)
    if verdict:
        return f"{payload.identity}\t{verdict}\t0\t{spent:.2f}\t0"
    began = time.perf_counter()
    outcome = called(engine, host, source)
    ran = time.perf_counter()
    if outcome.failure is None:
        verdict = f"value {outcome.result.hex()[:200]}"
    else:
        verdict = f"failed {outcome.failure.code} {outcome.failure.line}"
        assert not host.state, "a failed call leaves nothing"
        assert not host.events, "a failed call leaves nothing"
    times = f"{spent:.2f}\t{(ran - began) * 1000:.2f}"
    return f"{payload.identity}\t{verdict}\t{outcome.gas_used}\t{times}"


def called(engine: Engine, host: MemoryHost, source: bytes) -> Outcome:
    """Call the method that every payload stands in."""
    host.sources["hostile"] = source
    context = Context(
        chain_id="test", height=7, time_ms=1_000, sender=ACCOUNT, transaction_id=b"t" * 32
    )
    args = encode_value({"a": 1})
    return engine.execute(host, context, "hostile", "f", args, GAS_LIMIT, mode=Mode.CALL)


def held(source: bytes, grown_kib: int) -> int:
    """Bytes that the call held at most: the growth of the process, or exactly if that was large.

    Growth counts pages and what checking left behind; tracing counts what allocators gave to the
    call, and takes several times as long.
    """
    engine, verdict, _ = checked(source)
    if verdict or grown_kib <= GROWN_KIB_MAX:
        return grown_kib * 1024
    host = MemoryHost()
    tracemalloc.start()
    called(engine, host, source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def checked(source: bytes) -> tuple[Engine, str, float]:
    """Check with a fresh engine; gives it, the refusal or nothing, and milliseconds."""
    engine, verdict = Engine(), ""
    began = time.perf_counter()
    try:
        engine.check(source)
    except ContractRefused as refusal:
        verdict = f"refused {refusal.rule} {refusal.line}"
    return engine, verdict, (time.perf_counter() - began) * 1000


def run_apart(payload: Payload) -> str:
    """Run in a child that the kernel stops at its bounds; gives the line, or how the child died."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S_MAX, CPU_S_MAX))
        signal.alarm(WALL_S_MAX)
        before = peak_kib()
        line = run(payload)
        line += f"\t{held(payload.source(), peak_kib() - before)}"
        os.write(sending, line.encode()[:REPLY_BYTES_MAX])
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        told = pipe.read(REPLY_BYTES_MAX)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        return told.decode()
    how = os.WTERMSIG(status) if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
    return f"{payload.identity}\tkilled {how}\t0\t0\t0\t0"


def main() -> None:
    """Run all payloads of the files."""
    is_apart = sys.argv[1] == "--apart"
    if not is_apart:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    for name in sys.argv[1 + is_apart :]:
        for payload in payloads(Path(name)):
            print(run_apart(payload) if is_apart else f"{run(payload)}\t0", flush=True)
    print(f"programs\t{programs_digest()}\t0\t0\t0\t0", flush=True)
    print(f"library\t{library_digest()}\t0\t0\t0\t0", flush=True)
    print(f"peak\t{peak_kib()}", flush=True)


def programs_digest() -> str:
    """Over results, gas and failures of generated programs: what receipts are made of."""
    engine, found = Engine(), hashlib.sha256()
    context = Context(
        chain_id="test", height=7, time_ms=1_000, sender=ACCOUNT, transaction_id=b"t" * 32
    )
    for seed in range(PROGRAMS):
        program = integer_program(seed) if seed % 2 else value_program(seed)
        host = MemoryHost(sources={"c": program.source.encode()})
        args = encode_arguments({"a": program.a, "b": program.b})
        outcome = engine.execute(host, context, "c", "f", args, 300_000, mode=Mode.CALL)
        failure = outcome.failure
        told = "" if failure is None else f"{failure.code} {failure.line} {failure.message}"
        found.update(encode_value([outcome.ok, outcome.result, outcome.gas_used, told]))
    return found.hexdigest()


def library_digest() -> str:
    """Over the descriptions, with static gas bounds, of the standard contracts."""
    engine, found = Engine(), hashlib.sha256()
    for name in names():
        found.update(encode_value(engine.check(source(name)).abi()))
    return found.hexdigest()


def peak_kib() -> int:
    """Peak memory of this process; `ru_maxrss` would carry over the parent's from before exec."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
