"""What the provider tells over HTTP, on a port of its own, which an ingress sends there: receipts and replies.

Whoever sends one proves by its signature that they are the provider: it has no token of ours. It is answered once what
it asks for is committed; one that comes again has no effect. What a reply says, and from which number, is encrypted
before it goes anywhere.
"""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import structlog

from chassis.call import Call
from chassis.clock import Clock
from chassis.db import Database
from chassis.errors import DomainError
from chassis.http_door import HttpAnswer, HttpDoor, HttpRequest
from chassis.ids import BadId, from_wire, new_id
from chassis.jobs import job_call
from chassis.keyring import KeyMissing
from services.notifications.domain.replies import understand
from services.notifications.domain.texting import Receipt
from services.notifications.store import NotificationsStore
from services.notifications.texting import PATH, Texting
from services.notifications.texting.keys import address_key, message_keys
from services.notifications.use_cases import texting as use_cases

log = structlog.get_logger()

SID, STATUS, CODE = re.compile(r"[A-Z]{2}[0-9a-f]{32}"), re.compile(r"[a-z_-]{1,30}"), re.compile(r"[0-9]{0,10}")
NUMBER, SAID_MAX = re.compile(r"\+?[0-9]{3,15}"), 2000
DONE = HttpAnswer(200, b"<Response/>", "text/xml")
"""TwiML that does nothing: what is to be answered goes out by itself."""
Fields = Mapping[str, str]


class Listener:
    def __init__(self, db: Database, texting: Texting, clock: Clock, listen: str) -> None:
        """The clock is of business time: what is said now holds from now."""
        self._db, self._texting, self._clock = db, texting, clock
        self._door = HttpDoor(listen, self.receive)

    @property
    def port(self) -> int:
        return self._door.port

    async def open(self) -> None:
        await self._door.open()

    async def close(self) -> None:
        await self._door.close()
        await self._texting.close()

    async def receive(self, request: HttpRequest) -> HttpAnswer:
        """The provider sends again what gets a 5xx, if it was asked to."""
        parts = urlsplit(request.target)
        account, _, what = parts.path.removeprefix(PATH).partition("/")
        take = {"status": self._receipt, "inbound": self._reply}.get(what)
        if request.method != "POST" or not parts.path.startswith(PATH) or account not in self._texting or not take:
            return HttpAnswer(404)
        signature = request.headers.get("x-twilio-signature", "")
        if not self._texting.verified(account, request.target, request.body, signature):
            log.info("texting.refused", account=account, reason="BAD_SIGNATURE")
            return HttpAnswer(403)
        fields = dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
        try:
            await take(account, fields, dict(parse_qsl(parts.query)))
        except (KeyError, ValueError, BadId):
            return HttpAnswer(400)
        except (DomainError, KeyMissing) as error:
            log.error("texting.not_taken", account=account, error=getattr(error, "reason", type(error).__name__))
            return HttpAnswer(503)
        return DONE

    async def _receipt(self, account: str, fields: Fields, query: Fields) -> None:
        told = fields["MessageStatus"] if "MessageSid" in fields else fields["CallStatus"]
        provider_id = fields["MessageSid"] if "MessageSid" in fields else fields["CallSid"]
        receipt = Receipt(
            account=account,
            provider_id=_whole(SID, provider_id),
            status=_whole(STATUS, told),
            message_id=from_wire("message", query["message_id"]) if "message_id" in query else None,
            error_code=_whole(CODE, fields.get("ErrorCode", "")),
            at=self._clock(),
        )
        chain_id = self._texting.chain_of(account)
        key = address_key(chain_id, _whole(NUMBER, fields["To"])) if "MessageSid" in fields else None
        senders = self._texting.senders_beside(account, _sender(fields, fields.get("From", "")))
        await self._db.job(
            self._call(chain_id, "receipts"),
            NotificationsStore,
            lambda store: use_cases.receive_receipt(store, receipt, key, senders),
        )
        log.info("texting.receipt", account=account, provider_id=provider_id, status=told, code=receipt.error_code)

    async def _reply(self, account: str, fields: Fields, query: Fields) -> None:
        chain_id, provider_id, id = self._texting.chain_of(account), _whole(SID, fields["MessageSid"]), new_id()
        phone, said = _whole(NUMBER, fields["From"]), fields["Body"][:SAID_MAX]
        sender, keys = _sender(fields, fields["To"]), message_keys()
        site_id = self._texting.first_site(account, sender)
        if site_id is None:
            raise ValueError  # No site texts from it.
        command = use_cases.ReceiveReply(
            id=id,
            account=account,
            provider_id=provider_id,
            sender=sender,
            senders=self._texting.senders_beside(account, sender),
            site_id=site_id,
            address_key=address_key(chain_id, phone),
            understood=understand(said),
            phone=keys.seal(phone.encode(), "phone", id),
            said=keys.seal(said.encode(), "said", id),
        )
        await self._db.job(
            self._call(chain_id, "replies"), NotificationsStore, lambda store: use_cases.receive_reply(store, command)
        )
        log.info("texting.reply", account=account, provider_id=provider_id, meaning=command.understood.meaning)

    def _call(self, chain_id: UUID, what: str) -> Call:
        return job_call("notifications", what, chain_id, self._clock())


def _sender(fields: Fields, number: str) -> str:
    """A messaging service, where it went through one."""
    return fields.get("MessagingServiceSid") or number


def _whole(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError
    return text
