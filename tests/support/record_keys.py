"""Keys that texts of records are sealed with in tests."""

import base64
import hashlib
import json
from pathlib import Path


def write_keys(path: Path, *names: str) -> None:
    """The last is the current one. A key of one name is the same everywhere."""
    keys = {name: base64.b64encode(hashlib.sha256(name.encode()).digest()).decode() for name in names}
    path.write_text(json.dumps({"current": names[-1], "keys": keys}))
