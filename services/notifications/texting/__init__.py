"""Texting and calling: the accounts of a chain at the provider, from which number a site texts, how fast, and what
happens while an account does not answer.

Nothing here is asked inside a transaction: the intent is committed before.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Literal, Protocol, TypeAlias
from urllib.parse import urlencode
from uuid import UUID

import structlog
from pydantic import BaseModel, Field, SecretStr, TypeAdapter

from chassis.ids import from_wire, to_wire
from chassis.settings import FromEnvironment, read
from chassis.watched import Named, WatchedFile
from services.notifications.domain.sending import Answer
from services.notifications.domain.texting import SendingNumber, Sent
from services.notifications.texting.pacing import Breaker, Pace, TooFast

log = structlog.get_logger()

Ask: TypeAlias = "Callable[[Provider, str], Awaitable[Sent]]"
PATH = "/v1/textingWebhooks/"
RETRIES = "#rc=5&rp=ct,rt,5xx"
"""Asks the provider to send a receipt that we did not take again, up to five times: its connection overrides."""
KEPT_S = 30.0
"""How long an account that has changed stays open for those whom it still answers: longer than any of them waits."""
TOO_FAST, NO_ACCOUNT, NO_VOICE = "TEXTING_TOO_FAST", "TEXTING_NO_ACCOUNT", "TEXTING_NO_VOICE"


class SiteNumber(BaseModel):
    """From what one site texts."""

    sender: str = Field(pattern=r"^(\+[1-9][0-9]{6,14}|[1-9][0-9]{2,7}|MG[0-9a-f]{32})$")
    """A number, a short code, or a messaging service."""
    voice: str = Field(default="", pattern=r"^(|\+[1-9][0-9]{6,14})$")
    """The number that calls come from; empty: `sender`, if that is a number that calls."""

    @property
    def calls_from(self) -> str:
        return self.voice or (self.sender if self.sender.startswith("+") else "")


class TextingAccount(BaseModel):
    """An account with Twilio, of a chain, for sites; ids as on the wire."""

    chain_id: str
    account_sid: str = Field(pattern=r"^AC[0-9a-f]{32}$")
    auth_tokens: tuple[SecretStr, ...] = Field(min_length=1)
    """The first asks. Several while one replaces another: what comes in may be signed with any."""
    sites: dict[str, SiteNumber]
    """By site. A number may serve several; what comes to it from nobody who is known goes to the first."""
    webhook_url: str = Field(pattern=r"^https?://[^/?#]+$")
    """Scheme and host by which the provider reaches our listener: receipts are asked for there, and signed for it."""
    api_url: str | None = None
    """None: Twilio's own. In production: https://…"""
    per_second: float = Field(default=1.0, gt=0, le=1000)
    """Texts from each number: a long code of the United States carries one."""
    account_per_second: float = Field(default=20.0, gt=0, le=10_000)
    """Requests of the account, whatever they send from."""


Accounts = dict[str, TextingAccount]
ACCOUNTS = TypeAdapter(Accounts)


class TextingSettings(FromEnvironment):
    """Told by the environment beside what every service is: secrets are in no table."""

    mode: Literal["production", "development"] = "production"
    texting: Accounts = Field(default_factory=dict)
    """By name, as JSON. The first that names a site is tried first. The name stands in the address of the account's
    webhooks: /v1/textingWebhooks/<name>/status and …/inbound."""
    texting_accounts_file: Path | None = None
    """Further accounts, as JSON in a file, which is read anew when it has changed."""
    texting_listen: str = ""
    """host:port for receipts and replies, over HTTP. Empty: none are listened for."""
    clock: Path | None = None
    """As in chassis.settings, which refuses it in production."""


class PlainProvider(ValueError):
    """A provider would be told numbers and texts, and shown the account's secret, without TLS."""


def checked(accounts: Accounts, mode: str) -> Accounts:
    """In production nothing stands in for a provider."""
    for account in accounts.values():
        if mode == "production" and account.api_url and not account.api_url.startswith("https://"):
            raise PlainProvider("in production mode a texting provider is asked over https only: api_url")
    return accounts


class Provider(Protocol):
    """One account."""

    async def text(self, sender: str, to: str, text: str, callback: str) -> Sent: ...
    async def call(self, sender: str, to: str, text: str, language: str, callback: str) -> Sent: ...
    def verified(self, url: str, body: bytes, signature: str) -> bool: ...
    async def close(self) -> None: ...


