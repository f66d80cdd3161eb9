"""What patients is told by its environment beside what every service is."""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from chassis.keyring import KeyMissing, KeyRing
from chassis.settings import FromEnvironment, Settings

RECORD_KEYS = "ATOLL_RECORD_KEYS_FILE"
"""The variable of `record_keys_file`."""


class _Keys(FromEnvironment):
    record_keys_file: Path
    """Keys that texts of records are sealed with: see chassis.keyring."""

    @model_validator(mode="after")
    def _there_is_a_key(self) -> Self:
        try:
            KeyRing(self.record_keys_file).current()
        except KeyMissing as error:
            raise ValueError(f"{RECORD_KEYS} names a file without usable keys: {self.record_keys_file}") from error
        return self


class PatientsSettings(Settings, _Keys):
    pass


class _Chains(FromEnvironment):
    sealer_database_url: str
    """As the role that sees the audit trail of every chain: it tells which there are."""


class ResealSettings(_Keys, _Chains):
    """Of the command that seals texts anew."""

    owner_database_url: str
    """As the role that owns the tables: the service's own changes no history."""


class RecountSettings(_Chains):
    """Of the commands that tell anew what has become of consents, and who has died."""

    database_url: str
    """As the service's own role."""
