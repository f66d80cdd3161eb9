"""What notifications is told by its environment beside what every service is."""

from pathlib import Path

from pydantic import Field

from chassis.settings import Settings

MESSAGE_KEYS = "ATOLL_MESSAGE_KEYS_FILE"
"""The variable of `message_keys_file`."""


class NotificationsSettings(Settings):
    patients_address: str
    """host:port of the patients service, which knows where to reach whom."""
    patients_tls_name: str = ""
    """What its certificate is called, if not as the host of its address. With TLS only."""
    billing_address: str = ""
    """host:port of the billing service, whose documents are attached to emails. Empty: none is."""
    billing_tls_name: str = ""
    """As `patients_tls_name`."""
    smtp_host: str = "127.0.0.1"
    smtp_port: int = Field(default=25, ge=1, le=65535)
    """The relay that mail is handed to. It signs (DKIM) and delivers; STARTTLS is used where it offers it."""
    mail_from: str = Field(default="notices@example.org", pattern=r"^[^@\s]+@[^@\s]+$")
    """Address that messages come from."""
    mail_bounces_listen: str = Field(default="", pattern=r"^$|^\S+:\d+$")
    """host:port where mail that could not be delivered comes back by SMTP, from the relay or whatever server takes mail
    for the domain of `mail_from`; nobody else should reach it. Each letter then has a return path of its own there, if
    there are message keys. Empty: what comes back goes to `mail_from`, and nobody here hears of it."""
    message_keys_file: Path | None = None
    """Keys that replies and the numbers they come from are encrypted with, and one for digests of addresses, which is
    never replaced: see chassis.keyring. Not needed where nothing is texted, no email has a link, and no opt-out is
    recorded."""
    reply_retention_days: int = Field(default=548, ge=30, le=3660)
    """How long is kept what replies say, from which number, and who was texted where: eighteen months."""
