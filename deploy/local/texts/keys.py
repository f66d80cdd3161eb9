"""The account at the local provider: made once for a home, in the shapes of Twilio's."""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.local.files import write_whole
from deploy.local.process import LocalError

ACCOUNT = "local"
"""Its name, which stands in the address of its webhooks."""


@dataclass(frozen=True, slots=True)
class TextKeys:
    account_sid: str
    auth_token: str
    """Asks for texts, and signs what the provider tells."""

    @classmethod
    def of(cls, folder: Path) -> "TextKeys":
        path = folder / "keys.json"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(asdict(cls(f"AC{secrets.token_hex(16)}", secrets.token_hex(16)))))
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise LocalError(f"{path} holds no keys: remove it, and new ones are made") from error
