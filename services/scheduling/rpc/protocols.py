"""ProtocolService."""

from collections.abc import Sequence
from uuid import UUID

from google.protobuf.json_format import MessageToDict

from atoll.scheduling.v1 import protocol_service_pb2 as pb
from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate
from chassis.call import Call
from chassis.db import Database
from chassis.errors import Violation
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_timestamp
from services.scheduling import use_cases
from services.scheduling.domain.narrowing import PATH
from services.scheduling.domain.protocols import (
    GATE_DAYS,
    NOTHING,
    Adoption,
    Draft,
    Protocol,
    ProtocolVersion,
    Retirement,
    Template,
    template_of,
)
from services.scheduling.domain.template_changes import Change, RunningCourse, SiteImpact, changes, impact_of
from services.scheduling.events import template_to_wire
from services.scheduling.store import SchedulingStore
from services.scheduling.store.running import COURSES_MAX

BREACHING_MAX = 200


class ProtocolServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateProtocol(self, request: pb.CreateProtocolRequest, call: Call) -> pb.CreateProtocolResponse:
        async def work(store: SchedulingStore) -> pb.CreateProtocolResponse:
            protocol = Protocol(new_id(), request.code, request.display_name)
            await store.add_protocol(protocol)
            return pb.CreateProtocolResponse(protocol=_protocol(protocol))

        return await self._db.once(call, request, pb.CreateProtocolResponse, SchedulingStore, work)

    async def ListProtocols(self, request: pb.ListProtocolsRequest, call: Call) -> pb.ListProtocolsResponse:
        page = Page.of(request, call)
        published = call.patient_id is not None
        found = await self._db.read(
            call, request, SchedulingStore, lambda store: store.protocols(page, published=published)
        )
        protocols, token = page.cut(found, key=lambda protocol: [protocol.code])
        return pb.ListProtocolsResponse(protocols=map(_protocol, protocols), next_page_token=token)

    async def PublishProtocolVersion(
        self, request: pb.PublishProtocolVersionRequest, call: Call
    ) -> pb.PublishProtocolVersionResponse:
        protocol_id = from_wire("protocol", request.protocol_id)

        template, draft_version = _given(request), from_etag(request.etag) if request.etag else None

        async def work(store: SchedulingStore) -> pb.PublishProtocolVersionResponse:
            version = await use_cases.publish(store, protocol_id, template, draft_version)
            return pb.PublishProtocolVersionResponse(protocol_version=_version(version))

        return await self._db.once(
            call, request, pb.PublishProtocolVersionResponse, SchedulingStore, work, locks=[protocol_id]
        )

    async def SaveProtocolDraft(self, request: pb.SaveProtocolDraftRequest, call: Call) -> pb.SaveProtocolDraftResponse:
        id, template = from_wire("protocol", request.protocol_id), template_from_wire(request.template)
        version = from_etag(request.etag) if request.etag else 0

        async def work(store: SchedulingStore) -> pb.SaveProtocolDraftResponse:
            draft = await use_cases.save_draft(store, id, template, version)
            return pb.SaveProtocolDraftResponse(protocol_draft=await _draft(store, draft))

        return await self._db.once(call, request, pb.SaveProtocolDraftResponse, SchedulingStore, work)

    async def GetProtocolDraft(self, request: pb.GetProtocolDraftRequest, call: Call) -> pb.GetProtocolDraftResponse:
        id = from_wire("protocol", request.protocol_id)

        async def read(store: SchedulingStore) -> pb.GetProtocolDraftResponse:
            return pb.GetProtocolDraftResponse(protocol_draft=await _draft(store, await store.draft(id)))

        return await self._db.read(call, request, SchedulingStore, read)

    async def DiscardProtocolDraft(
        self, request: pb.DiscardProtocolDraftRequest, call: Call
    ) -> pb.DiscardProtocolDraftResponse:
        id, version = from_wire("protocol", request.protocol_id), from_etag(request.etag)

        async def work(store: SchedulingStore) -> pb.DiscardProtocolDraftResponse:
            await use_cases.discard_draft(store, id, version)
            return pb.DiscardProtocolDraftResponse()

        return await self._db.once(call, request, pb.DiscardProtocolDraftResponse, SchedulingStore, work)

    async def PreviewProtocolVersion(
        self, request: pb.PreviewProtocolVersionRequest, call: Call
    ) -> pb.PreviewProtocolVersionResponse:
        id, given = from_wire("protocol", request.protocol_id), _given(request)

        async def read(store: SchedulingStore) -> pb.PreviewProtocolVersionResponse:
            return await _preview(store, id, given)

        return await self._db.read(call, request, SchedulingStore, read)

    async def ListProtocolVersions(
        self, request: pb.ListProtocolVersionsRequest, call: Call
    ) -> pb.ListProtocolVersionsResponse:
        id, page = from_wire("protocol", request.protocol_id), Page.of(request, call)
        found = await self._db.read(call, request, SchedulingStore, lambda store: store.versions(id, page))
        versions, token = page.cut(found, key=lambda each: [str(each[0].version)])
        wire = [_version(version, retirement) for version, retirement in versions]
        return pb.ListProtocolVersionsResponse(protocol_versions=wire, next_page_token=token)

    async def GetProtocolVersion(
        self, request: pb.GetProtocolVersionRequest, call: Call
    ) -> pb.GetProtocolVersionResponse:
        id = from_wire("protocolversion", request.protocol_version_id)

        async def read(store: SchedulingStore) -> pb.GetProtocolVersionResponse:
            version = _version(await store.version(id), await store.retirement(id))
            return pb.GetProtocolVersionResponse(protocol_version=version)

        return await self._db.read(call, request, SchedulingStore, read)

    async def DiffProtocolVersions(
        self, request: pb.DiffProtocolVersionsRequest, call: Call
    ) -> pb.DiffProtocolVersionsResponse:
        id, base_id = (
            from_wire("protocolversion", each)
            for each in (request.protocol_version_id, request.base_protocol_version_id)
        )

        async def read(store: SchedulingStore) -> pb.DiffProtocolVersionsResponse:
            base, version = await store.version(base_id), await store.version(id)
            found = changes(base.template, version.template)
            return pb.DiffProtocolVersionsResponse(changes=map(_change, found))

        return await self._db.read(call, request, SchedulingStore, read)

    async def RetireProtocolVersion(
        self, request: pb.RetireProtocolVersionRequest, call: Call
    ) -> pb.RetireProtocolVersionResponse:
        id = from_wire("protocolversion", request.protocol_version_id)

        async def work(store: SchedulingStore) -> pb.RetireProtocolVersionResponse:
            retired = await use_cases.retire(store, id, request.reason)
            return pb.RetireProtocolVersionResponse(protocol_version=_version(*retired))

        return await self._db.once(call, request, pb.RetireProtocolVersionResponse, SchedulingStore, work, locks=[id])

    async def AdoptProtocolVersion(
        self, request: pb.AdoptProtocolVersionRequest, call: Call
    ) -> pb.AdoptProtocolVersionResponse:
        site_id = from_wire("site", request.site_id)
        version_id = from_wire("protocolversion", request.protocol_version_id)
        wire = request.narrowed_template if request.HasField("narrowed_template") else None
        narrowed = template_from_wire(wire, PATH) if wire else None

        async def work(store: SchedulingStore) -> pb.AdoptProtocolVersionResponse:
            adoption = await use_cases.adopt(store, site_id, version_id, narrowed)
            return pb.AdoptProtocolVersionResponse(adoption=_adoption(adoption))

        return await self._db.once(
            call, request, pb.AdoptProtocolVersionResponse, SchedulingStore, work, locks=[version_id]
        )

    async def ListAdoptions(self, request: pb.ListAdoptionsRequest, call: Call) -> pb.ListAdoptionsResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        found = await self._db.read(call, request, SchedulingStore, lambda store: store.adoptions(site_id, page))
        adoptions, token = page.cut(found, key=lambda each: [each.adopted_at.isoformat(), str(each.version_id)])
        return pb.ListAdoptionsResponse(adoptions=map(_adoption, adoptions), next_page_token=token)

    async def EndAdoption(self, request: pb.EndAdoptionRequest, call: Call) -> pb.EndAdoptionResponse:
        site_id = from_wire("site", request.site_id)
        version_id = from_wire("protocolversion", request.protocol_version_id)

        async def work(store: SchedulingStore) -> pb.EndAdoptionResponse:
            await use_cases.end_adoption(store, site_id, version_id)
            return pb.EndAdoptionResponse()

        return await self._db.once(call, request, pb.EndAdoptionResponse, SchedulingStore, work)


