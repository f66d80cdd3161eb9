"""What the provider tells notifications: receipts and replies, signed as Twilio signs them."""

import base64
import hashlib
import hmac
import time
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from deploy.local.texts.keys import ACCOUNT
from deploy.local.texts.provider import IN_VAIN, NOT_TAKEN, RECEIVED, Said, TextProvider

ANSWER_S = 5.0
IDLE_S = 0.1
TRIES_MAX, AGAIN_S = 5, 2.0
"""How often a receipt is told that nobody takes in, and after how long again: so often as notifications asks Twilio."""


def signed(url: str, fields: Mapping[str, str], token: str) -> tuple[bytes, str]:
    """Its body and signature: https://www.twilio.com/docs/usage/security#validating-requests."""
    text = url + "".join(name + fields[name] for name in sorted(fields))
    mac = hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()
    return urlencode(fields).encode(), base64.b64encode(mac).decode()


class Teller:
    def __init__(self, provider: TextProvider, webhook_url: str) -> None:
        """`webhook_url`: scheme and host of notifications' listener."""
        self._provider, self._webhook_url = provider, webhook_url
        self._tries = dict[str, int]()
        self._not_before = dict[str, float]()

    def reply(self, ours: str, theirs: str, body: str) -> None:
        """Somebody texts a site: kept with what came of it."""
        said = self._provider.add("reply", ours, theirs, body, "sending")
        fields = {"MessageSid": said.sid, "From": theirs, "To": ours, "Body": body, "NumMedia": "0"}
        fields |= {"AccountSid": self._provider.keys.account_sid}
        answered = self._tell(f"{self._webhook_url}/v1/textingWebhooks/{ACCOUNT}/inbound", fields)
        self._provider.mark(said.sid, RECEIVED if answered == HTTPStatus.OK else NOT_TAKEN)

    def tell_all(self) -> None:
        """Receipts, until the process ends, whatever goes wrong with one: nobody would start it anew."""
        while True:
            try:
                if not self.tell_some():
                    time.sleep(IDLE_S)
            except Exception:
                traceback.print_exc()
                time.sleep(AGAIN_S)

    def tell_some(self) -> int:
        """The next receipt of each that has one and need not wait; how many those were. One that nobody takes in is
        left in the end, and holds up no other."""
        now = time.monotonic()
        due = [said for said in self._provider.unfinished() if self._not_before.get(said.sid, now) <= now]
        for said in due:
            self._tell_next(said)
        return len(due)

    def _tell_next(self, said: Said) -> None:
        status, of_text = str(said.next_status), said.kind == "text"
        fields = {"MessageSid" if of_text else "CallSid": said.sid, "To": said.theirs, "From": said.ours}
        fields |= {"MessageStatus" if of_text else "CallStatus": status}
        fields |= {"AccountSid": self._provider.keys.account_sid}
        fields |= {"ErrorCode": said.error_code} if status in IN_VAIN.values() else {}
        tries = self._tries[said.sid] = self._tries.get(said.sid, 0) + 1
        if self._tell(said.callback, fields) == HTTPStatus.OK or tries >= TRIES_MAX:
            self._provider.mark(said.sid, status)
            self._tries.pop(said.sid)
            self._not_before.pop(said.sid, None)
        else:
            self._not_before[said.sid] = time.monotonic() + AGAIN_S

    def _tell(self, url: str, fields: Mapping[str, str]) -> int:
        """The status of the answer; 0: there was none."""
        body, signature = signed(url, fields, self._provider.keys.auth_token)
        headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
        try:
            with urlopen(Request(url, body, headers), timeout=ANSWER_S) as answer:  # noqa: S310  # Of this machine.
                return int(answer.status)
        except HTTPError as error:
            return error.code
        except (OSError, HTTPException, ValueError):
            return 0
