"""Domain objects as the facts that other services read. Their subjects stand in the .proto."""

from typing import Any
from uuid import UUID

from atoll.notifications.v1.events_pb2 import (
    ChannelOptedIn,
    ChannelOptedOut,
    EstimateEmailed,
    EstimateEmailReturned,
    MessageSettled,
    OfferAcceptanceReceived,
    RescheduleRequested,
    VisitConfirmationReceived,
    WebhookEndpointDisabled,
)
from atoll.notifications.v1.webhook_pb2 import WebhookEndpointDisableReason
from chassis.ids import to_wire
from services.notifications.domain.matters import Matter
from services.notifications.domain.messages import Settled
from services.notifications.domain.texting import Asked
from services.notifications.domain.webhooks import DisableReason


def message_settled(settled: Settled) -> MessageSettled:
    return MessageSettled(
        message_id=to_wire("message", settled.id),
        patient_id=to_wire("patient", settled.patient_id),
        site_id=to_wire("site", settled.site_id),
        visit_id=to_wire("visit", settled.visit_id) if settled.visit_id else "",
        outcome=settled.status,
    )


def estimate_emailed(estimate: Matter, message_id: UUID) -> EstimateEmailed:
    return EstimateEmailed(
        estimate_id=to_wire("estimate", estimate.id),
        patient_id=to_wire("patient", estimate.patient_id),
        site_id=to_wire("site", estimate.site_id),
        message_id=to_wire("message", message_id),
    )


def estimate_email_returned(estimate_id: UUID, of: Settled) -> EstimateEmailReturned:
    return EstimateEmailReturned(
        estimate_id=to_wire("estimate", estimate_id),
        patient_id=to_wire("patient", of.patient_id),
        site_id=to_wire("site", of.site_id),
        message_id=to_wire("message", of.id),
    )


def channel_opted_out(asked: Asked) -> ChannelOptedOut:
    return ChannelOptedOut(**_said(asked))


def channel_opted_in(asked: Asked) -> ChannelOptedIn:
    return ChannelOptedIn(**_said(asked))


def _said(asked: Asked) -> dict[str, Any]:
    return {
        "patient_id": to_wire("patient", asked.patient_id) if asked.patient_id else "",
        "site_id": to_wire("site", asked.site_id),
        "channel": asked.channel,
        "giver": asked.giver,
        "method": asked.method,
    }


def visit_confirmation_received(visit_id: UUID, patient_id: UUID, site_id: UUID) -> VisitConfirmationReceived:
    return VisitConfirmationReceived(**_about(visit_id, patient_id, site_id))


def reschedule_requested(visit_id: UUID, patient_id: UUID, site_id: UUID) -> RescheduleRequested:
    return RescheduleRequested(**_about(visit_id, patient_id, site_id))


def offer_acceptance_received(offer_id: UUID, patient_id: UUID, site_id: UUID) -> OfferAcceptanceReceived:
    return OfferAcceptanceReceived(
        offer_id=to_wire("offer", offer_id),
        patient_id=to_wire("patient", patient_id),
        site_id=to_wire("site", site_id),
    )


def _about(visit_id: UUID, patient_id: UUID, site_id: UUID) -> dict[str, Any]:
    return {
        "visit_id": to_wire("visit", visit_id),
        "patient_id": to_wire("patient", patient_id),
        "site_id": to_wire("site", site_id),
    }


def webhook_endpoint_disabled(endpoint_id: UUID, reason: DisableReason) -> WebhookEndpointDisabled:
    return WebhookEndpointDisabled(
        webhook_endpoint_id=to_wire("webhookendpoint", endpoint_id),
        reason=WebhookEndpointDisableReason.Value(f"WEBHOOK_ENDPOINT_DISABLE_REASON_{reason}"),
    )
