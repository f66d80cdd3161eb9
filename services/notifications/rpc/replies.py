"""ReplyService."""

from datetime import UTC, datetime
from uuid import UUID

from atoll.notifications.v1 import reply_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, new_id, to_wire
from chassis.keyring import Sealed
from chassis.pages import BadPageToken, Page
from chassis.times import to_timestamp
from services.notifications.domain.replies import Answer, NoTexting, Reply, ReplyState, check_answer
from services.notifications.rpc.common import by_keys
from services.notifications.store import NotificationsStore
from services.notifications.texting import Texting
from services.notifications.texting.keys import message_keys
from services.notifications.texting.listener import Listener
from services.notifications.use_cases import texting as use_cases

FIRST = datetime(1, 1, 1, tzinfo=UTC), UUID(int=0)
"""Sorts before every reply."""


class ReplyServicer:
    def __init__(self, db: Database, texting: Texting, listener: Listener) -> None:
        self._db, self._texting, self._listener = db, texting, listener

    async def open(self) -> None:
        await self._listener.open()

    async def close(self) -> None:
        await self._listener.close()

    async def ListReplies(self, request: pb.ListRepliesRequest, call: Call) -> pb.ListRepliesResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        state = ReplyState(pb.ReplyState.Name(request.state).removeprefix("REPLY_STATE_")) if request.state else None
        found = await self._db.read(
            call, request, NotificationsStore, lambda store: store.replies(site_id, state, _after(page), page.limit)
        )
        shown, token = page.cut(found, key=lambda reply: [reply.received_at.isoformat(), str(reply.id)])
        return pb.ListRepliesResponse(replies=map(_reply, shown), next_page_token=token)

    async def GetReply(self, request: pb.GetReplyRequest, call: Call) -> pb.GetReplyResponse:
        id = from_wire("reply", request.reply_id)

        async def read(store: NotificationsStore) -> pb.GetReplyResponse:
            reply, phone, said = await store.reply(id)
            answers = [_answer(answer, words) for answer, words in await store.answers(id)]
            return pb.GetReplyResponse(
                reply=_reply(reply),
                text=_opened(said, "said", id),
                phone=_opened(phone, "phone", id),
                answers=answers,
            )

        return await self._db.read(call, request, NotificationsStore, read)

    async def AssignReply(self, request: pb.AssignReplyRequest, call: Call) -> pb.AssignReplyResponse:
        id, version, to = from_wire("reply", request.reply_id), from_etag(request.etag), request.assignee

        async def work(store: NotificationsStore) -> pb.AssignReplyResponse:
            return pb.AssignReplyResponse(reply=_reply(await use_cases.assign_reply(store, id, version, to)))

        return await self._db.once(call, request, pb.AssignReplyResponse, NotificationsStore, work)

    async def CloseReply(self, request: pb.CloseReplyRequest, call: Call) -> pb.CloseReplyResponse:
        id, version, reason = from_wire("reply", request.reply_id), from_etag(request.etag), request.reason

        async def work(store: NotificationsStore) -> pb.CloseReplyResponse:
            return pb.CloseReplyResponse(reply=_reply(await use_cases.close_reply(store, id, version, reason)))

        return await self._db.once(call, request, pb.CloseReplyResponse, NotificationsStore, work)

    async def AnswerReply(self, request: pb.AnswerReplyRequest, call: Call) -> pb.AnswerReplyResponse:
        check_answer(request.text)
        answer_id = new_id()
        with by_keys():
            sealed = message_keys().seal(request.text.encode(), "said", answer_id)
        command = use_cases.AnswerReply(from_wire("reply", request.reply_id), answer_id, sealed)

        async def work(store: NotificationsStore) -> pb.AnswerReplyResponse:
            reply, _, _ = await store.reply(command.reply_id)
            if reply.account not in self._texting or self._texting.first_site(reply.account, reply.sender) is None:
                raise NoTexting()
            answer = await use_cases.answer_reply(store, command)
            return pb.AnswerReplyResponse(answer=_answer(answer, None))

        return await self._db.once(call, request, pb.AnswerReplyResponse, NotificationsStore, work)


def _after(page: Page) -> tuple[datetime, UUID]:
    if page.after is None:
        return FIRST
    try:
        at, id = page.after
        return datetime.fromisoformat(at), UUID(id)
    except ValueError:
        raise BadPageToken() from None


def _opened(sealed: Sealed | None, part: str, id: UUID) -> str:
    with by_keys():
        return message_keys().open(sealed, part, id).decode() if sealed else ""


def _reply(reply: Reply) -> pb.Reply:
    return pb.Reply(
        id=to_wire("reply", reply.id),
        site_id=to_wire("site", reply.site_id),
        patient_id=to_wire("patient", reply.patient_id) if reply.patient_id else "",
        visit_id=to_wire("visit", reply.visit_id) if reply.visit_id else "",
        meaning=pb.ReplyMeaning.Value(f"REPLY_MEANING_{reply.meaning}"),
        state=pb.ReplyState.Value(f"REPLY_STATE_{reply.state}"),
        receive_time=to_timestamp(reply.received_at),
        assignee=reply.assigned_to or "",
        closed_by=reply.closed_by or "",
        close_time=to_timestamp(reply.closed_at) if reply.closed_at else None,
        close_reason=reply.close_reason,
        etag=to_etag(reply.version),
    )


def _answer(answer: Answer, words: Sealed | None) -> pb.ReplyAnswer:
    """The answer to a change is remembered, which what staff wrote is not to be: it stands without their words."""
    return pb.ReplyAnswer(
        id=to_wire("answer", answer.id),
        kind=pb.ReplyAnswerKind.Value(f"REPLY_ANSWER_KIND_{answer.kind}"),
        state=pb.ReplyAnswerState.Value(f"REPLY_ANSWER_STATE_{answer.state}"),
        written_by=answer.written_by,
        create_time=to_timestamp(answer.created_at),
        send_time=to_timestamp(answer.sent_at) if answer.sent_at else None,
        code=answer.code,
        text=_opened(words, "said", answer.id),
    )
