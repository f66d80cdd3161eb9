"""How a message becomes a letter, a text, a call or a line in an inbox: written, and ready to be handed over."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol
from uuid import UUID

from chassis.call import Call
from chassis.db import Database
from chassis.ids import to_wire
from chassis.keyring import KeyMissing
from services.notifications.channels.bounces import return_path
from services.notifications.channels.email import AddressUnusable, Invitation, Letter, Mailer, compose, domain_of
from services.notifications.domain.contacts import Contact
from services.notifications.domain.documents import Document
from services.notifications.domain.kinds import Channel, MessageKind
from services.notifications.domain.links import PATHS, link_for
from services.notifications.domain.messages import PassedOver, Reason, TemplateRef
from services.notifications.domain.sending import Answer, Taken, Way
from services.notifications.domain.templates import NOT_ESSENTIAL, WITH_INVITATION, OwnTemplate
from services.notifications.domain.texting import EVERY_SENDER, Sent
from services.notifications.settings import NotificationsSettings
from services.notifications.store import NotificationsStore
from services.notifications.texting import Texting
from services.notifications.texting.keys import NUMBER, address_key, message_keys
from services.notifications.use_cases.links import make_link
from services.notifications.wording import BrokenTemplate, Templates, Written, said_once, words_of

KEPT_S, KEPT_MAX = 5.0, 10_000
"""How long, and how many, texts of chains' own are remembered."""
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message that is written and only waits for its intent to be committed."""

    template: TemplateRef
    hand_over: Callable[[], Awaitable[Sent]]
    address_key: bytes | None = None
    """Of the address that it goes to. None: it goes to none, or nobody could tell whether one is suppressed."""
    sender: str = EVERY_SENDER
    """The number that it is sent from: whoever opted out did so of that one."""
    line: Written | None = None
    """For an inbox."""


@dataclass(frozen=True, slots=True)
class Enclosed:
    """What goes out with a message, by email only."""

    others: Sequence[Taken]
    """That stand in the same letter."""
    documents: Sequence[Document]
    """That come with it."""


class Carrier(Protocol):
    async def pack(
        self, call: Call, taken: Taken, contact: Contact, way: Way, enclosed: Enclosed
    ) -> Parcel | PassedOver:
        """Or why this channel cannot carry it."""
        ...


class Mail:
    def __init__(self, mailer: Mailer, settings: NotificationsSettings, writing: "Writing") -> None:
        self._mailer, self._writing = mailer, writing
        self._mail_from, self._takes_back = settings.mail_from, bool(settings.mail_bounces_listen)

    async def pack(
        self, call: Call, taken: Taken, contact: Contact, way: Way, enclosed: Enclosed
    ) -> Parcel | PassedOver:
        assert way.to
        try:
            if enclosed.others:
                written = await self._writing.write_digest(call, [taken, *enclosed.others], contact)
            else:
                attached = bool(enclosed.documents)
                written = await self._writing.write(call, taken, contact, Channel.EMAIL, attached=attached)
            mail = compose(self._letter(call, taken, way.to.value, written, enclosed.documents))
        except AddressUnusable:
            return PassedOver(Channel.EMAIL, Reason.NO_EMAIL_ADDRESS, "ADDRESS_UNUSABLE")
        except (BrokenTemplate, ValueError) as error:
            return PassedOver(Channel.EMAIL, Reason.TEMPLATE_BROKEN, type(error).__name__)

        comes_back_to = self._return_path(call, taken)

        async def hand_over() -> Sent:
            return Sent(*await self._mailer.send(replace(mail, sender=comes_back_to)))

        return Parcel(written.template, hand_over, _key(call, way.to.value))

    def _return_path(self, call: Call, taken: Taken) -> str:
        if not self._takes_back:
            return self._mail_from
        try:
            return return_path(call.chain_id, taken.id, domain_of(self._mail_from), message_keys().digest)
        except KeyMissing:
            return self._mail_from

    def _letter(
        self, call: Call, taken: Taken, recipient: str, written: Written, documents: Sequence[Document]
    ) -> Letter:
        return Letter(
            sender=self._mail_from,
            sender_name=taken.site.discreet_name,
            recipient=recipient,
            subject=written.subject,
            text=written.text,
            message_id=to_wire("message", taken.id),
            language=written.template.language,
            written=call.now,
            html=written.html,
            invitation=_invitation(taken) if taken.kind in WITH_INVITATION else None,
            attachments=documents,
            unsubscribe=f"mailto:{self._mail_from}?subject=unsubscribe" if taken.kind in NOT_ESSENTIAL else None,
        )


def _invitation(taken: Taken) -> Invitation | None:
    """What is heard of later has the higher number."""
    if taken.visit is None:
        return None
    visit, site = taken.visit, taken.site
    return Invitation(
        uid=to_wire("visit", visit.id),
        sequence=int((taken.timing.anchor_at - EPOCH).total_seconds()),
        start=visit.start,
        end=visit.end,
        summary=site.discreet_name,
        location="Online" if visit.telehealth else site.address,
        cancelled=taken.kind is MessageKind.VISIT_CANCELLED,
    )


class Phone:
    """Texts, or calls that read the text out: `channel` says which."""

    def __init__(self, channel: Channel, texting: Texting, writing: "Writing") -> None:
        self._channel, self._texting, self._writing = channel, texting, writing

    async def pack(
        self, call: Call, taken: Taken, contact: Contact, way: Way, enclosed: Enclosed
    ) -> Parcel | PassedOver:
        assert way.to
        to, number = way.to.value, self._texting.sender_of(call.chain_id, taken.site.id)
        if number is None or (self._channel is Channel.VOICE and not number.voice):
            return PassedOver(self._channel, Reason.NO_SENDING_NUMBER)
        if not NUMBER.fullmatch(to):
            return PassedOver(self._channel, Reason.NO_PHONE_NUMBER, "ADDRESS_UNUSABLE")
        try:
            written, key = (
                await self._writing.write(call, taken, contact, self._channel),
                address_key(call.chain_id, to),
            )
        except BrokenTemplate as error:
            return PassedOver(self._channel, Reason.TEMPLATE_BROKEN, type(error).__name__)
        except KeyMissing:
            return PassedOver(self._channel, Reason.NO_SENDING_NUMBER, "KEY_MISSING")

        async def hand_over() -> Sent:
            if self._channel is Channel.SMS:
                return await self._texting.send(number, to, written.text, taken.id)
            return await self._texting.call(number, to, written.text, written.template.language, taken.id)

        return Parcel(written.template, hand_over, key, number.sender)


class Inbox:
    """Lines in the inbox of the chain's front ends: put there by `finish`, with the word that they are."""

    def __init__(self, writing: "Writing") -> None:
        self._writing = writing

    async def pack(
        self, call: Call, taken: Taken, contact: Contact, way: Way, enclosed: Enclosed
    ) -> Parcel | PassedOver:
        try:
            written = await self._writing.write(call, taken, contact, Channel.IN_APP)
        except BrokenTemplate as error:
            return PassedOver(Channel.IN_APP, Reason.TEMPLATE_BROKEN, type(error).__name__)

        async def hand_over() -> Sent:
            return Sent(Answer.TAKEN, "IN_APP")

        return Parcel(written.template, hand_over, line=written)


