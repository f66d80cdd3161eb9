"""The gRPC door: messages in, use case or store, messages out. No rules, no SQL; the chassis has done the rest."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor

from atoll.scheduling.v1 import (
    audit_service_pb2,
    board_service_pb2,
    capability_service_pb2,
    chain_service_pb2,
    closure_service_pb2,
    course_service_pb2,
    gate_service_pb2,
    legal_entity_service_pb2,
    opening_service_pb2,
    protocol_service_pb2,
    resource_calendar_service_pb2,
    resource_service_pb2,
    service_account_service_pb2,
    site_service_pb2,
    staff_calendar_service_pb2,
    task_service_pb2,
    visit_service_pb2,
    waitlist_service_pb2,
)
from chassis.db import Database
from chassis.settings import read
from chassis.times import utc_now
from chassis.trail import AuditServicer
from services.scheduling.accounts import AccountSettings
from services.scheduling.accounts.endpoint import TokenEndpoint
from services.scheduling.accounts.keys import AccountKeys
from services.scheduling.rpc.board import BoardServicer
from services.scheduling.rpc.calendars import ResourceCalendarServicer
from services.scheduling.rpc.capabilities import CapabilityServicer
from services.scheduling.rpc.chains import ChainServicer, LegalEntityServicer
from services.scheduling.rpc.closures import ClosureServicer
from services.scheduling.rpc.courses import CourseServicer
from services.scheduling.rpc.gates import GateServicer
from services.scheduling.rpc.planners import Planners
from services.scheduling.rpc.planning import OpeningServicer
from services.scheduling.rpc.protocols import ProtocolServicer
from services.scheduling.rpc.resources import ResourceServicer
from services.scheduling.rpc.service_accounts import ServiceAccountServicer
from services.scheduling.rpc.single import BookingVisitServicer
from services.scheduling.rpc.sites import SiteServicer
from services.scheduling.rpc.staff_calendars import StaffCalendarServicer
from services.scheduling.rpc.tasks import TaskServicer
from services.scheduling.rpc.waitlist import WaitlistServicer
from services.scheduling.store import SchedulingStore


def servicers(db: Database) -> Mapping[ServiceDescriptor, object]:
    """With the keys of service accounts, and the token endpoint, that the environment tells of."""
    return servicers_with(db, read(AccountSettings))


def servicers_with(db: Database, told: AccountSettings) -> Mapping[ServiceDescriptor, object]:
    planners, keys = Planners(), AccountKeys(told.account_keys_file)
    endpoint = TokenEndpoint(db, keys, utc_now, told)
    audit = audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"]
    return {
        audit: AuditServicer(db, SchedulingStore, audit),
        chain_service_pb2.DESCRIPTOR.services_by_name["ChainService"]: ChainServicer(db),
        legal_entity_service_pb2.DESCRIPTOR.services_by_name["LegalEntityService"]: LegalEntityServicer(db),
        site_service_pb2.DESCRIPTOR.services_by_name["SiteService"]: SiteServicer(db),
        resource_service_pb2.DESCRIPTOR.services_by_name["ResourceService"]: ResourceServicer(db),
        protocol_service_pb2.DESCRIPTOR.services_by_name["ProtocolService"]: ProtocolServicer(db),
        course_service_pb2.DESCRIPTOR.services_by_name["CourseService"]: CourseServicer(db, planners),
        opening_service_pb2.DESCRIPTOR.services_by_name["OpeningService"]: OpeningServicer(db, planners),
        visit_service_pb2.DESCRIPTOR.services_by_name["VisitService"]: BookingVisitServicer(db),
        gate_service_pb2.DESCRIPTOR.services_by_name["GateService"]: GateServicer(db),
        task_service_pb2.DESCRIPTOR.services_by_name["TaskService"]: TaskServicer(db),
        waitlist_service_pb2.DESCRIPTOR.services_by_name["WaitlistService"]: WaitlistServicer(db),
        staff_calendar_service_pb2.DESCRIPTOR.services_by_name["StaffCalendarService"]: StaffCalendarServicer(db),
        capability_service_pb2.DESCRIPTOR.services_by_name["CapabilityService"]: CapabilityServicer(db),
        service_account_service_pb2.DESCRIPTOR.services_by_name["ServiceAccountService"]: ServiceAccountServicer(
            db, keys, endpoint
        ),
        closure_service_pb2.DESCRIPTOR.services_by_name["ClosureService"]: ClosureServicer(db),
        board_service_pb2.DESCRIPTOR.services_by_name["BoardService"]: BoardServicer(db),
        resource_calendar_service_pb2.DESCRIPTOR.services_by_name["ResourceCalendarService"]: ResourceCalendarServicer(
            db
        ),
    }
