"""Webhooks: endpoints, what is added for them, and what a sender does with a delivery under its lease."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    ColumnElement,
    Integer,
    Interval,
    Text,
    Uuid,
    and_,
    any_,
    case,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.etags import StaleEtag
from chassis.ids import new_id, to_wire
from chassis.sql import Statement, param, params, rows
from chassis.store import Store
from chassis.tables import NO_CHAIN, Instant
from services.notifications.domain.webhooks import (
    Delivered,
    Delivery,
    DeliveryStatus,
    DisableReason,
    End,
    Endpoint,
    EndpointStatus,
    Fact,
    GivenUp,
    Taken,
    Target,
    TryAgainLater,
    WebhookDeliveryNotFound,
    WebhookEndpointNotFound,
)
from services.notifications.store.copies import CHAIN, ID
from services.notifications.tables import (
    PENDING,
    site,
    webhook_chain,
    webhook_delivery,
    webhook_endpoint,
)

LAST = datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1)
"""Sorts after every delivery."""
FIRST_ID = UUID(int=0)

_real_now = func.clock_timestamp()
_limit = param("limit", Integer)
_endpoint_id = param("endpoint_id", Uuid)

KEEP_CHAIN = Statement(pg_insert(webhook_chain).values(chain_id=CHAIN).on_conflict_do_nothing())
CHAINS = Statement(select(webhook_chain.c.chain_id).where(CHAIN == NO_CHAIN).order_by(webhook_chain.c.chain_id))

_target = ("url", "description", "event_types", "site_ids")
ADD_ENDPOINT = Statement(
    insert(webhook_endpoint).values(params("chain_id", "id", *_target, "status", "secret", "created_at"))
)
_this = (webhook_endpoint.c.chain_id == CHAIN, webhook_endpoint.c.id == ID)
ENDPOINT = Statement(select(webhook_endpoint).where(*_this))
LOCK_ENDPOINT = Statement(select(webhook_endpoint).where(*_this).with_for_update())
ENDPOINTS = Statement(
    select(webhook_endpoint)
    .where(webhook_endpoint.c.chain_id == CHAIN, webhook_endpoint.c.id > param("after", Uuid))
    .order_by(webhook_endpoint.c.id)
    .limit(_limit)
)
COUNT_ENDPOINTS = Statement(
    select(func.count().label("endpoints")).select_from(webhook_endpoint).where(webhook_endpoint.c.chain_id == CHAIN)
)
SAVE_ENDPOINT = Statement(
    update(webhook_endpoint)
    .where(*_this, webhook_endpoint.c.version == param("seen", Integer))
    .values(
        version=webhook_endpoint.c.version + 1,
        **params(*_target, "status", "disable_reason", "failing_since", "secret", "old_secret"),
        old_secret_until=case(
            (param("overlap", Interval).is_not(None), _real_now + param("overlap", Interval)),
            else_=param("old_secret_until", Instant),
        ),
    )
    .returning(webhook_endpoint.c.old_secret_until)
)
DELETE_ENDPOINT = Statement(
    delete(webhook_endpoint)
    .where(*_this, webhook_endpoint.c.version == param("seen", Integer))
    .returning(webhook_endpoint.c.id)
)
_named = rows("named", site_id=Uuid)
UNKNOWN_SITES = Statement(
    select(_named.c.site_id)
    .outerjoin(site, and_(site.c.chain_id == CHAIN, site.c.id == _named.c.site_id))
    .where(site.c.id.is_(None))
    .order_by(_named.c.site_id)
)

LISTENING = Statement(
    select(webhook_endpoint.c.id, webhook_endpoint.c.site_ids)
    .where(
        webhook_endpoint.c.chain_id == CHAIN,
        webhook_endpoint.c.status != EndpointStatus.DISABLED,
        param("type", Text) == any_(webhook_endpoint.c.event_types),
    )
    .order_by(webhook_endpoint.c.id)
)
_added = rows("added", delivery_id=Uuid, endpoint_id=Uuid, event_id=Uuid, site_id=Uuid, type=Text, payload=Text)
ADD_DELIVERIES = Statement(
    insert(webhook_delivery).from_select(
        ["chain_id", "id", "endpoint_id", "event_id", "site_id", "type", "payload", "status"],
        select(CHAIN, *_added.c, param("status", Text)),
    )
)

_busy = rows("busy", endpoint_id=Uuid, deliveries=Integer)
_free = (
    case((webhook_endpoint.c.failing_since.is_(None), param("of_one", Integer)), else_=1)
    - func.coalesce(_busy.c.deliveries, 0)
)  # fmt: skip
_ripe_of_one = (
    select(webhook_delivery.c.id)
    .where(
        webhook_delivery.c.chain_id == CHAIN,
        webhook_delivery.c.endpoint_id == webhook_endpoint.c.id,
        PENDING,
        webhook_delivery.c.due_at <= _real_now,
    )
    .order_by(webhook_delivery.c.due_at, webhook_delivery.c.id)
    .limit(func.greatest(_free, 0))
    .with_for_update(skip_locked=True)
    .lateral("ripe_of_one")
)
# In no order of endpoints: where not all can be taken, none waits for another's backlog.
_ripe = (
    select(_ripe_of_one.c.id)
    .select_from(
        webhook_endpoint.outerjoin(_busy, _busy.c.endpoint_id == webhook_endpoint.c.id).join(_ripe_of_one, true())
    )
    .where(webhook_endpoint.c.chain_id == CHAIN, webhook_endpoint.c.status == EndpointStatus.ACTIVE)
    .order_by(func.random())
    .limit(_limit)
    .cte("ripe")
)
_leased = (
    update(webhook_delivery)
    .where(webhook_delivery.c.chain_id == CHAIN, webhook_delivery.c.id == _ripe.c.id)
    .values(
        lease_id=param("lease_id"),
        due_at=_real_now + param("hold", Interval),
        attempts=func.least(webhook_delivery.c.attempts + 1, param("attempts_max", Integer)),
    )
    .returning(*(webhook_delivery.c[name] for name in ("id", "endpoint_id", "type", "payload", "attempts")))
    .cte("leased")
)
TAKE = Statement(
    select(
        _leased,
        webhook_endpoint.c.url,
        webhook_endpoint.c.secret,
        case((webhook_endpoint.c.old_secret_until > _real_now, webhook_endpoint.c.old_secret)).label("old_secret"),
        _real_now.label("at"),
    ).join(webhook_endpoint, and_(webhook_endpoint.c.chain_id == CHAIN, webhook_endpoint.c.id == _leased.c.endpoint_id))
)
_held = (
    webhook_delivery.c.chain_id == CHAIN,
    webhook_delivery.c.id == ID,
    webhook_delivery.c.lease_id == param("lease_id", Uuid),
)
"""Whoever lost the lease changes nothing."""
SETTLE = Statement(
    update(webhook_delivery)
    .where(*_held)
    .values(
        status=param("status"),
        last_code=param("last_code"),
        lease_id=null(),
        due_at=_real_now + param("after", Interval),
        delivered_at=case((param("status", Text) == DeliveryStatus.DELIVERED, _real_now)),
    )
    .returning(webhook_delivery.c.id)
)
RELEASE = Statement(
    update(webhook_delivery)
    .where(*_held)
    .values(
        lease_id=null(), due_at=_real_now + param("after", Interval), attempts=webhook_delivery.c.attempts - 1
    )
)  # fmt: skip
HAS_SUCCEEDED = Statement(
    update(webhook_endpoint).where(*_this, webhook_endpoint.c.failing_since.is_not(None)).values(failing_since=null())
)
# Of the URL that was tried: one that came since has not failed.
HAS_FAILED = Statement(
    update(webhook_endpoint)
    .where(
        *_this,
        webhook_endpoint.c.url == param("url", Text),
        webhook_endpoint.c.status != EndpointStatus.DISABLED,
    )
    .values(failing_since=func.coalesce(webhook_endpoint.c.failing_since, _real_now))
    .returning(webhook_endpoint.c.failing_since, _real_now.label("now"))
)
DISABLE = Statement(
    update(webhook_endpoint)
    .where(*_this)
    .values(
        status=EndpointStatus.DISABLED,
        disable_reason=param("disable_reason"),
        version=webhook_endpoint.c.version + 1,
    )
)

_on_its_way = and_(webhook_delivery.c.lease_id.is_not(None), webhook_delivery.c.due_at > _real_now)
_shown = (webhook_delivery, func.coalesce(_on_its_way, False).label("on_its_way"))
# Of one that is deleted nothing is shown.
_of_endpoint = and_(webhook_endpoint.c.chain_id == CHAIN, webhook_endpoint.c.id == webhook_delivery.c.endpoint_id)
DELIVERY = Statement(
    select(*_shown)
    .join(webhook_endpoint, _of_endpoint)
    .where(webhook_delivery.c.chain_id == CHAIN, webhook_delivery.c.id == ID)
)
_status = param("status", Text)
DELIVERIES = Statement(
    select(*_shown)
    .where(
        webhook_delivery.c.chain_id == CHAIN,
        webhook_delivery.c.endpoint_id == _endpoint_id,
        or_(_status.is_(None), webhook_delivery.c.status == _status),
        tuple_(webhook_delivery.c.created_at, webhook_delivery.c.id)
        < tuple_(param("before", Instant), param("before_id", Uuid)),
    )
    .order_by(webhook_delivery.c.created_at.desc(), webhook_delivery.c.id.desc())
    .limit(_limit)
)


def _again(ids: ColumnElement[bool]) -> Statement:
    return Statement(
        update(webhook_delivery)
        .where(webhook_delivery.c.chain_id == CHAIN, ids)
        .values(
            status=DeliveryStatus.PENDING, attempts=0, due_at=_real_now, lease_id=null(), delivered_at=null()
        )
        .returning(webhook_delivery.c.id)
    )  # fmt: skip


_failed = (
    select(webhook_delivery.c.id)
    .where(
        webhook_delivery.c.chain_id == CHAIN,
        webhook_delivery.c.endpoint_id == _endpoint_id,
        webhook_delivery.c.created_at >= param("since", Instant),
        or_(
            webhook_delivery.c.status == DeliveryStatus.FAILED,
            and_(PENDING, webhook_delivery.c.attempts > 0, ~_on_its_way),
        ),
    )
    .order_by(webhook_delivery.c.created_at, webhook_delivery.c.id)
    .limit(_limit)
    .with_for_update(skip_locked=True)
)
AGAIN = _again(and_(webhook_delivery.c.id == ID, func.coalesce(~_on_its_way, True)))
FAILED_AGAIN = _again(webhook_delivery.c.id == any_(func.array(_failed.scalar_subquery(), type_=ARRAY(Uuid))))


class WebhookStore(Store):
    async def webhook_chains(self) -> list[UUID]:
        """All that ever had an endpoint, for a call of NO_CHAIN; none for any other."""
        return [row["chain_id"] for row in await self.rows(CHAINS)]

    async def count_endpoints(self) -> int:
        row = await self.row(COUNT_ENDPOINTS)
        assert row
        endpoints: int = row["endpoints"]
        return endpoints

    async def unknown_sites(self, site_ids: Sequence[UUID]) -> list[UUID]:
        return [row["site_id"] for row in await self.rows(UNKNOWN_SITES, site_id=site_ids)]

    async def add_endpoint(self, new: Endpoint) -> None:
        await self.rows(KEEP_CHAIN)
        await self.rows(
            ADD_ENDPOINT,
            id=new.id,
            status=new.status,
            secret=new.secret,
            created_at=new.created_at,
            **_columns(new.target),
        )

    async def endpoint(self, endpoint_id: UUID) -> Endpoint:
        return _endpoint(await self.row(ENDPOINT, id=endpoint_id), endpoint_id)

    async def lock_endpoint(self, endpoint_id: UUID) -> Endpoint:
        """As it stays until the transaction ends."""
        return _endpoint(await self.row(LOCK_ENDPOINT, id=endpoint_id), endpoint_id)

    async def endpoints(self, after: UUID, limit: int) -> list[Endpoint]:
        return [_endpoint(row, row["id"]) for row in await self.rows(ENDPOINTS, after=after, limit=limit)]

    async def save_endpoint(self, changed: Endpoint, *, overlap: timedelta | None = None) -> datetime | None:
        """Of the version that was seen. With `overlap` the old secret signs along for so long; until when, is told."""
        row = await self.row(
            SAVE_ENDPOINT,
            id=changed.id,
            seen=changed.version,
            status=changed.status,
            disable_reason=changed.disable_reason,
            failing_since=changed.failing_since,
            secret=changed.secret,
            old_secret=changed.old_secret,
            old_secret_until=changed.old_secret_until,
            overlap=overlap,
            **_columns(changed.target),
        )
        if row is None:
            raise StaleEtag()
        until: datetime | None = row["old_secret_until"]
        return until

    async def delete_endpoint(self, endpoint_id: UUID, seen: int) -> None:
        if await self.row(DELETE_ENDPOINT, id=endpoint_id, seen=seen) is None:
            raise StaleEtag()

    async def listening(self, fact: str) -> list[tuple[UUID, frozenset[UUID]]]:
        """The endpoints that are told of a type of event, and the sites to which each is confined, if to any."""
        return [(row["id"], frozenset(row["site_ids"])) for row in await self.rows(LISTENING, type=fact)]

    async def add_deliveries(self, told: Sequence[tuple[UUID, Fact]]) -> list[UUID]:
        """Of each fact to an endpoint."""
        ids = [new_id() for _ in told]
        await self.rows(
            ADD_DELIVERIES,
            status=DeliveryStatus.PENDING,
            delivery_id=ids,
            endpoint_id=[endpoint_id for endpoint_id, _ in told],
            event_id=[fact.event_id for _, fact in told],
            site_id=[fact.site_id for _, fact in told],
            type=[fact.type for _, fact in told],
            payload=[fact.payload for _, fact in told],
        )
        return ids

    async def take_webhooks(
        self, limit: int, of_one: int, busy: Mapping[UUID, int], hold: timedelta, attempts_max: int
    ) -> list[Taken]:
        """Leases up to `limit` that are due, and of one endpoint no more than `of_one` with the `busy` ones; of one
        that fails, one at a time. An attempt counts when it is begun."""
        lease_id = new_id()
        found = await self.rows(
            TAKE,
            limit=limit,
            of_one=of_one,
            endpoint_id=list(busy),
            deliveries=list(busy.values()),
            hold=hold,
            lease_id=lease_id,
            attempts_max=attempts_max,
        )
        return [_taken(row, lease_id) for row in found]

    async def settle_webhook(self, taken: Taken, end: End) -> bool:
        """Whether it was still the caller's to settle."""
        status, after = _status_after(end)
        row = await self.row(
            SETTLE, id=taken.id, lease_id=taken.lease_id, status=status, last_code=end.code, after=after
        )
        return row is not None

    async def release_webhook(self, taken: Taken, after: timedelta) -> None:
        """As if the attempt had not been begun."""
        await self.rows(RELEASE, id=taken.id, lease_id=taken.lease_id, after=after)

    async def endpoint_succeeded(self, endpoint_id: UUID) -> None:
        await self.rows(HAS_SUCCEEDED, id=endpoint_id)

    async def endpoint_failed(self, endpoint_id: UUID, url: str) -> tuple[datetime, datetime] | None:
        """Since when it fails, and now; None: it is disabled, deleted or elsewhere by now."""
        row = await self.row(HAS_FAILED, id=endpoint_id, url=url)
        return (row["failing_since"], row["now"]) if row else None

    async def disable_endpoint(self, endpoint_id: UUID, reason: DisableReason) -> None:
        await self.rows(DISABLE, id=endpoint_id, disable_reason=reason)

    async def delivery(self, delivery_id: UUID) -> Delivery:
        row = await self.row(DELIVERY, id=delivery_id)
        if row is None:
            raise WebhookDeliveryNotFound(webhook_delivery_id=to_wire("webhookdelivery", delivery_id))
        return _delivery(row)

    async def deliveries(
        self, endpoint_id: UUID, status: DeliveryStatus | None, before: tuple[datetime, UUID], limit: int
    ) -> list[Delivery]:
        """The latest first."""
        instant, id = before
        found = await self.rows(
            DELIVERIES, endpoint_id=endpoint_id, status=status, before=instant, before_id=id, limit=limit
        )
        return [_delivery(row) for row in found]

    async def send_again(self, delivery_id: UUID) -> int:
        return len(await self.rows(AGAIN, id=delivery_id))

    async def send_failed_again(self, endpoint_id: UUID, since: datetime, limit: int) -> int:
        return len(await self.rows(FAILED_AGAIN, endpoint_id=endpoint_id, since=since, limit=limit))