class Texting:
    """The accounts: those that are given, and those of a file, as they are now. The provider's library is loaded when
    the first is asked for."""

    def __init__(
        self,
        accounts: Mapping[str, TextingAccount],
        clock: Callable[[], float] = monotonic,
        file: WatchedFile[Accounts] | None = None,
    ) -> None:
        """`clock` is of real time, in seconds."""
        self._clock = clock
        self._accounts = Named(accounts, file, self._let_go)
        self._providers = dict[str, Provider]()
        self._closing, self._over = set[asyncio.Task[None]](), asyncio.Event()
        self._paces = dict[tuple[str, str], Pace]()
        self._breakers = defaultdict[str, Breaker](lambda: Breaker(clock))

    @classmethod
    def told(cls, settings: TextingSettings) -> "Texting":
        mode, path = settings.mode, settings.texting_accounts_file
        file = WatchedFile(path, lambda told: checked(ACCOUNTS.validate_json(told), mode), Accounts()) if path else None
        return cls(checked(settings.texting, mode), file=file)

    @property
    def idle(self) -> bool:
        return self._accounts.none_ever

    def sender_of(self, chain_id: UUID, site_id: UUID) -> SendingNumber | None:
        """Of the first account that serves the site and answers; of the first, where none does. None: no texting."""
        found = list(self._of_site(chain_id, to_wire("site", site_id)))
        answering = ((name, number) for name, number in found if not self._breakers[name].open)
        name, number = next(answering, found[0] if found else ("", None))
        return SendingNumber(name, number.sender, number.calls_from) if number else None

    async def send(self, number: SendingNumber, to_e164: str, text: str, message_id: UUID) -> Sent:
        """A text. Waits for its turn, not long: else it is NOT_NOW."""
        return await self._asked(
            number.account,
            number.sender,
            lambda provider, callback: provider.text(number.sender, to_e164, text, callback),
            message_id,
        )

    async def call(self, number: SendingNumber, to_e164: str, text: str, language: str, message_id: UUID) -> Sent:
        if not number.voice:
            return Sent(Answer.NEVER, NO_VOICE)
        return await self._asked(
            number.account,
            number.voice,
            lambda provider, callback: provider.call(number.voice, to_e164, text, language, callback),
            message_id,
        )

    def senders_beside(self, account: str, sender: str) -> Sequence[str]:
        """All that the sites text from that text from `sender`, in whatever account, itself included: who has no more
        of one is not texted by another when the first does not answer."""
        chain = self._accounts.now[account].chain_id
        sites = {site for site, number in self._accounts.now[account].sites.items() if number.sender == sender}
        others = {
            each.sites[site].sender
            for each in self._accounts.now.values()
            for site in sites
            if each.chain_id == chain and site in each.sites
        }
        return sorted(others | {sender})

    def first_site(self, account: str, sender: str) -> UUID | None:
        """The first that texts from `sender`."""
        named = (site for site, number in self._accounts.now[account].sites.items() if number.sender == sender)
        site = next(named, None)
        return from_wire("site", site) if site else None

    def chain_of(self, account: str) -> UUID:
        return from_wire("chain", self._accounts.now[account].chain_id)

    @property
    def chains(self) -> frozenset[UUID]:
        return frozenset(map(self.chain_of, self._accounts.now))

    def __contains__(self, account: str) -> bool:
        return account in self._accounts.now

    def verified(self, account: str, target: str, body: bytes, signature: str) -> bool:
        """Whether the provider sent `body` to `target`, a path with its query."""
        told = self._accounts.now[account]
        return self._provider(account, told).verified(told.webhook_url + target, body, signature)

    async def close(self) -> None:
        self._over.set()
        await asyncio.gather(*self._closing, *(provider.close() for provider in self._providers.values()))

    def _let_go(self, name: str) -> None:
        """An account that has changed is asked as a new one, at the pace of before."""
        if provider := self._providers.pop(name, None):
            closing = asyncio.create_task(self._close_later(provider))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _close_later(self, provider: Provider) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), KEPT_S)
        await provider.close()

    def _of_site(self, chain_id: UUID, site: str) -> Iterator[tuple[str, SiteNumber]]:
        chain = to_wire("chain", chain_id)
        for name, account in self._accounts.now.items():
            if account.chain_id == chain and site in account.sites:
                yield name, account.sites[site]

    async def _asked(self, name: str, sender: str, ask: Ask, message_id: UUID) -> Sent:
        account = self._accounts.now.get(name)
        if account is None:
            log.error("texting.unknown_account", account=name)
            return Sent(Answer.NOT_NOW, NO_ACCOUNT)
        provider, callback = self._provider(name, account), _callback(name, account, message_id)
        try:
            await self._turn(name, account, sender)
        except TooFast:
            return Sent(Answer.NOT_NOW, TOO_FAST)
        sent = await ask(provider, callback)
        if self._breakers[name].told(failed=sent.answer is Answer.NOT_NOW):
            log.warning("texting.account_away", account=name, code=sent.code)
        return sent

    async def _turn(self, name: str, account: TextingAccount, sender: str) -> None:
        for key, rate in ((name, ""), account.account_per_second), ((name, sender), account.per_second):
            pace = self._paces.get(key)
            if pace is None or pace.per_second != rate:
                pace = self._paces[key] = Pace(rate, self._clock)
            await pace.turn()

    def _provider(self, name: str, account: TextingAccount) -> Provider:
        if name not in self._providers:
            from services.notifications.channels.twilio import Twilio  # Heavy, for those that have an account.

            tokens = [token.get_secret_value() for token in account.auth_tokens]
            self._providers[name] = Twilio(account.account_sid, tokens, account.api_url)
        return self._providers[name]


def _callback(name: str, account: TextingAccount, message_id: UUID) -> str:
    query = urlencode({"message_id": to_wire("message", message_id)})
    return f"{account.webhook_url}{PATH}{name}/status?{query}{RETRIES}"


class OneForAll:
    """The `Texting` of a process: whoever sends holds it, so that all keep one pace, and hear of an account that is
    away from each other. It is made for the first and closed by the last."""

    def __init__(self) -> None:
        self._texting: Texting | None = None
        self._holders = 0

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Texting]:
        texting = self._texting = self._texting or Texting.told(read(TextingSettings))
        self._holders += 1
        try:
            yield texting
        finally:
            self._holders -= 1
            if not self._holders:
                self._texting = None
                await texting.close()


IN_PROCESS = OneForAll()
