"""Webhooks: endpoints made and changed, events told to them, and each step of sending."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from chassis.auth import AccessDenied
from chassis.errors import NotYetKnown
from chassis.etags import StaleEtag
from services.notifications import events
from services.notifications.domain import webhooks as domain
from services.notifications.domain.webhooks import (
    Delivered,
    End,
    Endpoint,
    EndpointStatus,
    Fact,
    Taken,
    Target,
    WebhookEndpointDisabled,
    WebhookEndpointPaused,
    WebhookEndpointsTooMany,
)
from services.notifications.store import NotificationsStore


@dataclass(frozen=True, slots=True)
class ChangeEndpoint:
    id: UUID
    seen: int
    """The version that the caller decided upon."""
    told: Target
    fields: frozenset[str]
    """Those of `told` that count."""


async def create_endpoint(store: NotificationsStore, endpoint_id: UUID, target: Target, sealed: str) -> Endpoint:
    """The caller holds the lock of the chain, so that its endpoints can be counted."""
    _check_reach(store, target.site_ids)
    await _check_sites(store, target.site_ids)
    if await store.count_endpoints() >= domain.ENDPOINTS_MAX:
        raise WebhookEndpointsTooMany(limit=domain.ENDPOINTS_MAX)
    new = Endpoint(
        id=endpoint_id,
        target=target,
        status=EndpointStatus.ACTIVE,
        disable_reason=None,
        failing_since=None,
        secret=sealed,
        old_secret=None,
        old_secret_until=None,
        created_at=store.call.now,
        version=1,
    )
    await store.add_endpoint(new)
    return new


async def change_endpoint(store: NotificationsStore, command: ChangeEndpoint) -> Endpoint:
    """One that goes elsewhere has not failed there."""
    endpoint = await _to_change(store, command.id, command.seen)
    told = {name: getattr(command.told, name) for name in command.fields}
    target = replace(endpoint.target, **told)
    _check_reach(store, target.site_ids)
    await _check_sites(store, target.site_ids if "site_ids" in told else ())
    moved = target.url != endpoint.target.url
    changed = replace(endpoint, target=target, failing_since=None if moved else endpoint.failing_since)
    return await _save(store, changed)


async def delete_endpoint(store: NotificationsStore, endpoint_id: UUID, seen: int) -> None:
    endpoint = await _to_change(store, endpoint_id, seen)
    await store.delete_endpoint(endpoint.id, endpoint.version)


async def rotate_secret(store: NotificationsStore, endpoint_id: UUID, seen: int, sealed: str) -> Endpoint:
    endpoint = await _to_change(store, endpoint_id, seen)
    changed = replace(endpoint, secret=sealed, old_secret=endpoint.secret)
    until = await store.save_endpoint(changed, overlap=domain.OVERLAP)
    return replace(changed, old_secret_until=until, version=changed.version + 1)


async def pause_endpoint(store: NotificationsStore, endpoint_id: UUID) -> Endpoint:
    endpoint = await _to_change(store, endpoint_id)
    if endpoint.status is EndpointStatus.DISABLED:
        raise WebhookEndpointDisabled()
    if endpoint.status is EndpointStatus.PAUSED:
        return endpoint
    return await _save(store, replace(endpoint, status=EndpointStatus.PAUSED))


async def resume_endpoint(store: NotificationsStore, endpoint_id: UUID) -> Endpoint:
    """One that was disabled has another five days to work."""
    endpoint = await _to_change(store, endpoint_id)
    if endpoint.status is EndpointStatus.ACTIVE:
        return endpoint
    resumed = replace(endpoint, status=EndpointStatus.ACTIVE, disable_reason=None, failing_since=None)
    return await _save(store, resumed)


async def send_test(store: NotificationsStore, endpoint_id: UUID, make: Callable[[Endpoint], Fact]) -> UUID:
    """The id of its delivery."""
    endpoint = await _to_change(store, endpoint_id)
    if endpoint.status is EndpointStatus.PAUSED:
        raise WebhookEndpointPaused()
    _check_enabled(endpoint)
    [delivery_id] = await store.add_deliveries([(endpoint.id, make(endpoint))])
    return delivery_id


async def send_again(store: NotificationsStore, delivery_id: UUID) -> int:
    delivery = await store.delivery(delivery_id)
    _check_enabled(await _to_change(store, delivery.endpoint_id))
    return await store.send_again(delivery_id)


async def send_failed_again(store: NotificationsStore, endpoint_id: UUID, since: datetime) -> int:
    _check_enabled(await _to_change(store, endpoint_id))
    return await store.send_failed_again(endpoint_id, since, domain.REDELIVERED_MAX)


async def tell(store: NotificationsStore, fact: str, make: Callable[[], Sequence[Fact]]) -> None:
    """Events of one type go to those endpoints that are told of it; where there is none, they are not even written."""
    listening = await store.listening(fact)
    if not listening:
        return
    told = [
        (endpoint_id, each)
        for each in make()
        for endpoint_id, site_ids in listening
        if not site_ids or each.site_id in site_ids
    ]
    if told:
        await store.add_deliveries(told)


async def end_attempt(store: NotificationsStore, taken: Taken, end: End) -> None:
    """What came of a delivery's attempt, and what that says of its endpoint."""
    if not await store.settle_webhook(taken, end):
        return
    if isinstance(end, Delivered):
        await store.endpoint_succeeded(taken.endpoint_id)
        return
    failing = await store.endpoint_failed(taken.endpoint_id, taken.url)
    if failing and (reason := domain.why_disabled(end, *failing)):
        await store.disable_endpoint(taken.endpoint_id, reason)
        store.emit(events.webhook_endpoint_disabled(taken.endpoint_id, reason), about=taken.endpoint_id)


async def _to_change(store: NotificationsStore, endpoint_id: UUID, seen: int | None = None) -> Endpoint:
    """Looked at before it is locked: what the caller may see and not change is hidden from a lock."""
    _check_reach(store, (await store.endpoint(endpoint_id)).target.site_ids)
    endpoint = await store.lock_endpoint(endpoint_id)
    if seen is not None and endpoint.version != seen:
        raise StaleEtag()
    return endpoint


def _check_reach(store: NotificationsStore, site_ids: Sequence[UUID]) -> None:
    """Whoever is confined to sites has endpoints confined to them."""
    own = store.call.sites
    if own is not None and not (site_ids and own.issuperset(site_ids)):
        raise AccessDenied()


async def _check_sites(store: NotificationsStore, site_ids: Sequence[UUID]) -> None:
    if unknown := await store.unknown_sites(site_ids):
        raise NotYetKnown("site", unknown[0])


def _check_enabled(endpoint: Endpoint) -> None:
    if endpoint.status is EndpointStatus.DISABLED:
        raise WebhookEndpointDisabled()


async def _save(store: NotificationsStore, changed: Endpoint) -> Endpoint:
    await store.save_endpoint(changed)
    return replace(changed, version=changed.version + 1)
