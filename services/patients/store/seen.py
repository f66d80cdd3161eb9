"""Whether the caller sees a record, in SQL: one rule for all that reads or changes it.

The database shows own sites only, in both tables. As `tables.base.RECORD_SEEN`, which holds what belongs to a record.
"""

from sqlalchemy import Uuid, exists, func, literal_column, or_, select, true

from chassis.sql import param
from services.patients.tables.records import break_glass, patient, patient_site

_CHAIN = param("chain_id", Uuid)
_ONE = literal_column("1")
_THE_CALLER = literal_column("current_setting('app.actor', true)")
_site = select(patient_site.c.site_id).where(
    patient_site.c.chain_id == _CHAIN, patient_site.c.patient_id == patient.c.id
)
_glass = (
    select(true())
    .where(break_glass.c.chain_id == _CHAIN, break_glass.c.patient_id == patient.c.id)
    .where(break_glass.c.actor == _THE_CALLER, break_glass.c.expire_at > func.clock_timestamp())
)
AT_ITS_SITES = exists(_site)
"""Staff of its sites see it, and change it."""
# Subselects with a LIMIT: PostgreSQL might read all of what stands behind an EXISTS under an OR into a hash.
AT_ITS_SITES_OR_BEHIND_GLASS = or_(
    _site.with_only_columns(true()).limit(_ONE).scalar_subquery(), _glass.limit(_ONE).scalar_subquery()
)
"""Whoever broke the glass for it sees it, too, for a while: in real time, since it is about access."""
