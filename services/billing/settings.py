"""What billing is told by its environment beside what every service is."""

from pathlib import Path

from chassis.settings import Settings

DOCUMENT_KEYS = "ATOLL_DOCUMENT_KEYS_FILE"
"""The variable of `document_keys_file`."""


class BillingSettings(Settings):
    patients_address: str
    """host:port of the patients service, which knows who documents are about."""
    patients_tls_name: str = ""
    """What its certificate is called, if not as the host of its address. With TLS only."""
    document_keys_file: Path
    """Keys that documents are encrypted with: see chassis.keyring."""