async def _preview(
    store: SchedulingStore, protocol_id: UUID, given: Template | None
) -> pb.PreviewProtocolVersionResponse:
    protocol = await store.protocol(protocol_id)
    template = given or (await store.draft(protocol_id)).template
    await use_cases.check_publishable(store, template)
    before = (await store.version(protocol.latest_version_id)).template if protocol.latest_version_id else NOTHING
    found = await store.running(protocol_id)
    looked_at = found[-COURSES_MAX:]
    impact = impact_of(looked_at, template, store.call.now)
    return pb.PreviewProtocolVersionResponse(
        latest_version=protocol.latest_version,
        changes=map(_change, changes(before, template)),
        sites=map(_site_impact, impact.sites),
        breaching_courses=[_breaching(*each) for each in impact.breaching[:BREACHING_MAX]],
        truncated=len(found) > len(looked_at),
    )


def template_from_wire(wire: ProtocolTemplate, path: str = "template") -> Template:
    """The domain's field names are those of the proto. `path`: of the template in a request."""
    data = MessageToDict(wire, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    for n, (gate, told) in enumerate(zip(wire.gates, data["gates"], strict=True)):
        days = {name: getattr(gate, name) for name in GATE_DAYS if gate.HasField(name)}
        told |= {name: from_date(day, f"{path}.gates[{n}].{name}").isoformat() for name, day in days.items()}
    return template_of(data)


def _protocol(protocol: Protocol) -> pb.Protocol:
    latest_id = protocol.latest_version_id
    return pb.Protocol(
        id=to_wire("protocol", protocol.id),
        code=protocol.code,
        display_name=protocol.display_name,
        latest_version_id=to_wire("protocolversion", latest_id) if latest_id else "",
        latest_version=protocol.latest_version,
    )


def _given(request: pb.PublishProtocolVersionRequest | pb.PreviewProtocolVersionRequest) -> Template | None:
    return template_from_wire(request.template) if request.HasField("template") else None


async def _draft(store: SchedulingStore, draft: Draft) -> pb.ProtocolDraft:
    return pb.ProtocolDraft(
        protocol_id=to_wire("protocol", draft.protocol_id),
        template=template_to_wire(draft.template),
        etag=to_etag(draft.version),
        update_time=to_timestamp(draft.updated_at),
        updated_by=draft.updated_by,
        faults=map(_fault, await use_cases.faults_of(store, draft.template)),
    )


def _version(version: ProtocolVersion, retirement: Retirement | None = None) -> pb.ProtocolVersion:
    return pb.ProtocolVersion(
        id=to_wire("protocolversion", version.id),
        protocol_id=to_wire("protocol", version.protocol_id),
        version=version.version,
        template=template_to_wire(version.template),
        publish_time=to_timestamp(version.published_at),
        retire_time=to_timestamp(retirement.at) if retirement else None,
        retire_reason=retirement.reason if retirement else "",
    )


def _adoption(adoption: Adoption) -> pb.Adoption:
    return pb.Adoption(
        site_id=to_wire("site", adoption.site_id),
        protocol_version_id=to_wire("protocolversion", adoption.version_id),
        adopt_time=to_timestamp(adoption.adopted_at),
        narrowed_template=template_to_wire(adoption.narrowed) if adoption.narrowed else None,
    )


def _change(change: Change) -> pb.TemplateChange:
    kind = pb.TemplateChangeKind.Value(change.kind)
    return pb.TemplateChange(path=change.path, kind=kind, before=change.before, after=change.after)


def _fault(fault: Violation) -> pb.TemplateFault:
    return pb.TemplateFault(field=fault.field, rule=fault.rule, description=fault.description)


def _site_impact(impact: SiteImpact) -> pb.SiteImpact:
    return pb.SiteImpact(
        site_id=to_wire("site", impact.site_id),
        course_count=impact.courses,
        visit_count=impact.visits,
        breaching_course_count=impact.breaching,
    )


def _breaching(course: RunningCourse, faults: Sequence[Violation]) -> pb.BreachingCourse:
    return pb.BreachingCourse(
        course_id=to_wire("course", course.id),
        site_id=to_wire("site", course.site_id),
        version=course.version,
        faults=map(_fault, faults),
    )
