"""Messages in, use case or store, messages out; no rule, no SQL. The chassis has done the rest."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor

from atoll.notifications.v1 import inbox_service_pb2, message_service_pb2, webhook_service_pb2
from chassis.db import Database
from services.notifications.rpc.inbox import InboxServicer
from services.notifications.rpc.messages import MessageServicer
from services.notifications.rpc.webhooks import WebhookServicer
from services.notifications.webhooks import WebhookSettings
from services.notifications.webhooks.secrets import SecretKeeper


def servicers(db: Database, webhooks: WebhookSettings | None = None) -> Mapping[ServiceDescriptor, object]:
    """As the environment says of webhooks, unless it is said here."""
    told = webhooks or WebhookSettings()
    keeper = SecretKeeper(told.message_keys_file)
    return {
        message_service_pb2.DESCRIPTOR.services_by_name["MessageService"]: MessageServicer(db),
        webhook_service_pb2.DESCRIPTOR.services_by_name["WebhookService"]: WebhookServicer(
            db, keeper, loopback=told.webhook_allow_loopback
        ),
        inbox_service_pb2.DESCRIPTOR.services_by_name["InboxService"]: InboxServicer(db),
    }
