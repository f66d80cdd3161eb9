"""MessageService: messages in, store, messages out. No rules, no SQL; the chassis has done the rest."""

from datetime import UTC, datetime
from uuid import UUID

from asyncpg import Record

from atoll.notifications.v1 import message_pb2
from atoll.notifications.v1 import message_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.pages import BadPageToken, Page
from chassis.times import to_instant, to_timestamp
from services.notifications.domain.messages import PassedOver, Status
from services.notifications.rpc.common import channel_of, channel_to_wire, kind_to_wire
from services.notifications.store import NotificationsStore
from services.notifications.store.messages import FIRST, passed_over_of
from services.notifications.use_cases.resending import resend

FOREVER = datetime.max.replace(tzinfo=UTC)


class MessageServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetMessage(self, request: pb.GetMessageRequest, call: Call) -> pb.GetMessageResponse:
        message_id = from_wire("message", request.message_id)
        found = await self._db.read(call, request, NotificationsStore, lambda store: store.message(message_id))
        return pb.GetMessageResponse(message=message_to_wire(found))

    async def ListMessages(self, request: pb.ListMessagesRequest, call: Call) -> pb.ListMessagesResponse:
        about = str(request.WhichOneof("about"))
        about_id = from_wire(about.removesuffix("_id"), getattr(request, about))
        page, status, due_by = Page.of(request, call), _status(request.status), _due_by(request)
        found = await self._db.read(
            call,
            request,
            NotificationsStore,
            lambda store: store.messages(about, about_id, status, due_by, _after(page), page.limit),
        )
        shown, token = page.cut(found, key=lambda row: [row["due_at"].isoformat(), str(row["id"])])
        return pb.ListMessagesResponse(messages=map(message_to_wire, shown), next_page_token=token)

    async def ResendMessage(self, request: pb.ResendMessageRequest, call: Call) -> pb.ResendMessageResponse:
        message_id = from_wire("message", request.message_id)
        channel = channel_of(request.channel) if request.channel else None

        async def work(store: NotificationsStore) -> pb.ResendMessageResponse:
            return pb.ResendMessageResponse(message=message_to_wire(await resend(store, message_id, channel)))

        return await self._db.once(call, request, pb.ResendMessageResponse, NotificationsStore, work)

    async def CountMessages(self, request: pb.CountMessagesRequest, call: Call) -> pb.CountMessagesResponse:
        site_id = from_wire("site", request.site_id) if request.site_id else None
        due_by = _due_by(request)

        async def work(store: NotificationsStore) -> tuple[dict[Status, int], datetime | None]:
            return await store.counts(site_id, due_by), await store.next_due(site_id)

        counts, next_due = await self._db.read(call, request, NotificationsStore, work)
        return pb.CountMessagesResponse(
            counts=[
                pb.CountMessagesResponse.Count(status=_wire_status(status), messages=messages)
                for status, messages in counts.items()
            ],
            next_due_time=to_timestamp(next_due) if next_due else None,
        )


def _due_by(request: pb.ListMessagesRequest | pb.CountMessagesRequest) -> datetime:
    return to_instant(request.due_by_time) if request.HasField("due_by_time") else FOREVER


def _after(page: Page) -> tuple[datetime, UUID]:
    if page.after is None:
        return FIRST
    try:
        due, id = page.after
        return datetime.fromisoformat(due), UUID(id)
    except ValueError:
        raise BadPageToken() from None


def _status(wire: message_pb2.MessageStatus.ValueType) -> Status | None:
    name = message_pb2.MessageStatus.Name(wire).removeprefix("MESSAGE_STATUS_")
    return Status(name) if wire else None


def _wire_status(status: str) -> message_pb2.MessageStatus.ValueType:
    return message_pb2.MessageStatus.Value(f"MESSAGE_STATUS_{status}")


def message_to_wire(row: Record) -> message_pb2.Message:
    return message_pb2.Message(
        id=to_wire("message", row["id"]),
        patient_id=to_wire("patient", row["patient_id"]),
        visit_id=to_wire("visit", row["visit_id"]) if row["visit_id"] else "",
        site_id=to_wire("site", row["site_id"]),
        kind=kind_to_wire(row["kind"]),
        channel=channel_to_wire(row["channel"]),
        due_time=to_timestamp(row["due_at"]),
        status=_wire_status(row["status"]),
        reason=_wire_reason(row["reason"]),
        attempts=row["attempts"],
        template=_template(row) if row["template"] else None,
        event_id=str(row["event_id"]),
        last_error=row["last_error"] or "",
        sent_time=to_timestamp(row["sent_at"]) if row["sent_at"] else None,
        rule_code=row["rule"],
        cadence_version=row["cadence_version"],
        about=row["about"] or "",
        next_channels=map(channel_to_wire, row["channels"][1:]),
        passed_over=map(_passed_over, passed_over_of(row)),
        deliver_time=to_timestamp(row["delivered_at"]) if row["delivered_at"] else None,
        digest_message_id=to_wire("message", row["digest_id"]) if row["digest_id"] else "",
    )


def _wire_reason(reason: str | None) -> message_pb2.MessageReason.ValueType:
    return message_pb2.MessageReason.Value(f"MESSAGE_REASON_{reason or 'UNSPECIFIED'}")


def _passed_over(each: PassedOver) -> message_pb2.PassedOverChannel:
    return message_pb2.PassedOverChannel(
        channel=channel_to_wire(each.channel), reason=_wire_reason(each.reason), code=each.code
    )


def _template(row: Record) -> message_pb2.TemplateRef:
    return message_pb2.TemplateRef(
        code=row["template"], version=row["template_version"], language=row["template_language"]
    )
