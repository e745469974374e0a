"""Check the documentation against the tree: links, names, generated pages and runnable blocks.

Run by `make docs`; `--no-run` leaves the runnable blocks out. Prints every finding as
`path:line: rule` and exits 1 if there is one. Pages are every Markdown file of the repository.

A block is run if the line before its fence is `<!-- run -->`. A `python` block is a program of its
own. In a `console` block the lines with `$ ` are shell commands; what stands below a command must
be its output, where `...` stands for any text. Both run in the root of the checkout.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click

from andon.cli.main import cli
from andon.core.errors import Code
from scripts import api_page, errors_page

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (
    "andon",
    "consensus",
    "contracts_py",
    "docker",
    "docs",
    "models",
    "node",
    "scripts",
    "tests",
)
SOURCES = (".py", ".toml", ".yaml", ".yml", ".json", ".service", ".conf", ".sh")
BLOCK_TIMEOUT_S = 300
RUN_MARK = "<!-- run -->"

FENCE = re.compile(r"^(?P<indent>\s*)(?P<marks>`{3,})(?P<language>[\w-]*)\s*$")
HEADING = re.compile(r"^#{1,6} (?P<title>.+?)\s*#*$")
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)(?: \"[^\"]*\")?\)")
CODE_SPAN = re.compile(r"`([^`]+)`")
MAKE_TARGET = re.compile(r"(?:^|[\s(&;])make ([a-z][a-z-]*)(?=[\s);&]|$)")
ERROR_CODE = re.compile(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)` \((\d+)\)")
METRIC = re.compile(r"^(?:andon|cometbft)_[a-z0-9_]+$")
CONSTANT = re.compile(r"^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+$")
PATH = re.compile(rf"^(?P<path>(?:{'|'.join(FOLDERS)})/[\w./*<>-]*)(?:::(?P<name>\w+))?$")
SHELL_WORDS = ("|", ">", "<", "&&", "||", ";", "#", "\\", "...")
RULE = re.compile(r"^[a-z-]+:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `line` is that of the first content line."""

    language: str
    line: int
    text: str
    is_runnable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A Markdown file, split into what is prose and what is code.

    `prose` has one entry a line of the file; lines inside fences are empty there.
    """

    path: Path
    prose: tuple[str, ...]
    blocks: tuple[Block, ...]


def main(arguments: list[str] | None = None) -> int:
    """Check every page; 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(description="check the documentation")
    parser.add_argument("--no-run", action="store_true", help="do not run the tagged blocks")
    parser.add_argument("--only", default="", help="check only pages whose path contains this")
    options = parser.parse_args(arguments)
    pages = [read_page(path) for path in page_paths(ROOT) if options.only in path.as_posix()]
    findings = [line for page in pages for line in check_page(page)]
    findings += [*errors_page.findings(ROOT), *api_page.findings(ROOT)]
    ran = 0
    if not options.no_run:
        for page in pages:
            for block in page.blocks:
                if block.is_runnable:
                    findings += run_block(page, block)
                    ran += 1
    for line in findings:
        print(line)
    print(f"docs: {len(findings)} findings in {len(pages)} pages, {ran} blocks run")
    return 1 if findings else 0


def page_paths(root: Path) -> list[Path]:
    """Markdown files of the checkout, without hidden and built folders."""
    found = [*root.glob("*.md")]
    for folder in FOLDERS:
        found += (root / folder).rglob("*.md")
    return sorted(found)


def read_page(path: Path) -> Page:
    """Split one file into prose and blocks."""
    prose: list[str] = []
    blocks: list[Block] = []
    content: list[str] = []
    opened: re.Match[str] | None = None
    is_runnable = False
    before = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        fence = FENCE.match(line)
        if opened is None and fence is not None:
            opened, content, is_runnable = fence, [], before.strip() == RUN_MARK
            prose.append("")
        elif opened is not None and fence is not None and fence["marks"] == opened["marks"]:
            first = len(prose) + 1 - len(content)
            text = "".join(f"{item.removeprefix(opened['indent'])}\n" for item in content)
            blocks.append(Block(opened["language"], first, text, is_runnable))
            opened = None
            prose.append("")
        elif opened is not None:
            content.append(line)
            prose.append("")
        else:
            prose.append(line)
        before = line
    return Page(path=path, prose=tuple(prose), blocks=tuple(blocks))


def check_page(page: Page) -> Iterator[str]:
    """Findings of one page that need no command to be run."""
    name = display_name(page.path)
    for number, line in enumerate(page.prose, start=1):
        for rule in [
            *check_links(page, CODE_SPAN.sub("", line)),
            *check_targets(line),
            *check_error_codes(line),
            *(rule for span in CODE_SPAN.findall(line) for rule in check_span(span)),
            *(rule for span in CODE_SPAN.findall(line) for rule in check_verbs(span)),
        ]:
            yield f"{name}:{number}: {rule}"
    for block in page.blocks:
        for offset, line in enumerate(block.text.splitlines()):
            for rule in [*check_targets(line), *check_verbs(line.removeprefix("$ "))]:
                yield f"{name}:{block.line + offset}: {rule}"
        if block.is_runnable and block.language not in ("python", "console"):
            yield f"{name}:{block.line}: only python and console blocks can be run"


def check_links(page: Page, line: str) -> Iterator[str]:
    """Links inside the repository lead to a file and to a heading that exist."""
    for link in LINK.finditer(line):
        target, _, anchor = link["target"].partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        path = (page.path.parent / target).resolve() if target else page.path
        if not path.is_relative_to(ROOT) and not path.is_relative_to(page.path.parent):
            yield f"link {link['target']} leaves the repository"
        elif not path.exists():
            yield f"link to {link['target']}: no such file"
        elif anchor and path.suffix == ".md" and anchor not in anchors(path):
            yield f"link to {link['target']}: no such heading"


