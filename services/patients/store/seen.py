"""Whether the caller sees a record, in SQL: one rule for all that reads or changes it.

The database shows own sites only, in both tables. As `tables.base.RECORD_SEEN`, which holds what belongs to a record.
"""

from sqlalchemy import ARRAY, ColumnElement, Uuid, any_, cast, exists, func, literal_column, or_, select, true

from chassis.sql import param
from services.patients.tables.records import patient, patient_site

_CHAIN = param("chain_id", Uuid)
_ONE: ColumnElement[int] = literal_column("1")
_site = select(patient_site.c.site_id).where(
    patient_site.c.chain_id == _CHAIN, patient_site.c.patient_id == patient.c.id
)
_glass = patient.c.id == any_(cast(select(func.glass_ids()).scalar_subquery(), ARRAY(Uuid)))
AT_ITS_SITES = exists(_site)
"""Staff of its sites see it, and change it."""
# A subselect with a LIMIT: PostgreSQL might read all of what stands behind an EXISTS under an OR into a hash.
AT_ITS_SITES_OR_BEHIND_GLASS = or_(_site.with_only_columns(true()).limit(_ONE).scalar_subquery(), _glass)
"""Whoever broke the glass for it sees it, too, under any id of the person: for a while, in real time, since it is
about access."""
