"""Runs Python blocks of a page as `python -m asyncio` would: one after another, in one loop, with `await` at the top.

Reads the path of a file a line: the block, beside its environment as `env -0` writes it. Ends each with a marker.
"""

import ast
import asyncio
import builtins
import inspect
import os
import sys
from pathlib import Path
from types import CodeType, FunctionType

MARK = "\x1e"


async def main() -> None:
    names: dict[str, object] = {"__name__": "__main__", "__builtins__": builtins}
    for line in iter(sys.stdin.readline, ""):
        running = FunctionType(compiled(Path(line.strip())), names)()
        if inspect.isawaitable(running):
            await running
        print(MARK, flush=True)


def compiled(block: Path) -> CodeType:
    """Once it is in the environment that the shell is in now."""
    pairs = block.with_suffix(".env").read_text().split("\0")
    os.environ.update({name: value for name, _, value in (pair.partition("=") for pair in pairs) if name})
    code = compile(block.read_text(), block.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(code, CodeType)
    return code


asyncio.run(main())
