"""Messages in, use case or store, messages out; no rule, no SQL. The chassis has done the rest."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor

from atoll.notifications.v1 import (
    announcement_service_pb2,
    audit_service_pb2,
    cadence_service_pb2,
    inbox_service_pb2,
    link_service_pb2,
    message_service_pb2,
    pause_service_pb2,
    reply_service_pb2,
    suppression_service_pb2,
    template_service_pb2,
    webhook_service_pb2,
)
from chassis.clock import FileClock
from chassis.db import Database
from chassis.settings import read
from chassis.times import utc_now
from chassis.trail import AuditServicer
from services.notifications.rpc.announcements import AnnouncementServicer
from services.notifications.rpc.cadence import CadenceServicer
from services.notifications.rpc.inbox import InboxServicer
from services.notifications.rpc.links import LinkServicer
from services.notifications.rpc.messages import MessageServicer
from services.notifications.rpc.pauses import PauseServicer
from services.notifications.rpc.replies import ReplyServicer
from services.notifications.rpc.suppressions import SuppressionServicer
from services.notifications.rpc.templates import TemplateServicer
from services.notifications.rpc.webhooks import WebhookServicer
from services.notifications.store import NotificationsStore
from services.notifications.texting import Texting, TextingSettings
from services.notifications.texting.listener import Listener
from services.notifications.webhooks import WebhookSettings
from services.notifications.webhooks.secrets import SecretKeeper
from services.notifications.wording import Templates


def servicers(db: Database, webhooks: WebhookSettings | None = None) -> Mapping[ServiceDescriptor, object]:
    """With the accounts for texting that the environment tells of, and what it allows of webhooks unless it is said."""
    told = read(TextingSettings)
    texting, clock = Texting.told(told), FileClock(told.clock) if told.clock else utc_now
    return servicers_with(
        db, texting, Listener(db, texting, clock, told.texting_listen), webhooks or read(WebhookSettings)
    )


def servicers_with(
    db: Database, texting: Texting, listener: Listener, webhooks: WebhookSettings
) -> Mapping[ServiceDescriptor, object]:
    templates = Templates()
    keeper, loopback = SecretKeeper(webhooks.message_keys_file), webhooks.webhook_allow_loopback
    audit = audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"]
    return {
        audit: AuditServicer(db, NotificationsStore, audit),
        announcement_service_pb2.DESCRIPTOR.services_by_name["AnnouncementService"]: AnnouncementServicer(
            db, templates
        ),
        cadence_service_pb2.DESCRIPTOR.services_by_name["CadenceService"]: CadenceServicer(db),
        inbox_service_pb2.DESCRIPTOR.services_by_name["InboxService"]: InboxServicer(db),
        link_service_pb2.DESCRIPTOR.services_by_name["LinkService"]: LinkServicer(db),
        message_service_pb2.DESCRIPTOR.services_by_name["MessageService"]: MessageServicer(db),
        pause_service_pb2.DESCRIPTOR.services_by_name["PauseService"]: PauseServicer(db),
        reply_service_pb2.DESCRIPTOR.services_by_name["ReplyService"]: ReplyServicer(db, texting, listener),
        suppression_service_pb2.DESCRIPTOR.services_by_name["SuppressionService"]: SuppressionServicer(db),
        template_service_pb2.DESCRIPTOR.services_by_name["TemplateService"]: TemplateServicer(db, templates),
        webhook_service_pb2.DESCRIPTOR.services_by_name["WebhookService"]: WebhookServicer(
            db, keeper, loopback=loopback
        ),
    }
