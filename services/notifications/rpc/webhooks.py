"""WebhookService."""

from datetime import datetime
from uuid import UUID

from atoll.notifications.v1 import webhook_service_pb2 as pb
from atoll.notifications.v1.webhook_pb2 import WebhookEndpointDisableReason
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import BadPageToken, Page
from chassis.times import to_instant, to_timestamp
from services.notifications.domain.webhooks import (
    REDELIVERED_MAX,
    Delivery,
    DeliveryStatus,
    Endpoint,
    Fact,
    Target,
    check_types,
    check_url,
)
from services.notifications.store import NotificationsStore
from services.notifications.store.webhooks import FIRST_ID, LAST
from services.notifications.use_cases import webhooks
from services.notifications.webhooks.payload import TYPES, fact_of_test
from services.notifications.webhooks.secrets import SecretKeeper, new_secret


class WebhookServicer:
    def __init__(self, db: Database, keeper: SecretKeeper, *, loopback: bool) -> None:
        self._db, self._keeper, self._loopback = db, keeper, loopback

    async def CreateWebhookEndpoint(
        self, request: pb.CreateWebhookEndpointRequest, call: Call
    ) -> pb.CreateWebhookEndpointResponse:
        """The remembered answer holds the secret as the table does: sealed."""
        check_url(request.url, "url", loopback=self._loopback)
        check_types(request.event_types, TYPES, "event_types")
        target, id = _target(request), new_id()
        sealed = self._keeper.seal(new_secret(), id)

        async def work(store: NotificationsStore) -> pb.CreateWebhookEndpointResponse:
            made = await webhooks.create_endpoint(store, id, target, sealed)
            return pb.CreateWebhookEndpointResponse(webhook_endpoint=_to_wire(made), secret=sealed)

        answer = await self._db.once(
            call, request, pb.CreateWebhookEndpointResponse, NotificationsStore, work, locks=[call.chain_id]
        )
        answer.secret = self._opened(answer.secret, answer.webhook_endpoint)
        return answer

    async def GetWebhookEndpoint(
        self, request: pb.GetWebhookEndpointRequest, call: Call
    ) -> pb.GetWebhookEndpointResponse:
        id = from_wire("webhookendpoint", request.webhook_endpoint_id)
        found = await self._db.read(call, request, NotificationsStore, lambda store: store.endpoint(id))
        return pb.GetWebhookEndpointResponse(webhook_endpoint=_to_wire(found))

    async def ListWebhookEndpoints(
        self, request: pb.ListWebhookEndpointsRequest, call: Call
    ) -> pb.ListWebhookEndpointsResponse:
        page = Page.of(request, call)
        after = _id_after(page)
        found = await self._db.read(call, request, NotificationsStore, lambda store: store.endpoints(after, page.limit))
        shown, token = page.cut(found, key=lambda endpoint: [str(endpoint.id)])
        return pb.ListWebhookEndpointsResponse(webhook_endpoints=map(_to_wire, shown), next_page_token=token)

    async def UpdateWebhookEndpoint(
        self, request: pb.UpdateWebhookEndpointRequest, call: Call
    ) -> pb.UpdateWebhookEndpointResponse:
        told, fields = request.webhook_endpoint, frozenset(request.update_mask.paths)
        if "url" in fields:
            check_url(told.url, "webhook_endpoint.url", loopback=self._loopback)
        if "event_types" in fields:
            check_types(told.event_types, TYPES, "webhook_endpoint.event_types")
        command = webhooks.ChangeEndpoint(
            from_wire("webhookendpoint", told.id), from_etag(told.etag), _target(told), fields
        )

        async def work(store: NotificationsStore) -> pb.UpdateWebhookEndpointResponse:
            changed = await webhooks.change_endpoint(store, command)
            return pb.UpdateWebhookEndpointResponse(webhook_endpoint=_to_wire(changed))

        return await self._db.once(call, request, pb.UpdateWebhookEndpointResponse, NotificationsStore, work)

    async def DeleteWebhookEndpoint(
        self, request: pb.DeleteWebhookEndpointRequest, call: Call
    ) -> pb.DeleteWebhookEndpointResponse:
        id, seen = from_wire("webhookendpoint", request.webhook_endpoint_id), from_etag(request.etag)

        async def work(store: NotificationsStore) -> pb.DeleteWebhookEndpointResponse:
            await webhooks.delete_endpoint(store, id, seen)
            return pb.DeleteWebhookEndpointResponse()

        return await self._db.once(call, request, pb.DeleteWebhookEndpointResponse, NotificationsStore, work)

    async def RotateWebhookSecret(
        self, request: pb.RotateWebhookSecretRequest, call: Call
    ) -> pb.RotateWebhookSecretResponse:
        """The remembered answer holds the secret as the table does: sealed."""
        id, seen = from_wire("webhookendpoint", request.webhook_endpoint_id), from_etag(request.etag)
        sealed = self._keeper.seal(new_secret(), id)

        async def work(store: NotificationsStore) -> pb.RotateWebhookSecretResponse:
            changed = await webhooks.rotate_secret(store, id, seen, sealed)
            return pb.RotateWebhookSecretResponse(webhook_endpoint=_to_wire(changed), secret=sealed)

        answer = await self._db.once(call, request, pb.RotateWebhookSecretResponse, NotificationsStore, work)
        answer.secret = self._opened(answer.secret, answer.webhook_endpoint)
        return answer

    async def PauseWebhookEndpoint(
        self, request: pb.PauseWebhookEndpointRequest, call: Call
    ) -> pb.PauseWebhookEndpointResponse:
        id = from_wire("webhookendpoint", request.webhook_endpoint_id)

        async def work(store: NotificationsStore) -> pb.PauseWebhookEndpointResponse:
            changed = await webhooks.pause_endpoint(store, id)
            return pb.PauseWebhookEndpointResponse(webhook_endpoint=_to_wire(changed))

        return await self._db.once(call, request, pb.PauseWebhookEndpointResponse, NotificationsStore, work)

    async def ResumeWebhookEndpoint(
        self, request: pb.ResumeWebhookEndpointRequest, call: Call
    ) -> pb.ResumeWebhookEndpointResponse:
        id = from_wire("webhookendpoint", request.webhook_endpoint_id)

        async def work(store: NotificationsStore) -> pb.ResumeWebhookEndpointResponse:
            changed = await webhooks.resume_endpoint(store, id)
            return pb.ResumeWebhookEndpointResponse(webhook_endpoint=_to_wire(changed))

        return await self._db.once(call, request, pb.ResumeWebhookEndpointResponse, NotificationsStore, work)

    async def SendTestWebhook(self, request: pb.SendTestWebhookRequest, call: Call) -> pb.SendTestWebhookResponse:
        id = from_wire("webhookendpoint", request.webhook_endpoint_id)

        def make(endpoint: Endpoint) -> Fact:
            site_id = next(iter(endpoint.target.site_ids), None)
            return fact_of_test(new_id(), site_id, call.now, request.webhook_endpoint_id)

        async def work(store: NotificationsStore) -> pb.SendTestWebhookResponse:
            made = await store.delivery(await webhooks.send_test(store, id, make))
            return pb.SendTestWebhookResponse(webhook_delivery=_delivery(made, payload=made.payload))

        return await self._db.once(call, request, pb.SendTestWebhookResponse, NotificationsStore, work)

    async def ListWebhookDeliveries(
        self, request: pb.ListWebhookDeliveriesRequest, call: Call
    ) -> pb.ListWebhookDeliveriesResponse:
        id, page = from_wire("webhookendpoint", request.webhook_endpoint_id), Page.of(request, call)
        status, before = _status(request.status), _before(page)

        async def work(store: NotificationsStore) -> list[Delivery]:
            await store.endpoint(id)
            return await store.deliveries(id, status, before, page.limit)

        found = await self._db.read(call, request, NotificationsStore, work)
        shown, token = page.cut(found, key=lambda each: [each.created_at.isoformat(), str(each.id)])
        return pb.ListWebhookDeliveriesResponse(webhook_deliveries=map(_delivery, shown), next_page_token=token)

    async def GetWebhookDelivery(
        self, request: pb.GetWebhookDeliveryRequest, call: Call
    ) -> pb.GetWebhookDeliveryResponse:
        id = from_wire("webhookdelivery", request.webhook_delivery_id)
        found = await self._db.read(call, request, NotificationsStore, lambda store: store.delivery(id))
        return pb.GetWebhookDeliveryResponse(webhook_delivery=_delivery(found, payload=found.payload))

    async def RedeliverWebhook(self, request: pb.RedeliverWebhookRequest, call: Call) -> pb.RedeliverWebhookResponse:
        async def work(store: NotificationsStore) -> pb.RedeliverWebhookResponse:
            if request.WhichOneof("what") == "failed":
                endpoint_id = from_wire("webhookendpoint", request.failed.webhook_endpoint_id)
                since = to_instant(request.failed.since_time)
                again = await webhooks.send_failed_again(store, endpoint_id, since)
            else:
                again = await webhooks.send_again(store, from_wire("webhookdelivery", request.webhook_delivery_id))
            return pb.RedeliverWebhookResponse(redelivered_count=again, more=again == REDELIVERED_MAX)

        return await self._db.once(call, request, pb.RedeliverWebhookResponse, NotificationsStore, work)

    def _opened(self, sealed: str, endpoint: pb.WebhookEndpoint) -> str:
        return self._keeper.open(sealed, from_wire("webhookendpoint", endpoint.id))


