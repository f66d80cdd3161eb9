"""All SQL of scheduling: statements, compiled at import, and the store that turns rows into domain objects."""

from collections.abc import Mapping
from typing import ClassVar

from chassis.errors import DomainError
from services.scheduling.domain.capabilities import CapabilityExists
from services.scheduling.domain.courses import VisitsConflict
from services.scheduling.domain.holds import HoldLimit
from services.scheduling.domain.protocols import ProtocolCodeTaken, ProtocolNotFound, ProtocolVersionNotFound
from services.scheduling.domain.sites import ChainExists, LegalEntityNotFound, SiteCodeTaken, SiteNotFound
from services.scheduling.domain.visits import VisitStatusConflict
from services.scheduling.store.board import BoardStore
from services.scheduling.store.calendars import CalendarStore
from services.scheduling.store.capabilities import CapabilityStore
from services.scheduling.store.changes import ChangeStore
from services.scheduling.store.closures import ClosureStore
from services.scheduling.store.courses import CourseStore
from services.scheduling.store.gates import GateStore
from services.scheduling.store.holds import HoldStore
from services.scheduling.store.patients import PatientStore
from services.scheduling.store.planning import PlanningStore
from services.scheduling.store.resources import ResourceStore
from services.scheduling.store.running import RunningStore
from services.scheduling.store.service_accounts import ServiceAccountStore
from services.scheduling.store.sites import SiteStore
from services.scheduling.store.staff_calendars import StaffCalendarStore
from services.scheduling.store.tasks import TaskStore
from services.scheduling.store.visits import VisitStore
from services.scheduling.store.waitlist import WaitlistStore


class SchedulingStore(
    SiteStore,
    ResourceStore,
    GateStore,
    PatientStore,
    PlanningStore,
    CourseStore,
    HoldStore,
    VisitStore,
    TaskStore,
    WaitlistStore,
    RunningStore,
    ClosureStore,
    StaffCalendarStore,
    CapabilityStore,
    ServiceAccountStore,
    ChangeStore,
    BoardStore,
    CalendarStore,
):
    subject_kind = "patient"
    refusals: ClassVar[Mapping[str, type[DomainError]]] = {
        "chain_pkey": ChainExists,
        "site_chain_id_legal_entity_id_fkey": LegalEntityNotFound,
        "site_code_key": SiteCodeTaken,
        "resource_chain_id_site_id_fkey": SiteNotFound,
        "lent_resource_site_fkey": SiteNotFound,
        "protocol_code_key": ProtocolCodeTaken,
        "protocol_version_chain_id_protocol_id_fkey": ProtocolNotFound,
        "protocol_draft_chain_id_protocol_id_fkey": ProtocolNotFound,
        "adoption_chain_id_site_id_fkey": SiteNotFound,
        "adoption_chain_id_protocol_version_id_fkey": ProtocolVersionNotFound,
        "closure_chain_id_site_id_fkey": SiteNotFound,
        "capability_pkey": CapabilityExists,
        "allocation_never_twice": VisitsConflict,
        "presence_never_twice": VisitsConflict,
        "hold_one_at_a_time": HoldLimit,
        "visit_status_change_pkey": VisitStatusConflict,
    }
