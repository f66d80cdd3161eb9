"""Patients who call for themselves

They see what is theirs under any of their ids, and nothing that belongs to others' visits but when resources are taken.
"""

from alembic import op

revision = "0013"
down_revision = "0012"

OWN_IDS = """\
CREATE FUNCTION own_ids() RETURNS uuid[] LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
    chain constant uuid := nullif(current_setting('app.chain', true), '')::uuid;
    own constant uuid := nullif(current_setting('app.patient', true), '')::uuid;
    last uuid;
BEGIN
    SELECT end_id INTO last FROM patient_alias WHERE chain_id = chain AND alias_id = own;
    last := coalesce(last, own);
    RETURN ARRAY(SELECT alias_id FROM patient_alias WHERE chain_id = chain AND end_id = last) || ARRAY[own, last];
END $$"""
NO_PATIENT = "'' = coalesce(current_setting('app.patient', true), '')"
OWN_PATIENT = f"{NO_PATIENT} OR patient_id = ANY ((SELECT own_ids())::uuid[])"
OWN_SUBJECT = f"CASE WHEN {NO_PATIENT} THEN true ELSE subject_id = ANY ((SELECT own_ids())::uuid[]) END"
OWN_SITES = """\
'*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))"""
OWN_VISIT = """\
CASE WHEN {no_patient} THEN true ELSE {or_else}(SELECT true FROM visit WHERE visit.chain_id = {table}.chain_id AND visit.id = {table}.visit_id LIMIT 1) END"""


def upgrade() -> None:
    op.execute(OWN_IDS)
    for table in ("adverse_event", "clearance", "course", "hold", "patient", "presence", "task", "visit"):
        op.execute(f"ALTER POLICY own_patient ON {table} USING ({OWN_PATIENT})")
    op.execute(f"ALTER POLICY own_subject ON audit_subject USING ({OWN_SUBJECT})")
    for table in ("visit_status_change", "gate_record", "gate_override"):
        _shown_if(table, OWN_VISIT.format(no_patient=NO_PATIENT, table=table, or_else=""))
    for table in ("site_change", "patient_merge"):
        _shown_if(table, f"CASE WHEN {NO_PATIENT} THEN true ELSE false END")
    held = OWN_VISIT.format(no_patient=NO_PATIENT, table="allocation", or_else="held_until IS NOT NULL OR ")
    for policy in ("changed_by", "deleted_by"):
        op.execute(f"ALTER POLICY {policy} ON allocation USING (({OWN_SITES}) AND {held})")


def _shown_if(table: str, rule: str) -> None:
    op.execute(f"CREATE POLICY shown_if ON {table} AS RESTRICTIVE FOR SELECT USING ({rule})")
