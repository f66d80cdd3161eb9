"""Domain objects as the facts that other services read. Their subjects stand in the .proto."""

from uuid import UUID

from atoll.notifications.v1.events_pb2 import MessageSettled, WebhookEndpointDisabled
from atoll.notifications.v1.webhook_pb2 import WebhookEndpointDisableReason
from chassis.ids import to_wire
from services.notifications.domain.messages import Settled
from services.notifications.domain.webhooks import DisableReason


def message_settled(settled: Settled) -> MessageSettled:
    return MessageSettled(
        message_id=to_wire("message", settled.id),
        patient_id=to_wire("patient", settled.patient_id),
        site_id=to_wire("site", settled.site_id),
        visit_id=to_wire("visit", settled.visit_id),
        outcome=settled.status,
    )


def webhook_endpoint_disabled(endpoint_id: UUID, reason: DisableReason) -> WebhookEndpointDisabled:
    return WebhookEndpointDisabled(
        webhook_endpoint_id=to_wire("webhookendpoint", endpoint_id),
        reason=WebhookEndpointDisableReason.Value(f"WEBHOOK_ENDPOINT_DISABLE_REASON_{reason}"),
    )
