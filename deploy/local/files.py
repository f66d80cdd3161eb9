"""Files that are there whole or not at all, whenever whoever writes them is killed."""

import os
from pathlib import Path


def write_whole(path: Path, text: str, mode: int = 0o600) -> None:
    """Readers see what was there before, or all of `text`."""
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)  # One that is left may be for all to read.
    draft.touch(mode=mode)
    draft.write_text(text)
    draft.replace(path)


def whole_lines(path: Path) -> list[bytes]:
    """Of a file that grows by lines. One that was cut off is taken away: the next would be written behind it."""
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return whole.splitlines()
