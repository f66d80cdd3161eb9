"""Whether the caller sees a record, in SQL: one rule for all that reads or changes it.

The database shows own sites only, in both tables. As `tables.base.RECORD_SEEN`, which holds what belongs to a record.
"""

from sqlalchemy import Text, Uuid, exists, func, or_, select, true

from chassis.sql import param
from services.patients.tables.records import break_glass, patient, patient_site

_CHAIN = param("chain_id", Uuid)
_site = select(patient_site.c.site_id).where(
    patient_site.c.chain_id == _CHAIN, patient_site.c.patient_id == patient.c.id
)
# A subselect with a LIMIT: PostgreSQL might read all of what stands behind an EXISTS into a hash.
_glass = (
    select(true())
    .where(break_glass.c.chain_id == _CHAIN, break_glass.c.patient_id == patient.c.id)
    .where(break_glass.c.actor == param("actor", Text), break_glass.c.expire_at > func.clock_timestamp())
    .limit(1)
)
AT_ITS_SITES = exists(_site)
"""Staff of its sites see it, and change it."""
AT_ITS_SITES_OR_BEHIND_GLASS = or_(_site.with_only_columns(true()).limit(1).scalar_subquery(), _glass.scalar_subquery())
"""Whoever broke the glass for it sees it, too, for a while: in real time, since it is about access."""
