"""A person is seen under all their ids

By whoever broke the glass for one of them, and by the patient. In every table of patients that there is by now.
"""

from alembic import op

revision = "0012"
down_revision = "0011"

PERSONS = """\
CREATE FUNCTION ids_of_persons(named uuid[]) RETURNS uuid[] LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
    chain constant uuid := nullif(current_setting('app.chain', true), '')::uuid;
    own constant uuid := nullif(current_setting('app.patient', true), '')::uuid;
    caller constant text := current_setting('app.actor', true);
    instant constant timestamptz := clock_timestamp();
BEGIN
RETURN ARRAY(WITH known AS (
    SELECT unnest(named) AS id UNION SELECT survivor_id FROM patient
        WHERE chain_id = chain AND id = ANY (named) AND survivor_id IS NOT NULL
)
SELECT id FROM known
UNION SELECT id FROM patient WHERE chain_id = chain AND survivor_id = ANY (ARRAY(SELECT id FROM known)));
END $$"""
OWN_IDS = """\
CREATE FUNCTION own_ids() RETURNS uuid[] LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
    chain constant uuid := nullif(current_setting('app.chain', true), '')::uuid;
    own constant uuid := nullif(current_setting('app.patient', true), '')::uuid;
    caller constant text := current_setting('app.actor', true);
    instant constant timestamptz := clock_timestamp();
BEGIN
RETURN ids_of_persons(ARRAY[own]);
END $$"""
GLASS_IDS = """\
CREATE FUNCTION glass_ids() RETURNS uuid[] LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
    chain constant uuid := nullif(current_setting('app.chain', true), '')::uuid;
    own constant uuid := nullif(current_setting('app.patient', true), '')::uuid;
    caller constant text := current_setting('app.actor', true);
    instant constant timestamptz := clock_timestamp();
BEGIN
RETURN ids_of_persons(ARRAY(SELECT patient_id FROM break_glass
    WHERE chain_id = chain AND actor = caller AND expire_at > instant));
END $$"""
OWN_PATIENT = """\
'' = coalesce(current_setting('app.patient', true), '') OR patient_id = ANY ((SELECT own_ids())::uuid[])"""
OWN_SUBJECT = """\
CASE WHEN '' = coalesce(current_setting('app.patient', true), '') THEN true ELSE subject_id = ANY ((SELECT own_ids())::uuid[]) END"""
SEEN = """\
'*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen WHERE seen.chain_id = {table}.chain_id AND seen.patient_id = {table}.patient_id LIMIT 1) OR {table}.patient_id = ANY ((SELECT glass_ids())::uuid[])"""
OWN_SITES = """\
'*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))"""


def upgrade() -> None:
    op.create_index("break_glass_actor_idx", "break_glass", ["chain_id", "actor", "expire_at"], unique=False)
    for function in (PERSONS, OWN_IDS, GLASS_IDS):
        op.execute(function)
    op.execute(f"ALTER POLICY own_subject ON audit_subject USING ({OWN_SUBJECT})")
    policies = op.get_bind().exec_driver_sql(
        "SELECT tablename, policyname FROM pg_policies WHERE policyname = 'own_patient' "
        "OR policyname = 'own_sites' AND qual LIKE '%%break_glass%%' ORDER BY tablename, policyname"
    )
    for table, policy in policies.fetchall():
        if policy == "own_patient":
            op.execute(f"ALTER POLICY own_patient ON {table} USING ({OWN_PATIENT})")
        else:
            seen = SEEN.format(table=table) + (f" OR {OWN_SITES}" if table == "patient_change" else "")
            op.execute(f"ALTER POLICY own_sites ON {table} USING ({seen})")
