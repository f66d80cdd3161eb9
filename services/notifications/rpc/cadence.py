"""Cadences and sending policies."""

from datetime import time, timedelta

from google.type.timeofday_pb2 import TimeOfDay

from atoll.notifications.v1 import cadence_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.errors import BadRequest, Violation
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, to_wire
from services.notifications.domain.cadence import SHIPPED, Cadence, Late, Rule
from services.notifications.domain.caps import Cap
from services.notifications.domain.hours import SendingHours
from services.notifications.domain.kinds import Anchor
from services.notifications.domain.policies import ChainPolicy
from services.notifications.rpc.common import channel_of, channel_to_wire, kind_of, kind_to_wire
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import cadence as use_case


class CadenceServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetCadence(self, request: pb.GetCadenceRequest, call: Call) -> pb.GetCadenceResponse:
        found, _ = await self._db.read(call, request, NotificationsStore, lambda store: store.planning())
        return pb.GetCadenceResponse(cadence=_cadence(Cadence(0, SHIPPED) if request.shipped else found))

    async def UpdateCadence(self, request: pb.UpdateCadenceRequest, call: Call) -> pb.UpdateCadenceResponse:
        rules, version = tuple(map(_rule, request.rules)), from_etag(request.etag)

        async def work(store: NotificationsStore) -> pb.UpdateCadenceResponse:
            return pb.UpdateCadenceResponse(cadence=_cadence(await use_case.change_cadence(store, rules, version)))

        return await self._db.once(
            call, request, pb.UpdateCadenceResponse, NotificationsStore, work, locks=[call.chain_id]
        )

    async def GetSendingPolicy(self, request: pb.GetSendingPolicyRequest, call: Call) -> pb.GetSendingPolicyResponse:
        _, found = await self._db.read(call, request, NotificationsStore, lambda store: store.planning())
        return pb.GetSendingPolicyResponse(sending_policy=_policy(found))

    async def UpdateSendingPolicy(
        self, request: pb.UpdateSendingPolicyRequest, call: Call
    ) -> pb.UpdateSendingPolicyResponse:
        told = _told_policy(request.sending_policy)

        async def work(store: NotificationsStore) -> pb.UpdateSendingPolicyResponse:
            return pb.UpdateSendingPolicyResponse(sending_policy=_policy(await use_case.change_policy(store, told)))

        return await self._db.once(
            call, request, pb.UpdateSendingPolicyResponse, NotificationsStore, work, locks=[call.chain_id]
        )


def _cadence(cadence: Cadence) -> pb.Cadence:
    return pb.Cadence(version=cadence.version, rules=map(_rule_to_wire, cadence.rules), etag=to_etag(cadence.version))


def _rule_to_wire(rule: Rule) -> pb.CadenceRule:
    return pb.CadenceRule(
        code=rule.code,
        kind=kind_to_wire(rule.kind),
        anchor=pb.CadenceAnchor.Value(f"CADENCE_ANCHOR_{rule.anchor}"),
        offset_minutes=rule.offset // timedelta(minutes=1),
        channels=map(channel_to_wire, rule.channels),
        late=pb.LateMessage.Value(f"LATE_MESSAGE_{rule.late}"),
        unless_confirmed=rule.unless_confirmed,
        visit_type_codes=sorted(rule.visit_type_codes),
        protocol_ids=sorted(to_wire("protocol", each) for each in rule.protocol_ids),
        site_ids=sorted(to_wire("site", each) for each in rule.site_ids),
    )


def _rule(told: pb.CadenceRule) -> Rule:
    late = pb.LateMessage.Name(told.late).removeprefix("LATE_MESSAGE_")
    return Rule(
        code=told.code,
        kind=kind_of(told.kind),
        anchor=Anchor(pb.CadenceAnchor.Name(told.anchor).removeprefix("CADENCE_ANCHOR_")),
        offset=timedelta(minutes=told.offset_minutes),
        channels=tuple(map(channel_of, told.channels)),
        late=Late(late) if told.late else Late.SEND,
        unless_confirmed=told.unless_confirmed,
        visit_type_codes=frozenset(told.visit_type_codes),
        protocol_ids=frozenset(from_wire("protocol", each) for each in told.protocol_ids),
        site_ids=frozenset(from_wire("site", each) for each in told.site_ids),
    )


def _policy(policy: ChainPolicy) -> pb.SendingPolicy:
    return pb.SendingPolicy(
        begin_time=TimeOfDay(hours=policy.hours.begin.hour, minutes=policy.hours.begin.minute),
        end_time=TimeOfDay(hours=policy.hours.end.hour, minutes=policy.hours.end.minute),
        texts_a_day=policy.courtesy.a_day,
        texts_a_week=policy.courtesy.a_week,
        text_price_micros=policy.text_price_micros,
        link_base_url=policy.link_base_url,
        digest_time=TimeOfDay(hours=policy.digest.hour, minutes=policy.digest.minute) if policy.digest else None,
        etag=to_etag(policy.version),
    )


def _told_policy(told: pb.SendingPolicy) -> ChainPolicy:
    hours = SendingHours(_time(told.begin_time, "begin_time"), _time(told.end_time, "end_time"))
    cap = Cap(told.texts_a_day, told.texts_a_week)
    digest = _time(told.digest_time, "digest_time") if told.HasField("digest_time") else None
    return ChainPolicy(hours, cap, told.text_price_micros, told.link_base_url, from_etag(told.etag), digest)


def _time(told: TimeOfDay, field: str) -> time:
    try:
        return time(told.hours, told.minutes)
    except ValueError:
        raise BadRequest(Violation(f"sending_policy.{field}", "time", "is no time of a day")) from None
