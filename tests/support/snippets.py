"""Runs the fenced blocks of a page in docs/ as a reader would: in order, each language in one session.

- `bash` blocks share one shell, `python` blocks one program. What the shell exports, Python finds in os.environ.
- `ts` blocks are one module, which Node runs by itself.
- A `text` block says what the block before it prints. `…` stands for anything on its line, and for any lines on a line
  of its own. Of a block without one, it matters only that it succeeds.
- `<!-- not run: why -->` on the line before a block says that it is not run.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.gen import ROOT
from tools.node import MODULES, PROGRAMS

DOCS = ROOT / "docs"
MARK = "\x1e"
PAGES = ("quickstart", "booking", "authentication", "idempotency", "pagination", "time-zones", "money", "streaming")
"""Those that tests/e2e/test_docs.py runs."""
RUN = ("bash", "python", "ts")
NOT_RUN = re.compile(r"<!-- not run: .+ -->")
FENCE = re.compile(r"(?P<before>[^\n]*)\n+```(?P<language>\w*)\n(?P<text>.*?)\n```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    page: str
    line: int
    language: str
    text: str
    run: bool
    prints: str | None = None


def blocks(page: Path) -> list[Block]:
    content, found = page.read_text(), list[Block]()
    for fence in FENCE.finditer(content):
        language, text = fence["language"], fence["text"]
        if language == "text" and found and not fence["before"].startswith("<!--"):
            last = found.pop()
            found.append(Block(last.page, last.line, last.language, last.text, last.run, text))
        else:
            line = content.count("\n", 0, fence.start("text")) + 1
            found.append(Block(page.name, line, language, text, run=not NOT_RUN.fullmatch(fence["before"])))
    return found


def is_as_shown(printed: str, shown: str) -> bool:
    lines = [line.rstrip() for line in shown.split("\n")]
    patterns = (".*" if line == "…" else re.escape(line).replace("…", "[^\n]*") for line in lines)
    tidy = "\n".join(line.rstrip() for line in printed.strip("\n").split("\n"))
    return re.fullmatch("\n".join(patterns), tidy, re.DOTALL) is not None


class Session:
    """The programs that run the blocks of one page. They end with it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._environment = folder, {**os.environ, **environment}
        self._programs = dict[str, "subprocess.Popen[str]"]()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._programs.values():
            program.kill()
            program.communicate()

    def run(self, block: Block) -> str:
        """What it prints. AssertionError: it failed, and how."""
        file = self._folder / f"{block.page}-{block.line}.{block.language}"
        file.write_text(block.text + "\n")
        if block.language == "bash":
            return self._say("bash", f"source {file} </dev/null; printf '{MARK}\\n'", block)
        self._say("bash", f"env -0 > {file.with_suffix('.env')}; printf '{MARK}\\n'", block)
        return self._say("python", str(file), block)

    def _say(self, language: str, line: str, block: Block) -> str:
        program = self._programs.get(language) or self._start(language)
        assert program.stdin
        assert program.stdout
        program.stdin.write(line + "\n")
        program.stdin.flush()
        printed = ""
        for line in program.stdout:
            if line.rstrip("\n").endswith(MARK):
                return printed + line.rstrip("\n").removesuffix(MARK)
            printed += line
        raise AssertionError(f"{block.page}:{block.line} failed\n{block.text}\n\n{printed}")

    def _start(self, language: str) -> "subprocess.Popen[str]":
        commands = {
            "bash": ["bash", "--noprofile", "--norc", "-euo", "pipefail"],
            "python": [sys.executable, "-P", "-u", str(Path(__file__).with_name("python_session.py"))],
        }
        pipe = subprocess.PIPE
        self._programs[language] = program = subprocess.Popen(
            commands[language], stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True,
            cwd=ROOT, env=self._environment,
        )  # fmt: skip
        return program


def run_program(block: Block, folder: Path, environment: Mapping[str, str]) -> str:
    """A Python block by itself, in the project's folder. AssertionError: it failed, and how."""
    file = folder / "program.py"
    file.write_text(block.text)
    return _printed([sys.executable, str(file)], environment)


def run_typescript(page: Path, folder: Path, environment: Mapping[str, str]) -> list[tuple[Block, str]]:
    """Each `ts` block of a page, and what it prints. AssertionError: it failed, and how."""
    modules = folder / "node_modules"
    modules.symlink_to(MODULES)
    found = [block for block in blocks(page) if block.language == "ts" and block.run]
    file = folder / f"{page.stem}.mts"
    file.write_text("\n".join(f'{block.text}\nconsole.log("{MARK}");' for block in found))
    printed = _printed([str(PROGRAMS / "node"), str(file)], environment)
    return list(zip(found, printed.split(f"{MARK}\n")[:-1], strict=True))


def _printed(command: list[str], environment: Mapping[str, str]) -> str:
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout
