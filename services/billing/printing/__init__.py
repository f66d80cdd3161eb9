"""Documents as PDF: a typst template for each kind, and what it shows as one JSON object."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent


def pdf(template: str, content: Mapping[str, Any], at: datetime) -> bytes:
    """`template` is the stem of a file beside this one; it reads `json(bytes(sys.inputs.content))`.

    The same content and instant give the same bytes. Some tenths of a second: never on the event loop.
    """
    made: bytes = _compiler()(TEMPLATES / f"{template}.typ", dumps(content), at)
    return made


def dumps(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, sort_keys=True)


@cache
def _compiler() -> Any:
    """Loaded when first used: the compiler and its fonts weigh some 80 MB."""
    import typst

    def compiled(template: Path, content: str, at: datetime) -> bytes:
        made = typst.compile(
            template,
            root=TEMPLATES,
            sys_inputs={"content": content},
            ignore_system_fonts=True,
            timestamp=int(at.timestamp()),
        )
        assert isinstance(made, bytes)
        return made

    return compiled
