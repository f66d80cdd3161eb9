"""Webhooks to the chain's own systems: what they say, who signs them, where they may go, the job that sends them."""

from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from chassis.settings import FromEnvironment


class WebhookSettings(FromEnvironment):
    """Told by the environment beside what every service is."""

    mode: Literal["development", "production"] = "production"
    message_keys_file: Path | None = None
    """Keys that secrets are encrypted with: see services.notifications.webhooks.secrets."""
    webhook_allow_loopback: bool = False
    """Whether webhooks may go to this machine, without TLS too. Refused in production."""

    @model_validator(mode="after")
    def _production_sends_outside_only(self) -> Self:
        if self.webhook_allow_loopback and self.mode == "production":
            raise ValueError("ATOLL_WEBHOOK_ALLOW_LOOPBACK is refused in production mode")
        return self
