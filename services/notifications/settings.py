"""What notifications is told by its environment beside what every service is."""

from pydantic import Field

from chassis.settings import Settings


class NotificationsSettings(Settings):
    patients_address: str
    """host:port of the patients service, which knows where to reach whom."""
    smtp_host: str = "127.0.0.1"
    smtp_port: int = Field(default=25, ge=1, le=65535)
    """The relay that mail is handed to. It signs (DKIM) and delivers; STARTTLS is used where it offers it."""
    mail_from: str = Field(default="notices@example.org", pattern=r"^[^@\s]+@[^@\s]+$")
    """Address that messages come from."""
