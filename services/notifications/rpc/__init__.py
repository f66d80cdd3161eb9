"""Messages in, use case or store, messages out; no rule, no SQL. The chassis has done the rest."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor

from atoll.notifications.v1 import message_service_pb2, template_service_pb2
from chassis.db import Database
from services.notifications.rpc.messages import MessageServicer
from services.notifications.rpc.templates import TemplateServicer
from services.notifications.wording import Templates


def servicers(db: Database) -> Mapping[ServiceDescriptor, object]:
    return {
        message_service_pb2.DESCRIPTOR.services_by_name["MessageService"]: MessageServicer(db),
        template_service_pb2.DESCRIPTOR.services_by_name["TemplateService"]: TemplateServicer(db, Templates()),
    }
