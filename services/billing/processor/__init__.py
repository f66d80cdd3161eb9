"""A card processor: what it is asked, what it tells, and the accounts that a chain has with it.

Nothing here is asked inside a transaction. What is asked is committed before, and what is told after: see `asking`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, Protocol
from uuid import UUID

import structlog
from pydantic import BaseModel, Field, SecretStr, TypeAdapter

from chassis.ids import from_wire, to_wire
from chassis.money import Money
from chassis.settings import FromEnvironment
from chassis.watched import Named, WatchedFile
from services.billing.domain.cards import CardCharge
from services.billing.domain.refunds import RefundPart, RefundState
from services.billing.domain.sites import Site

log = structlog.get_logger()


class Away(Exception):
    """No answer, or none that says what happened: ask again."""


class Declined(Exception):
    """The processor did not do it. `code` says why."""

    def __init__(self, code: str, intent_id: str | None = None) -> None:
        super().__init__(code)
        self.code, self.intent_id = code, intent_id


@dataclass(frozen=True, slots=True)
class CardToken:
    customer: str
    payment_method: str
    brand: str
    last4: str
    expiry_month: int
    expiry_year: int


@dataclass(frozen=True, slots=True)
class Intent:
    """Money asked of a card, as the processor has it."""

    id: str
    our_id: UUID | None
    status: str
    received: Money
    client_secret: str = ""
    failure: str = ""
    token: CardToken | None = None


@dataclass(frozen=True, slots=True)
class RefundTold:
    id: str
    our_id: UUID | None
    state: RefundState
    failure: str = ""


@dataclass(frozen=True, slots=True)
class DisputeTold:
    id: str
    intent_id: str
    status: str
    reason: str
    amount: Money


@dataclass(frozen=True, slots=True)
class PayoutLineTold:
    """`kind` is what `about` is the id of: intent, refund, dispute, or anything else."""

    transaction: str
    type: str
    kind: str
    about: str
    amount: Money
    fee: Money


@dataclass(frozen=True, slots=True)
class PayoutTold:
    id: str
    status: str
    amount: Money
    arrival_date: date
    lines: Sequence[PayoutLineTold]


class Processor(Protocol):
    """One account. Each call may raise Away; those that ask for something, Declined."""

    async def create_customer(self, our_id: UUID) -> str: ...
    async def create_intent(self, charge: CardCharge, customer: str) -> Intent: ...
    async def intent(self, intent_id: str) -> Intent: ...
    async def find_intent(self, our_id: UUID) -> Intent | None: ...
    async def cancel_intent(self, intent_id: str) -> Intent: ...
    async def create_refund(self, part: RefundPart, intent_id: str) -> RefundTold: ...
    async def refund(self, refund_id: str) -> RefundTold: ...
    async def find_refund(self, our_id: UUID, intent_id: str) -> RefundTold | None: ...
    async def dispute(self, dispute_id: str) -> DisputeTold: ...
    async def payout(self, payout_id: str) -> PayoutTold: ...
    async def detach(self, payment_method: str) -> None: ...
    def verified(self, payload: bytes, signature: str) -> bool: ...


class ProcessorAccount(BaseModel):
    """An account with Stripe, of a chain, for sites or for whole legal entities; ids as on the wire."""

    chain_id: str
    secret_key: SecretStr
    webhook_secrets: tuple[SecretStr, ...] = ()
    """Several while one replaces another."""
    site_ids: frozenset[str] = frozenset()
    legal_entity_ids: frozenset[str] = frozenset()
    api_url: str | None = None
    """None: Stripe's own."""


Accounts = dict[str, ProcessorAccount]
ACCOUNTS = TypeAdapter(Accounts)


class ProcessorSettings(FromEnvironment):
    """Told by the environment beside what every service is: secrets are in no table."""

    mode: Literal["production", "development"] = "production"
    processors: Accounts = Field(default_factory=dict)
    """By name, as JSON. The name stands in the address of the account's webhooks: /v1/processorWebhooks/<name>."""
    processors_file: Path | None = None
    """Further accounts, as JSON in a file, which is read anew when it has changed."""
    webhook_listen: str = ""
    """host:port for webhooks, over HTTP. Empty: none are listened for."""


class PlainProcessor(ValueError):
    """A processor would be asked, and shown the secret key, without TLS."""


def checked(accounts: Accounts, mode: str) -> Accounts:
    """In production nothing stands in for a processor."""
    for account in accounts.values():
        if mode == "production" and account.api_url and not account.api_url.startswith("https://"):
            raise PlainProcessor("in production mode a card processor is asked over https only: api_url")
    return accounts


class Processors:
    """The accounts: those that are given, and those of a file, as they are now. A processor's library is loaded when
    the first is asked for."""

    def __init__(self, accounts: Mapping[str, ProcessorAccount], file: WatchedFile[Accounts] | None = None) -> None:
        self._made = dict[str, Processor]()
        self._accounts = Named(accounts, file, lambda name: self._made.pop(name, None))

    @classmethod
    def told(cls, settings: ProcessorSettings) -> "Processors":
        mode, path = settings.mode, settings.processors_file
        file = WatchedFile(path, lambda told: checked(ACCOUNTS.validate_json(told), mode), Accounts()) if path else None
        return cls(checked(settings.processors, mode), file)

    def account_of(self, chain_id: UUID, site: Site) -> str | None:
        """The site's own, else its legal entity's."""
        chain = to_wire("chain", chain_id)
        mine = {name: account for name, account in self._accounts.now.items() if account.chain_id == chain}
        site_id, legal_entity_id = to_wire("site", site.id), to_wire("legalentity", site.legal_entity_id)
        own = (name for name, account in mine.items() if site_id in account.site_ids)
        shared = (name for name, account in mine.items() if legal_entity_id in account.legal_entity_ids)
        return next(own, None) or next(shared, None)

    @property
    def chains(self) -> frozenset[UUID]:
        return frozenset(from_wire("chain", account.chain_id) for account in self._accounts.now.values())

    def chain_of(self, name: str) -> UUID | None:
        account = self._accounts.now.get(name)
        return from_wire("chain", account.chain_id) if account else None

    def __getitem__(self, name: str) -> Processor:
        """One that no settings tell of any more is away until they do."""
        account = self._accounts.now.get(name)
        if account is None:
            log.error("processor.unknown_account", account=name)
            raise Away()
        if name not in self._made:
            from services.billing.processor.stripe import Stripe  # Some 30 MB, for those that have an account.

            self._made[name] = Stripe(account)
        return self._made[name]

    def __contains__(self, name: str) -> bool:
        return name in self._accounts.now
