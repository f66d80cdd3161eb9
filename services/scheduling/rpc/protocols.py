"""ProtocolService."""

from google.protobuf.json_format import MessageToDict

from atoll.scheduling.v1 import protocol_service_pb2 as pb
from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.scheduling import use_cases
from services.scheduling.domain.protocols import Protocol, ProtocolVersion, Template, template_of
from services.scheduling.events import template_to_wire
from services.scheduling.store import SchedulingStore


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
        found = await self._db.read(call, request, SchedulingStore, lambda store: store.protocols(page))
        protocols, token = page.cut(found, key=lambda protocol: [protocol.code])
        return pb.ListProtocolsResponse(protocols=map(_protocol, protocols), next_page_token=token)

    async def PublishProtocolVersion(
        self, request: pb.PublishProtocolVersionRequest, call: Call
    ) -> pb.PublishProtocolVersionResponse:
        protocol_id = from_wire("protocol", request.protocol_id)

        async def work(store: SchedulingStore) -> pb.PublishProtocolVersionResponse:
            version = await use_cases.publish(store, protocol_id, template_from_wire(request.template))
            return pb.PublishProtocolVersionResponse(protocol_version=_version(version))

        return await self._db.once(
            call, request, pb.PublishProtocolVersionResponse, SchedulingStore, work, locks=[protocol_id]
        )

    async def GetProtocolVersion(
        self, request: pb.GetProtocolVersionRequest, call: Call
    ) -> pb.GetProtocolVersionResponse:
        id = from_wire("protocolversion", request.protocol_version_id)
        version = await self._db.read(call, request, SchedulingStore, lambda store: store.version(id))
        return pb.GetProtocolVersionResponse(protocol_version=_version(version))

    async def AdoptProtocolVersion(
        self, request: pb.AdoptProtocolVersionRequest, call: Call
    ) -> pb.AdoptProtocolVersionResponse:
        site_id = from_wire("site", request.site_id)
        version_id = from_wire("protocolversion", request.protocol_version_id)

        async def work(store: SchedulingStore) -> pb.AdoptProtocolVersionResponse:
            adopted_at = await use_cases.adopt(store, site_id, version_id)
            adoption = pb.Adoption(
                site_id=request.site_id,
                protocol_version_id=request.protocol_version_id,
                adopt_time=to_timestamp(adopted_at),
            )
            return pb.AdoptProtocolVersionResponse(adoption=adoption)

        return await self._db.once(call, request, pb.AdoptProtocolVersionResponse, SchedulingStore, work)


def template_from_wire(wire: ProtocolTemplate) -> Template:
    """The domain's field names are those of the proto."""
    return template_of(MessageToDict(wire, preserving_proto_field_name=True, always_print_fields_with_no_presence=True))


def _protocol(protocol: Protocol) -> pb.Protocol:
    latest_id = protocol.latest_version_id
    return pb.Protocol(
        id=to_wire("protocol", protocol.id),
        code=protocol.code,
        display_name=protocol.display_name,
        latest_version_id=to_wire("protocolversion", latest_id) if latest_id else "",
        latest_version=protocol.latest_version,
    )


def _version(version: ProtocolVersion) -> pb.ProtocolVersion:
    return pb.ProtocolVersion(
        id=to_wire("protocolversion", version.id),
        protocol_id=to_wire("protocol", version.protocol_id),
        version=version.version,
        template=template_to_wire(version.template),
        publish_time=to_timestamp(version.published_at),
    )
