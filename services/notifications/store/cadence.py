"""What a chain says of its messages: its cadence, its policy, what it paused."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Integer, Uuid, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.sql import Statement, param, params
from chassis.store import Store
from services.notifications.domain.cadence import SHIPPED, Cadence, Late, Rule
from services.notifications.domain.caps import Cap
from services.notifications.domain.hours import SendingHours
from services.notifications.domain.kinds import Anchor, Channel, MessageKind
from services.notifications.domain.pauses import Pause, PauseEnded, PauseNotFound, PauseScope
from services.notifications.domain.policies import SHIPPED_POLICY, ChainPolicy
from services.notifications.store.copies import CHAIN, ID
from services.notifications.tables import cadence, pause, policy

OF_POLICY = (
    "begin_at",
    "end_at",
    "texts_a_day",
    "texts_a_week",
    "text_price_micros",
    "link_base_url",
    "digest_at",
    "version",
)
_newest = select(cadence).where(cadence.c.chain_id == CHAIN).order_by(cadence.c.version.desc()).limit(1)
_one = select(true().label("one")).subquery("one")
_rules = _newest.subquery("newest")
# One row, whether or not the chain has a cadence or a policy of its own.
PLANNING = Statement(
    select(
        _rules.c.version.label("cadence_version"),
        _rules.c.rules,
        *(policy.c[name] for name in OF_POLICY),
    )
    .select_from(_one)
    .outerjoin(_rules, true())
    .outerjoin(policy, policy.c.chain_id == CHAIN)
)
_cadence = pg_insert(cadence).values(params("chain_id", "version", "rules", "create_at"))
ADD_CADENCE = Statement(_cadence)
_policy = pg_insert(policy).values(params("chain_id", *OF_POLICY))
KEEP_POLICY = Statement(
    _policy.on_conflict_do_update(
        index_elements=["chain_id"],
        set_={name: _policy.excluded[name] for name in OF_POLICY},
    )
)
ADD_PAUSE = Statement(
    pg_insert(pause).values(params("chain_id", "id", "scope", "site_id", "channel", "kind", "reason", "begin_at"))
)
END_PAUSE = Statement(
    update(pause)
    .where(pause.c.chain_id == CHAIN, pause.c.id == ID, pause.c.end_at.is_(None))
    .values(end_at=param("end_at"))
    .returning(pause)
)
PAUSE = Statement(select(pause).where(pause.c.chain_id == CHAIN, pause.c.id == ID))
_site_id = param("site_id", Uuid)
PAUSES = Statement(
    select(pause)
    .where(
        pause.c.chain_id == CHAIN,
        pause.c.end_at.is_(None),
        or_(_site_id.is_(None), pause.c.site_id.is_(None), pause.c.site_id == _site_id),
        pause.c.id > param("after", Uuid),
    )
    .order_by(pause.c.id)
    .limit(param("limit", Integer))
)


class CadenceStore(Store):
    async def planning(self) -> tuple[Cadence, ChainPolicy]:
        """What messages are planned by."""
        row = await self.row(PLANNING)
        assert row
        rules = _rules_of(row["rules"]) if row["rules"] else SHIPPED
        return Cadence(row["cadence_version"] or 0, rules), _policy_of(row)

    async def add_cadence(self, new: Cadence) -> None:
        rules = json.dumps([_told(rule) for rule in new.rules])
        await self.rows(ADD_CADENCE, version=new.version, rules=rules, create_at=self.call.now)

    async def keep_policy(self, new: ChainPolicy) -> None:
        await self.rows(
            KEEP_POLICY,
            begin_at=new.hours.begin,
            end_at=new.hours.end,
            texts_a_day=new.courtesy.a_day,
            texts_a_week=new.courtesy.a_week,
            text_price_micros=new.text_price_micros,
            digest_at=new.digest,
            link_base_url=new.link_base_url,
            version=new.version,
        )

    async def add_pause(self, new: Pause) -> None:
        await self.rows(
            ADD_PAUSE,
            id=new.id,
            scope=new.scope,
            site_id=new.site_id,
            channel=new.channel,
            kind=new.kind,
            reason=new.reason,
            begin_at=new.begin,
        )

    async def end_pause(self, pause_id: UUID) -> Pause:
        if row := await self.row(END_PAUSE, id=pause_id, end_at=self.call.now):
            return _pause_of(row)
        raise PauseEnded() if await self.row(PAUSE, id=pause_id) else PauseNotFound()

    async def pauses(self, site_id: UUID | None, after: UUID, limit: int) -> list[Pause]:
        """Those that hold; of a site those of the whole chain, too."""
        return [_pause_of(row) for row in await self.rows(PAUSES, site_id=site_id, after=after, limit=limit)]


def _told(rule: Rule) -> dict[str, Any]:
    return {
        "code": rule.code,
        "kind": rule.kind,
        "anchor": rule.anchor,
        "offset_minutes": rule.offset // timedelta(minutes=1),
        "channels": rule.channels,
        "late": rule.late,
        "unless_confirmed": rule.unless_confirmed,
        "visit_type_codes": sorted(rule.visit_type_codes),
        "protocol_ids": sorted(map(str, rule.protocol_ids)),
        "site_ids": sorted(map(str, rule.site_ids)),
    }


def _rules_of(text: str) -> tuple[Rule, ...]:
    return tuple(map(_rule, json.loads(text)))


def _rule(told: dict[str, Any]) -> Rule:
    return Rule(
        told["code"],
        MessageKind(told["kind"]),
        Anchor(told["anchor"]),
        timedelta(minutes=told["offset_minutes"]),
        tuple(Channel(each) for each in told["channels"]),
        Late(told["late"]),
        told["unless_confirmed"],
        frozenset(told["visit_type_codes"]),
        frozenset(map(UUID, told["protocol_ids"])),
        frozenset(map(UUID, told["site_ids"])),
    )


def _policy_of(row: Record) -> ChainPolicy:
    if row["version"] is None:
        return SHIPPED_POLICY
    hours = SendingHours(row["begin_at"], row["end_at"])
    return ChainPolicy(
        hours,
        Cap(row["texts_a_day"], row["texts_a_week"]),
        row["text_price_micros"],
        row["link_base_url"],
        row["version"],
        row["digest_at"],
    )


def _pause_of(row: Record) -> Pause:
    return Pause(
        row["id"],
        PauseScope(row["scope"]),
        row["site_id"],
        Channel(row["channel"]) if row["channel"] else None,
        MessageKind(row["kind"]) if row["kind"] else None,
        row["reason"],
        row["begin_at"],
        row["end_at"],
    )
