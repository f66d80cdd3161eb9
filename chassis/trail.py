"""Search in a service's audit trail: the one RPC of its AuditService, whose messages are alike in every service.

Latest first, by the business time that entries have, and by their places in the trail where that is the same. Each
search walks one index, and looks at the rest of each entry that it comes by: that of the patient, who has few; or else
of the actor, of the method, of time.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from asyncpg import Record
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import ARRAY, BigInteger, ColumnElement, Text, Uuid, any_, func, or_, select

from atoll.common.v1.access_pb2 import Audit
from atoll.common.v1.audit_pb2 import AuditEntry
from chassis.auth import AccessDenied
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.sql import Statement, param
from chassis.store import Store
from chassis.tables import Instant, audit, audit_subject
from chassis.times import to_instant, to_timestamp

SHOWN_MAX = 20
"""Of those whom an entry is about: a board may have shown hundreds."""
EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
LAST_POSITION = 2**63 - 1

_of_chain = audit.c.chain_id == param("chain_id", Uuid)
_actor, _method = param("actor", Text), param("method", Text)
_of_actor, _of_method = audit.c.actor == _actor, audit.c.method == _method
_before = func.row(audit.c.at, audit.c.position) < func.row(param("end", Instant), param("before", BigInteger))
_in_time = audit.c.at >= param("start", Instant), _before


def _given(value: ColumnElement[str], condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return or_(value.is_(None), condition)


def _search(*conditions: ColumnElement[bool]) -> Statement:
    found = select(audit).where(_of_chain, *_in_time, *conditions)
    return Statement(found.order_by(audit.c.at.desc(), audit.c.position.desc()).limit(param("limit")))


OF_TIME = _search()
OF_METHOD = _search(_of_method)
OF_ACTOR = _search(_of_actor, _given(_method, _of_method))
_about = select(audit_subject.c.position).where(
    audit_subject.c.chain_id == param("chain_id", Uuid),
    audit_subject.c.subject_id == any_(param("subjects", ARRAY(Uuid))),
)
OF_SUBJECT = _search(audit.c.position.in_(_about), _given(_actor, _of_actor), _given(_method, _of_method))


class AuditServicer:
    def __init__(self, db: Database, store_type: type[Store], service: ServiceDescriptor) -> None:
        self._db, self._store_type = db, store_type
        self._response_type = GetMessageClass(service.methods_by_name["SearchAudit"].output_type)

    async def SearchAudit(self, request: Any, call: Call) -> Message:
        if call.sites is not None:  # An entry may be of no site, or of many.
            raise AccessDenied()
        page = Page.of(request, call)
        end, before = (datetime.fromisoformat(page.after[0]), int(page.after[1])) if page.after else (None, None)
        within = {
            "start": to_instant(request.start_time) if request.HasField("start_time") else EARLIEST,
            "end": end or (to_instant(request.end_time) if request.HasField("end_time") else LATEST),
            "before": before or (-1 if request.HasField("end_time") else LAST_POSITION),
            "limit": page.limit,
        }

        async def work(store: Store) -> Message:
            subject = from_wire("patient", request.patient_id) if request.patient_id else None
            found = await _find(store, subject, request.actor or None, request.method or None, within)
            kept, token = page.cut(found, key=lambda row: [row["at"].isoformat(), str(row["position"])])
            entries = [_entry(row, subject) for row in kept]
            answer: Message = self._response_type(entries=entries, next_page_token=token)
            return answer

        return await self._db.read(call, request, self._store_type, work)


async def _find(
    store: Store, subject: UUID | None, actor: str | None, method: str | None, within: Mapping[str, Any]
) -> list[Record]:
    if subject:
        subjects = await store.ids_of_subject(subject)
        return await store.rows(OF_SUBJECT, subjects=subjects, actor=actor, method=method, **within)
    if actor:
        return await store.rows(OF_ACTOR, actor=actor, method=method, **within)
    if method:
        return await store.rows(OF_METHOD, method=method, **within)
    return await store.rows(OF_TIME, **within)


def _entry(row: Record, asked_for: UUID | None) -> AuditEntry:
    named = json.loads(row["ids"])
    subjects, roles, sites = (named.pop(name, ()) for name in ("subjects", "roles", "sites"))
    return AuditEntry(
        entry_time=to_timestamp(row["at"]),
        actor=row["actor"],
        method=row["method"],
        kind=Audit.Value(row["kind"]),
        cause=row["cause"],
        roles=roles,
        site_ids=[named["site_id"]] if "site_id" in named else sites,
        patient_ids=_shown(map(UUID, subjects), asked_for),
        patient_count=len(subjects),
        ids=named,
    )


def _shown(subjects: Iterable[UUID], asked_for: UUID | None) -> list[str]:
    first = sorted(subjects, key=lambda id: id != asked_for)[:SHOWN_MAX]  # Else in the order in which they stand there.
    return [to_wire("patient", id) for id in first]
