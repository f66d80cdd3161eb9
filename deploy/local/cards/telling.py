"""Webhooks, signed as Stripe signs them, sent until they are taken in."""

import hashlib
import hmac
import json
import time
from http import HTTPStatus
from http.client import HTTPException
from urllib.request import Request, urlopen

from deploy.local.cards.processor import Object

ANSWER_S = 5.0


def signed(event: Object, secret: str, *, age_s: int = 0) -> tuple[bytes, str]:
    """Its body, and the header that it comes with: https://docs.stripe.com/webhooks#verify-manually."""
    body, at = json.dumps(event).encode(), int(time.time()) - age_s
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return body, f"t={at},v1={mac}"


def told(event: Object, secret: str, url: str) -> bool:
    """Whether whoever it was sent to took it in."""
    body, signature = signed(event, secret)
    headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
    try:
        with urlopen(Request(url, body, headers), timeout=ANSWER_S) as answer:  # noqa: S310  # An address of the stack.
            return bool(answer.status == HTTPStatus.OK)
    except (OSError, HTTPException):
        return False
