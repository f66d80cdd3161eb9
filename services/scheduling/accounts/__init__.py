"""How systems of a chain prove who they are: the keys that sign their tokens, and the endpoint that hands those out."""

from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from chassis.settings import FromEnvironment


class AccountSettings(FromEnvironment):
    """Told by the environment beside what every service is. With none of it, no service account gets a token."""

    mode: Literal["development", "production"] = "production"
    account_keys_file: Path | None = None
    """See services.scheduling.accounts.keys."""
    account_issuer: str = ""
    """The `iss` of the tokens: the public address of the API, which services and the edge are told to trust."""
    token_listen: str = ""
    """host:port where the edge finds the token endpoint, over HTTP. Empty: there is none."""

    @model_validator(mode="after")
    def _names_itself(self) -> Self:
        if self.token_listen and not self.account_issuer:
            raise ValueError("ATOLL_TOKEN_LISTEN needs ATOLL_ACCOUNT_ISSUER")
        if self.token_listen and self.mode == "production" and not self.account_issuer.startswith("https://"):
            raise ValueError(f"{self.account_issuer} is no issuer for production")
        return self
