"""Messages in, use case or store, messages out; no rule, no SQL. The chassis has done the rest."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor

from atoll.notifications.v1 import (
    announcement_service_pb2,
    cadence_service_pb2,
    message_service_pb2,
    pause_service_pb2,
    template_service_pb2,
)
from chassis.db import Database
from services.notifications.rpc.announcements import AnnouncementServicer
from services.notifications.rpc.cadence import CadenceServicer
from services.notifications.rpc.messages import MessageServicer
from services.notifications.rpc.pauses import PauseServicer
from services.notifications.rpc.templates import TemplateServicer
from services.notifications.wording import Templates


def servicers(db: Database) -> Mapping[ServiceDescriptor, object]:
    return {
        announcement_service_pb2.DESCRIPTOR.services_by_name["AnnouncementService"]: AnnouncementServicer(db),
        cadence_service_pb2.DESCRIPTOR.services_by_name["CadenceService"]: CadenceServicer(db),
        message_service_pb2.DESCRIPTOR.services_by_name["MessageService"]: MessageServicer(db),
        pause_service_pb2.DESCRIPTOR.services_by_name["PauseService"]: PauseServicer(db),
        template_service_pb2.DESCRIPTOR.services_by_name["TemplateService"]: TemplateServicer(db, Templates()),
    }
