"""SQL of permissions."""

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Boolean, ColumnClause, Text, Uuid, insert, literal_column, select
from sqlalchemy.dialects.postgresql import distinct_on

from chassis.sql import Statement, TypeArgument, param, rows
from chassis.store import Store
from chassis.tables import Instant
from services.patients.domain.contacts import ContactUse
from services.patients.domain.permissions import Channel, Giver, Permission, PermissionMethod, Purpose, Said
from services.patients.store.persons import PERSON
from services.patients.tables.permissions import permission

CHAIN, PATIENT = param("chain_id", Uuid), param("patient_id", Uuid)
LAST_ID = UUID(int=2**128 - 1)

_columns: dict[str, TypeArgument] = {
    "id": Uuid,
    "patient_id": Uuid,
    "site_id": Uuid,
    "channel": Text,
    "purpose": Text,
    "use": Text,
    "permitted": Boolean,
    "giver": Text,
    "method": Text,
    "told_at": Instant,
    "wording_code": Text,
    "version_id": Uuid,
    "recorded_by": Text,
    "recorded_at": Instant,
}
_new = rows("new_permission", **_columns)
ADD_PERMISSIONS = Statement(
    insert(permission).from_select(["chain_id", *_columns], select(CHAIN, *(_new.c[name] for name in _columns)))
)
_of_patient = select(permission).where(permission.c.chain_id == CHAIN, permission.c.patient_id == PERSON)
PERMISSIONS = Statement(
    _of_patient.where(permission.c.id < param("before", Uuid)).order_by(permission.c.id.desc()).limit(param("limit"))
)
_by_companion: ColumnClause[bool] = literal_column(f"giver = '{Giver.COMPANION}'")
_one_word = (permission.c.channel, permission.c.purpose, permission.c.use, _by_companion)
LAST_WORDS = Statement(
    select(*_one_word[:3], _by_companion.label("by_companion"), permission.c.permitted, permission.c.told_at)
    .ext(distinct_on(*_one_word))
    .where(permission.c.chain_id == CHAIN, permission.c.patient_id == PERSON)
    .order_by(*_one_word, permission.c.told_at.desc(), permission.c.id.desc())
)


class PermissionStore(Store):
    async def add_permissions(self, new: Sequence[Permission]) -> None:
        """Not the last write of a change: a consumer has none."""
        await self.rows(ADD_PERMISSIONS, **{name: [getattr(each, name) for each in new] for name in _columns})

    async def permissions(self, patient_id: UUID, before: UUID | None, limit: int) -> list[Permission]:
        """The latest recorded first: ids are in the order of their making."""
        found = await self.rows(PERMISSIONS, patient_id=patient_id, before=before or LAST_ID, limit=limit)
        return [permission_of(row) for row in found]

    async def last_words(self, patient_id: UUID) -> list[Said]:
        """For each channel, purpose, use and side, what was told last."""
        return [
            Said(
                Channel(row["channel"]),
                Purpose(row["purpose"]),
                ContactUse(row["use"]),
                row["by_companion"],
                row["permitted"],
                row["told_at"],
            )
            for row in await self.rows(LAST_WORDS, patient_id=patient_id)
        ]


def permission_of(row: Record) -> Permission:
    return Permission(
        id=row["id"],
        patient_id=row["patient_id"],
        site_id=row["site_id"],
        channel=Channel(row["channel"]),
        purpose=Purpose(row["purpose"]),
        use=ContactUse(row["use"]),
        permitted=row["permitted"],
        giver=Giver(row["giver"]),
        method=PermissionMethod(row["method"]),
        told_at=row["told_at"],
        wording_code=row["wording_code"],
        version_id=row["version_id"],
        recorded_by=row["recorded_by"],
        recorded_at=row["recorded_at"],
    )
