"""Domain objects as the facts that other services read. Their subjects stand in the .proto."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from google.protobuf.json_format import MessageToDict, ParseDict

from atoll.scheduling.v1 import events_pb2 as pb
from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate, ResourceKind, SegmentKind
from chassis.ids import to_wire
from chassis.times import to_date, to_timestamp
from services.scheduling.domain.closures import Closure
from services.scheduling.domain.courses import Course
from services.scheduling.domain.protocols import GATE_DAYS, Adoption, Protocol, ProtocolVersion, Template, VisitType
from services.scheduling.domain.resources import Resource
from services.scheduling.domain.sites import Chain, LegalEntity, Site
from services.scheduling.domain.visits import Visit
from services.scheduling.domain.waitlist import Outcome


def template_to_wire(template: Template) -> ProtocolTemplate:
    """The domain's field names are those of the proto."""
    data = asdict(template)
    for gate in data["gates"]:
        gate |= {name: MessageToDict(to_date(day)) for name in GATE_DAYS if (day := gate[name])}
    return ParseDict(data, ProtocolTemplate())


def chain_registered(chain: Chain) -> pb.ChainRegistered:
    return pb.ChainRegistered(chain_id=to_wire("chain", chain.id), display_name=chain.display_name)


def legal_entity_registered(entity: LegalEntity) -> pb.LegalEntityRegistered:
    return pb.LegalEntityRegistered(legal_entity_id=to_wire("legalentity", entity.id), display_name=entity.display_name)


def site_registered(site: Site) -> pb.SiteRegistered:
    return pb.SiteRegistered(
        site_id=to_wire("site", site.id),
        legal_entity_id=to_wire("legalentity", site.legal_entity_id),
        code=site.code,
        display_name=site.display_name,
        discreet_name=site.discreet_name,
        time_zone=site.time_zone,
        state=site.state,
        address=site.address_line,
        phone=site.phone,
    )


def legal_entity_updated(entity: LegalEntity) -> pb.LegalEntityUpdated:
    return pb.LegalEntityUpdated(legal_entity_id=to_wire("legalentity", entity.id), display_name=entity.display_name)


def site_updated(site: Site) -> pb.SiteUpdated:
    return pb.SiteUpdated(
        site_id=to_wire("site", site.id),
        legal_entity_id=to_wire("legalentity", site.legal_entity_id),
        code=site.code,
        display_name=site.display_name,
        discreet_name=site.discreet_name,
        time_zone=site.time_zone,
        state=site.state,
        address=site.address_line,
        phone=site.phone,
    )


def resource_updated(resource: Resource) -> pb.ResourceUpdated:
    return pb.ResourceUpdated(
        resource_id=to_wire("resource", resource.id),
        site_id=to_wire("site", resource.site_id),
        kind=ResourceKind.Value(resource.kind),
        display_name=resource.display_name,
        credential=resource.credential,
        npi=resource.npi,
        retire_date=to_date(resource.retire_date) if resource.retire_date else None,
    )


def resource_registered(resource: Resource) -> pb.ResourceRegistered:
    return pb.ResourceRegistered(
        resource_id=to_wire("resource", resource.id),
        site_id=to_wire("site", resource.site_id),
        kind=ResourceKind.Value(resource.kind),
        display_name=resource.display_name,
        credential=resource.credential,
        npi=resource.npi,
    )


def closure_created(closure: Closure) -> pb.ClosureCreated:
    slot = closure.closed.slot
    return pb.ClosureCreated(
        **_closure_ids(closure),
        kind=pb.ClosureKind.Value(closure.kind),
        start_time=to_timestamp(slot.start),
        end_time=to_timestamp(slot.end),
    )


def closure_cancelled(closure: Closure) -> pb.ClosureCancelled:
    return pb.ClosureCancelled(**_closure_ids(closure))


def _closure_ids(closure: Closure) -> dict[str, Any]:
    resource_id = closure.closed.resource_id
    return {
        "closure_id": to_wire("closure", closure.id),
        "site_id": to_wire("site", closure.closed.site_id),
        "resource_id": to_wire("resource", resource_id) if resource_id else "",
    }


def protocol_version_published(protocol: Protocol, version: ProtocolVersion) -> pb.ProtocolVersionPublished:
    return pb.ProtocolVersionPublished(
        protocol_version_id=to_wire("protocolversion", version.id),
        protocol_id=to_wire("protocol", protocol.id),
        protocol_code=protocol.code,
        display_name=protocol.display_name,
        version=version.version,
        template=template_to_wire(version.template),
    )


def protocol_version_adopted(adoption: Adoption) -> pb.ProtocolVersionAdopted:
    return pb.ProtocolVersionAdopted(
        site_id=to_wire("site", adoption.site_id),
        protocol_version_id=to_wire("protocolversion", adoption.version_id),
        narrowed_template=template_to_wire(adoption.narrowed) if adoption.narrowed else None,
    )


def protocol_version_adoption_ended(site_id: UUID, version_id: UUID) -> pb.ProtocolVersionAdoptionEnded:
    return pb.ProtocolVersionAdoptionEnded(
        site_id=to_wire("site", site_id), protocol_version_id=to_wire("protocolversion", version_id)
    )


