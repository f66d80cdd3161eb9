"""Keys of the local processor: made once for a home, with the prefixes by which people know what a key is for."""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.local.files import write_whole
from deploy.local.process import LocalError


@dataclass(frozen=True, slots=True)
class CardKeys:
    publishable: str
    """May be in any page: with it, and an intent's secret, a card is entered."""
    secret: str
    webhook: str

    @classmethod
    def of(cls, folder: Path) -> "CardKeys":
        path = folder / "keys.json"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            random = [secrets.token_hex(12) for _ in range(3)]
            made = cls(f"pk_test_{random[0]}", f"sk_test_{random[1]}", f"whsec_{random[2]}")
            write_whole(path, json.dumps(asdict(made)))
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise LocalError(f"{path} holds no keys: remove it, and new ones are made") from error