def _key(call: Call, address: str) -> bytes | None:
    """Without a file of keys nobody can be found among the suppressed, and mail goes out all the same."""
    try:
        return address_key(call.chain_id, address)
    except KeyMissing:
        return None


class Writing:
    """Texts of the chain and the site, else those that are shipped."""

    def __init__(self, db: Database, templates: Templates) -> None:
        self._db, self._templates = db, templates
        self._kept: dict[tuple[object, ...], tuple[float, OwnTemplate | None]] = {}

    async def write_digest(self, call: Call, letter: Sequence[Taken], contact: Contact) -> Written:
        """An email in which all of them stand. Of each it says what its inbox line would, as far as an email may."""
        said, language, first = list[str](), contact.language, letter[0]
        for each in letter:
            own = await self._own(call, each.kind, each.site.id, language, Channel.IN_APP)
            words = words_of(each, contact, await self._link(call, each))
            said.append(self._templates.piece(each.kind, language, words, own))
        kind, words = MessageKind.DAILY_DIGEST, replace(words_of(first, contact, None), news=said_once(said))
        own = await self._own(call, kind, first.site.id, language, Channel.EMAIL)
        return self._templates.write(kind, Channel.EMAIL, language, words, own)

    async def write(
        self, call: Call, taken: Taken, contact: Contact, channel: Channel, *, attached: bool = False
    ) -> Written:
        own = await self._own(call, taken.kind, taken.site.id, contact.language, channel)
        words = words_of(taken, contact, await self._link(call, taken), attached=attached)
        return self._templates.write(taken.kind, channel, contact.language, words, own)

    async def _link(self, call: Call, taken: Taken) -> str | None:
        link = link_for(taken, call.now) if taken.policy.link_base_url else None
        if link is None:
            return None
        try:
            sign = message_keys().digest
            token = await self._db.job(call, NotificationsStore, lambda store: make_link(store, link, sign))
        except KeyMissing:
            return None
        return f"{taken.policy.link_base_url}{PATHS[link.purpose]}/{token}"

    async def _own(
        self, call: Call, kind: MessageKind, site_id: UUID, language: str, channel: Channel
    ) -> OwnTemplate | None:
        """As it was within the last seconds: a transaction for each message would cost more than sending it."""
        place = call.chain_id, kind, channel, language, site_id
        until, own = self._kept.get(place, (0.0, None))
        if monotonic() >= until:
            own = await self._db.job(
                call,
                NotificationsStore,
                lambda store: store.own_template(kind, channel, language, site_id),
            )
            if len(self._kept) >= KEPT_MAX:
                self._kept.clear()
            self._kept[place] = monotonic() + KEPT_S, own
        return own


def carriers_of(
    db: Database, mailer: Mailer, settings: NotificationsSettings, templates: Templates, texting: Texting
) -> Mapping[Channel, Carrier]:
    writing = Writing(db, templates)
    return {
        Channel.EMAIL: Mail(mailer, settings, writing),
        Channel.SMS: Phone(Channel.SMS, texting, writing),
        Channel.VOICE: Phone(Channel.VOICE, texting, writing),
        Channel.IN_APP: Inbox(writing),
    }