def check_targets(line: str) -> Iterator[str]:
    """Every make target that a code span or a command names is one of the Makefile."""
    commands = [line] if line.lstrip().startswith(("$ ", "make ")) else CODE_SPAN.findall(line)
    for target in (target for command in commands for target in MAKE_TARGET.findall(command)):
        if target not in make_targets():
            yield f"make {target}: no such target"


def check_error_codes(line: str) -> Iterator[str]:
    """A name with its number, as `SIGN_REFUSED` (604), is that code of the catalogue."""
    for name, number in ERROR_CODE.findall(line):
        if name not in Code.__members__:
            yield f"error code {name} does not exist"
        elif Code[name].value != int(number):
            yield f"error code {name} is {Code[name].value}, not {number}"


def check_span(span: str) -> Iterator[str]:
    """Names and paths in code spans exist in the tree."""
    if METRIC.match(span) and span not in metric_names():
        yield f"`{span}` is no metric of a node or gateway"
    if CONSTANT.match(span) and span not in Code.__members__ and span not in source_names():
        yield f"`{span}` is neither an error code nor a name in the sources"
    path = PATH.match(span)
    if path is None or "<" in span:
        return
    files = sorted(ROOT.glob(path["path"].rstrip("/")))
    if not files:
        yield f"`{span}`: no such file"
    elif path["name"] and f"def {path['name']}(" not in files[0].read_text(encoding="utf-8"):
        yield f"`{span}`: no such function in the file"


def check_verbs(command: str) -> Iterator[str]:
    """A command that starts with `andon` uses verbs and long options that there are."""
    words = command.split()
    at: click.Command = cli
    if words[:1] != ["andon"]:
        return
    rest = iter(words[1:])
    for word in rest:
        if word in SHELL_WORDS:
            return
        if word.startswith("--"):
            name, _, value = word.partition("=")
            option = next((item for item in at.params if name in item.opts), None)
            if option is None and name not in ("--help", "--version"):
                yield f"`{command.strip()}`: no option {name}"
                return
            if isinstance(option, click.Option) and not option.is_flag and not value:
                next(rest, None)
        elif isinstance(at, click.Group) and not word.isupper():  # VERB is a placeholder
            found = at.get_command(click.Context(at), word)
            if found is None:
                yield f"`{command.strip()}`: no verb {word}"
                return
            at = found


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, by the rule of the usual Markdown hosts."""
    found: dict[str, int] = {}
    result: set[str] = set()
    for line in read_page(path).prose:
        heading = HEADING.match(line)
        if heading is None:
            continue
        title = re.sub(r"[^\w\- ]", "", heading["title"].replace("`", "").lower())
        slug = title.strip().replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        result.add(f"{slug}-{count}" if count else slug)
    return result


@cache
def make_targets() -> frozenset[str]:
    """Targets of the Makefile."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return frozenset(match.rstrip(":") for match in RULE.findall(text))


@cache
def metric_names() -> frozenset[str]:
    """Names of metrics as nodes and gateways write them, counters with `_total`."""
    files = ("node/metrics.py", "andon/gateway/metrics.py", "andon/gateway/watch.py")
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in files)
    names = set(re.findall(r'"((?:andon|cometbft)_[a-z0-9_]+)"', text))
    return frozenset(names | {f"{name}_total" for name in names})


@cache
def source_names() -> frozenset[str]:
    """Upper-case names with an underscore that occur anywhere in the sources."""
    names: set[str] = set()
    files = [ROOT / "Makefile", *ROOT.glob("*.toml"), *(ROOT / "docker").glob("Dockerfile*")]
    for folder in FOLDERS:
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix in SOURCES]
    for path in files:
        text = path.read_text(encoding="utf-8", errors="ignore")
        names.update(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", text))
    return frozenset(names)


def run_block(page: Page, block: Block) -> Iterator[str]:
    """Run a tagged block; a finding for what fails or prints something else."""
    where = f"{display_name(page.path)}:{block.line}"
    if block.language == "python":
        status, output = run([sys.executable, "-W", "error", "-c", block.text])
        if status != 0:
            yield f"{where}: the block fails with {status}:\n{output}"
        return
    for command, expected in console_steps(block.text):
        status, output = run(["bash", "-euo", "pipefail", "-c", command])
        if status != 0:
            yield f"{where}: `{command}` fails with {status}:\n{output}"
            return
        if expected and not re.fullmatch(output_pattern(expected), output.strip()):
            yield f"{where}: `{command}` prints something else:\n{output}"


def console_steps(text: str) -> list[tuple[str, str]]:
    """Pairs of a command and the output that the page shows, in order."""
    steps: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        elif steps and steps[-1][0].endswith("\\"):
            steps[-1] = (f"{steps[-1][0][:-1]} {line.strip()}", [])
        elif steps:
            steps[-1][1].append(line)
    return [(command, "\n".join(lines).strip()) for command, lines in steps]


def output_pattern(expected: str) -> str:
    """Regular expression of an expected output, with `...` for any text."""
    return "(?s:" + ".*?".join(re.escape(part) for part in expected.split("...")) + ")"


def run(command: list[str]) -> tuple[int, str]:
    """Run a command in the checkout, within a time limit; its status and all it printed."""
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PATH": search, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=BLOCK_TIMEOUT_S,
            check=False,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return 124, f"took more than {BLOCK_TIMEOUT_S} s"
    return done.returncode, done.stdout


def display_name(path: Path) -> str:
    """Path as seen from the root of the checkout."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


if __name__ == "__main__":
    sys.exit(main())