def _columns(target: Target) -> dict[str, object]:
    return {
        "url": target.url,
        "description": target.description,
        "event_types": list(target.event_types),
        "site_ids": list(target.site_ids),
    }


def _endpoint(row: Record | None, endpoint_id: UUID) -> Endpoint:
    if row is None:
        raise WebhookEndpointNotFound(webhook_endpoint_id=to_wire("webhookendpoint", endpoint_id))
    return Endpoint(
        id=row["id"],
        target=Target(row["url"], row["description"], tuple(row["event_types"]), tuple(row["site_ids"])),
        status=EndpointStatus(row["status"]),
        disable_reason=DisableReason(row["disable_reason"]) if row["disable_reason"] else None,
        failing_since=row["failing_since"],
        secret=row["secret"],
        old_secret=row["old_secret"],
        old_secret_until=row["old_secret_until"],
        created_at=row["created_at"],
        version=row["version"],
    )


def _status_after(end: End) -> tuple[DeliveryStatus, timedelta]:
    match end:
        case Delivered():
            return DeliveryStatus.DELIVERED, timedelta()
        case GivenUp():
            return DeliveryStatus.FAILED, timedelta()
        case TryAgainLater(after):
            return DeliveryStatus.PENDING, after


def _taken(row: Record, lease_id: UUID) -> Taken:
    return Taken(
        id=row["id"],
        lease_id=lease_id,
        endpoint_id=row["endpoint_id"],
        type=row["type"],
        payload=row["payload"],
        attempts=row["attempts"],
        url=row["url"],
        secrets=(row["secret"], row["old_secret"]) if row["old_secret"] else (row["secret"],),
        at=row["at"],
    )


def _delivery(row: Record) -> Delivery:
    return Delivery(
        id=row["id"],
        endpoint_id=row["endpoint_id"],
        event_id=row["event_id"],
        type=row["type"],
        site_id=row["site_id"],
        status=DeliveryStatus(row["status"]),
        attempts=row["attempts"],
        last_code=row["last_code"],
        created_at=row["created_at"],
        due=row["due_at"],
        on_its_way=row["on_its_way"],
        delivered_at=row["delivered_at"],
        payload=row["payload"],
    )
