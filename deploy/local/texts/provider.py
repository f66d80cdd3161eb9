"""What a provider of texts has and does: Twilio's answers, what was said to and from each number, and how far it came.

Shapes are those of https://www.twilio.com/docs/messaging/api/message-resource and /docs/voice/api/call-resource, with
the fields that anybody here uses. No network: each change is a line more in one file, from which all is read again.
"""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from xml.etree import ElementTree

from deploy.local.files import whole_lines
from deploy.local.texts.keys import TextKeys

KEPT_MAX = 20_000
"""Older ones are let go when the file is next read."""
BODY_MAX = 1_600
"""Characters of a text, as with Twilio: 21617 beyond."""
NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")

# https://www.twilio.com/docs/iam/test-credentials: the numbers to which Twilio's own test credentials refuse a text.
REFUSED = {
    "+15005550001": (21211, "is no number"),
    "+15005550002": (21612, "cannot be reached from here"),
    "+15005550003": (21408, "is in a region that is not allowed"),
    "+15005550004": (21610, "is blocked: it opted out"),
    "+15005550009": (21614, "takes no texts"),
}
UNDELIVERED = {"+15005550030": (30003, "is switched off"), "+15005550050": (30005, "is not known to its carrier")}
"""Of ours: what is taken and then does not arrive."""
AFTER = {
    "text": {"queued": "sent", "sent": "delivered"},
    "call": {"queued": "in-progress", "in-progress": "completed"},
}
"""What each receipt says, after what."""
IN_VAIN = {"delivered": "undelivered", "completed": "failed"}
"""What the last one says, where nobody was reached."""
RECEIVED, NOT_TAKEN = "received", "not taken in"
"""Of a reply."""
Answer = tuple[int, dict[str, object]]


@dataclass(frozen=True, slots=True)
class Said:
    """A text or a call to somebody, or a text from them."""

    sid: str
    kind: str
    """text, call, or reply: from them."""
    ours: str
    """The number of a site."""
    theirs: str
    body: str
    at: str
    """Of real time, as ISO 8601 has it."""
    status: str
    callback: str = ""
    error_code: str = ""

    @property
    def next_status(self) -> str | None:
        """What the next receipt says; None: it is over."""
        found = AFTER.get(self.kind, {}).get(self.status) if self.callback else None
        return IN_VAIN.get(found, found) if found and self.error_code else found


class TextProvider:
    """Threads may share it."""

    def __init__(self, folder: Path) -> None:
        self.keys = TextKeys.of(folder)
        self._file, self._lock = folder / "said.jsonl", Lock()
        self._said = dict[str, Said]()
        lines = whole_lines(self._file)
        for line in lines:
            each = Said(**json.loads(line))
            self._said[each.sid] = each
        self._shorten(len(lines))
        self._unfinished = {each.sid: each for each in self._said.values() if each.next_status}

    def conversations(self) -> list[list[Said]]:
        """By the numbers at both ends, the one with the latest word first; in each the first word first."""
        found = dict[tuple[str, str], list[Said]]()
        for each in self._everything():
            found.setdefault((each.ours, each.theirs), []).append(each)
        return sorted(found.values(), key=lambda said: said[-1].at, reverse=True)

    def conversation(self, ours: str, theirs: str) -> Sequence[Said]:
        return [each for each in self._everything() if (each.ours, each.theirs) == (ours, theirs)]

    def unfinished(self) -> Sequence[Said]:
        """Of which receipts are still to be told, the first said first."""
        with self._lock:
            return list(self._unfinished.values())

    def take(self, path: str, form: Mapping[str, str]) -> Answer:
        """What Twilio answers to a request with the account's own token."""
        base = f"/2010-04-01/Accounts/{self.keys.account_sid}"
        kind = {f"{base}/Messages.json": "text", f"{base}/Calls.json": "call"}.get(path)
        if kind is None:
            return refusal(HTTPStatus.NOT_FOUND, 20404, "there is no such resource")
        to, ours = form.get("To", ""), form.get("From", "")
        body = form.get("Body", "") if kind == "text" else spoken(form.get("Twiml", ""))
        if not NUMBER.fullmatch(to) or to in REFUSED:
            code, why = REFUSED.get(to, (21211, "is no number"))
            status = HTTPStatus.FORBIDDEN if code == 21408 else HTTPStatus.BAD_REQUEST
            return refusal(status, code, f"{to} {why}")
        if not NUMBER.fullmatch(ours):
            return refusal(HTTPStatus.BAD_REQUEST, 21603, "it says from no number")
        if not body or len(body) > BODY_MAX:
            message = f"it has {len(body)} characters, of at most {BODY_MAX}"
            return refusal(HTTPStatus.BAD_REQUEST, 21617 if body else 21602, message)
        callback, fault = form.get("StatusCallback", "").partition("#")[0], UNDELIVERED.get(to)
        error = str(fault[0]) if fault else ""
        said = self.add(kind, ours, to, body, "queued", callback=callback, error_code=error)
        return HTTPStatus.CREATED, {"sid": said.sid, "status": said.status, "to": to, "from": ours, "error_code": None}

    def add(self, kind: str, ours: str, theirs: str, body: str, status: str, **more: str) -> Said:
        sid = f"{'CA' if kind == 'call' else 'SM'}{secrets.token_hex(16)}"
        said = Said(sid, kind, ours, theirs, body, datetime.now(UTC).isoformat(), status, **more)
        self._keep(said)
        return said

    def mark(self, sid: str, status: str) -> None:
        self._keep(replace(self._said[sid], status=status))

    def _keep(self, said: Said) -> None:
        with self._lock:
            with self._file.open("a") as file:
                file.write(json.dumps(asdict(said)) + "\n")
            self._said[said.sid] = said
            self._unfinished.pop(said.sid, None)
            if said.next_status:
                self._unfinished[said.sid] = said

    def _everything(self) -> Sequence[Said]:
        with self._lock:
            return list(self._said.values())

    def _shorten(self, lines: int) -> None:
        """To one line for each, of the latest."""
        kept = list(self._said.values())[-KEPT_MAX:]
        if lines > len(kept):
            draft = self._file.with_suffix(".draft")
            draft.write_text("".join(json.dumps(asdict(each)) + "\n" for each in kept))
            draft.replace(self._file)
            self._said = {each.sid: each for each in kept}


def spoken(twiml: str) -> str:
    """What a call says, each sentence once."""
    try:
        said = [each.text or "" for each in ElementTree.fromstring(twiml).iter("Say")]  # noqa: S314  # Notifications'.
    except ElementTree.ParseError:
        return ""
    return " ".join(dict.fromkeys(said))


def refusal(status: int, code: int, message: str) -> Answer:
    return status, {"code": code, "message": message, "more_info": "", "status": status}