def _target(told: pb.CreateWebhookEndpointRequest | pb.WebhookEndpoint) -> Target:
    return Target(
        url=told.url,
        description=told.description,
        event_types=tuple(told.event_types),
        site_ids=tuple(from_wire("site", id) for id in told.site_ids),
    )


def _id_after(page: Page) -> UUID:
    if page.after is None:
        return FIRST_ID
    try:
        [id] = page.after
        return UUID(id)
    except ValueError:
        raise BadPageToken() from None


def _before(page: Page) -> tuple[datetime, UUID]:
    if page.after is None:
        return LAST
    try:
        created, id = page.after
        return datetime.fromisoformat(created), UUID(id)
    except ValueError:
        raise BadPageToken() from None


def _status(wire: pb.WebhookDeliveryStatus.ValueType) -> DeliveryStatus | None:
    return (
        DeliveryStatus(pb.WebhookDeliveryStatus.Name(wire).removeprefix("WEBHOOK_DELIVERY_STATUS_")) if wire else None
    )


def _to_wire(endpoint: Endpoint) -> pb.WebhookEndpoint:
    reason, failing, until = endpoint.disable_reason, endpoint.failing_since, endpoint.old_secret_until
    return pb.WebhookEndpoint(
        id=to_wire("webhookendpoint", endpoint.id),
        url=endpoint.target.url,
        description=endpoint.target.description,
        event_types=endpoint.target.event_types,
        site_ids=[to_wire("site", id) for id in endpoint.target.site_ids],
        status=pb.WebhookEndpointStatus.Value(f"WEBHOOK_ENDPOINT_STATUS_{endpoint.status}"),
        disable_reason=WebhookEndpointDisableReason.Value(f"WEBHOOK_ENDPOINT_DISABLE_REASON_{reason or 'UNSPECIFIED'}"),
        failing_since_time=to_timestamp(failing) if failing else None,
        old_secret_expire_time=to_timestamp(until) if until else None,
        create_time=to_timestamp(endpoint.created_at),
        etag=to_etag(endpoint.version),
    )


def _delivery(each: Delivery, payload: str = "") -> pb.WebhookDelivery:
    waits = each.status is DeliveryStatus.PENDING and not each.on_its_way
    return pb.WebhookDelivery(
        id=to_wire("webhookdelivery", each.id),
        webhook_endpoint_id=to_wire("webhookendpoint", each.endpoint_id),
        event_id=str(each.event_id),
        event_type=each.type,
        site_id=to_wire("site", each.site_id) if each.site_id else "",
        status=pb.WebhookDeliveryStatus.Value(f"WEBHOOK_DELIVERY_STATUS_{each.status}"),
        attempts=each.attempts,
        last_code=each.last_code or "",
        create_time=to_timestamp(each.created_at),
        next_attempt_time=to_timestamp(each.due) if waits else None,
        deliver_time=to_timestamp(each.delivered_at) if each.delivered_at else None,
        payload=payload,
    )
