"""SuppressionService."""

from uuid import UUID

from atoll.notifications.v1 import message_pb2
from atoll.notifications.v1 import suppression_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.notifications.domain.texting import EVERY_SENDER, Addressed, Method, Suppression
from services.notifications.rpc.common import by_keys
from services.notifications.store import NotificationsStore
from services.notifications.texting.keys import address_key, checked
from services.notifications.use_cases import texting as use_cases


class SuppressionServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListSuppressions(self, request: pb.ListSuppressionsRequest, call: Call) -> pb.ListSuppressionsResponse:
        about, page = str(request.WhichOneof("about")), Page.of(request, call)
        about_id = from_wire(about.removesuffix("_id"), getattr(request, about))
        before = UUID(page.after[0]) if page.after else None
        found = await self._db.read(
            call, request, NotificationsStore, lambda store: store.suppressions(about, about_id, before, page.limit)
        )
        shown, token = page.cut(found, key=lambda each: [str(each.id)])
        return pb.ListSuppressionsResponse(suppressions=map(_suppression, shown), next_page_token=token)

    async def AddSuppression(self, request: pb.AddSuppressionRequest, call: Call) -> pb.AddSuppressionResponse:
        channel = Addressed(message_pb2.Channel.Name(request.channel).removeprefix("CHANNEL_"))
        with by_keys():
            digest = address_key(call.chain_id, checked(channel, request.address))
        command = use_cases.AddSuppression(
            channel=channel,
            address_key=digest,
            patient_id=from_wire("patient", request.patient_id),
            site_id=from_wire("site", request.site_id),
            method=_method(request.method),
            reason=request.reason,
        )

        async def work(store: NotificationsStore) -> pb.AddSuppressionResponse:
            return pb.AddSuppressionResponse(suppression=_suppression(await use_cases.add_suppression(store, command)))

        return await self._db.once(call, request, pb.AddSuppressionResponse, NotificationsStore, work)

    async def LiftSuppression(self, request: pb.LiftSuppressionRequest, call: Call) -> pb.LiftSuppressionResponse:
        id, version = from_wire("suppression", request.suppression_id), from_etag(request.etag)
        asked_by = _method(request.patient_asked_by) if request.patient_asked_by else None

        async def work(store: NotificationsStore) -> pb.LiftSuppressionResponse:
            lifted = await use_cases.lift_suppression(store, id, version, request.reason, asked_by)
            return pb.LiftSuppressionResponse(suppression=_suppression(lifted))

        return await self._db.once(call, request, pb.LiftSuppressionResponse, NotificationsStore, work)


def _method(wire: pb.AskMethod.ValueType) -> Method:
    return Method(pb.AskMethod.Name(wire).removeprefix("ASK_METHOD_"))


def _suppression(found: Suppression) -> pb.Suppression:
    return pb.Suppression(
        id=to_wire("suppression", found.id),
        channel=message_pb2.Channel.Value(f"CHANNEL_{found.channel}"),
        kind=pb.SuppressionKind.Value(f"SUPPRESSION_KIND_{found.kind}"),
        patient_id=to_wire("patient", found.patient_id) if found.patient_id else "",
        site_id=to_wire("site", found.site_id) if found.site_id else "",
        method=found.method,
        reason=found.note,
        create_time=to_timestamp(found.created_at),
        created_by=found.created_by,
        lift_time=to_timestamp(found.lifted_at) if found.lifted_at else None,
        lifted_by=found.lifted_by or "",
        lift_reason=found.lift_note,
        etag=to_etag(found.version),
        of_one_sender=found.sender != EVERY_SENDER,
    )