def protocol_version_retired(version: ProtocolVersion) -> pb.ProtocolVersionRetired:
    return pb.ProtocolVersionRetired(
        protocol_version_id=to_wire("protocolversion", version.id),
        protocol_id=to_wire("protocol", version.protocol_id),
    )


def course_booked(course: Course, visits: Sequence[Visit], protocol_id: UUID) -> pb.CourseBooked:
    """`visits`: those of the course that are booked now."""
    return pb.CourseBooked(**_pinned(course, protocol_id), visits=map(_booked_visit, visits))


def course_held(course: Course, visits: Sequence[Visit], protocol_id: UUID) -> pb.CourseHeld:
    assert course.hold_until
    pinned, until = _pinned(course, protocol_id), to_timestamp(course.hold_until)
    return pb.CourseHeld(**pinned, visits=map(_booked_visit, visits), expire_time=until)


def course_hold_expired(course: Course, visits: Sequence[Visit]) -> pb.CourseHoldExpired:
    return pb.CourseHoldExpired(**_of_course(course), visit_ids=[to_wire("visit", visit.id) for visit in visits])


def course_hold_released(course: Course, visits: Sequence[Visit]) -> pb.CourseHoldReleased:
    return pb.CourseHoldReleased(**_of_course(course), visit_ids=[to_wire("visit", visit.id) for visit in visits])


def visit_confirmed(visit: Visit) -> pb.VisitConfirmed:
    return pb.VisitConfirmed(**_ids(visit))


def visit_checked_in(visit: Visit) -> pb.VisitCheckedIn:
    return pb.VisitCheckedIn(**_ids(visit))


def visit_completed(
    visit: Visit, visit_type: VisitType, version_id: UUID, began: datetime, ended: datetime
) -> pb.VisitCompleted:
    rendering_id = visit.rendering_id(visit_type)
    return pb.VisitCompleted(
        **_ids(visit),
        protocol_version_id=to_wire("protocolversion", version_id),
        visit_type_code=visit.visit_type_code,
        route_code=visit.route_code,
        band_code=visit.band_code,
        start_time=to_timestamp(began),
        end_time=to_timestamp(ended),
        segments=[segment_to_wire(kind, minutes) for kind, minutes in visit.segment_minutes],
        rendering_resource_id=to_wire("resource", rendering_id) if rendering_id else "",
        place_of_service=visit.place_of_service,
    )


def visit_cancelled(visit: Visit) -> pb.VisitCancelled:
    assert visit.cancellation_reason
    return pb.VisitCancelled(**_ids(visit), reason=pb.CancellationReason.Value(visit.cancellation_reason))


def visit_missed(visit: Visit) -> pb.VisitMissed:
    return pb.VisitMissed(**_ids(visit))


def segment_to_wire(kind: str, minutes: int) -> pb.SegmentMinutes:
    return pb.SegmentMinutes(kind=SegmentKind.Value(kind), minutes=minutes)


def offer_made(course: Course, visit: Visit, entry_id: UUID) -> pb.OfferMade:
    assert course.offer_id
    assert course.hold_until
    return pb.OfferMade(
        **_of_offer(course, course.offer_id, entry_id),
        visit=_booked_visit(visit),
        expire_time=to_timestamp(course.hold_until),
    )


def offer_ended(course: Course, offer_id: UUID, entry_id: UUID, outcome: Outcome) -> pb.OfferEnded:
    return pb.OfferEnded(
        **_of_offer(course, offer_id, entry_id),
        visit_id=to_wire("visit", offer_id),
        outcome=pb.OfferOutcome.Value(outcome),
    )


def _of_offer(course: Course, offer_id: UUID, entry_id: UUID) -> dict[str, Any]:
    return _of_course(course) | {
        "offer_id": to_wire("offer", offer_id),
        "waitlist_entry_id": to_wire("waitlistentry", entry_id),
    }


def _of_course(course: Course) -> dict[str, Any]:
    return {
        "course_id": to_wire("course", course.id),
        "site_id": to_wire("site", course.site_id),
        "patient_id": to_wire("patient", course.patient_id),
    }


def _pinned(course: Course, protocol_id: UUID) -> dict[str, Any]:
    return _of_course(course) | {
        "protocol_id": to_wire("protocol", protocol_id),
        "protocol_version_id": to_wire("protocolversion", course.protocol_version_id),
        "route_code": course.route_code,
    }


def _booked_visit(visit: Visit) -> pb.BookedVisit:
    return pb.BookedVisit(
        visit_id=to_wire("visit", visit.id),
        phase_code=visit.phase_code,
        visit_type_code=visit.visit_type_code,
        route_code=visit.route_code,
        band_code=visit.band_code,
        start_time=to_timestamp(visit.slot.start),
        end_time=to_timestamp(visit.slot.end),
        telehealth=visit.telehealth,
    )


def _ids(visit: Visit) -> dict[str, Any]:
    return {
        "visit_id": to_wire("visit", visit.id),
        "course_id": to_wire("course", visit.course_id),
        "site_id": to_wire("site", visit.site_id),
        "patient_id": to_wire("patient", visit.patient_id),
    }
