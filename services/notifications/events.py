"""Domain objects as the facts that other services read. Their subjects stand in the .proto."""

from atoll.notifications.v1.events_pb2 import MessageSettled
from chassis.ids import to_wire
from services.notifications.domain.messages import Settled


def message_settled(settled: Settled) -> MessageSettled:
    return MessageSettled(
        message_id=to_wire("message", settled.id),
        patient_id=to_wire("patient", settled.patient_id),
        site_id=to_wire("site", settled.site_id),
        visit_id=to_wire("visit", settled.visit_id) if settled.visit_id else "",
        outcome=settled.status,
    )
