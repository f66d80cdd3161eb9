"""Patients who call for themselves

They see what is theirs under any of their ids: documents with their lines, and nothing of the books.
"""

from alembic import op

revision = "0016"
down_revision = "0015"

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
OWN = "(SELECT own_ids())::uuid[]"
NO_PATIENT = "'' = coalesce(current_setting('app.patient', true), '')"
ELSE_OWN = f"CASE WHEN {NO_PATIENT} THEN true ELSE {{own}} END"
OF_PARENT = """\
(SELECT true FROM {parent} WHERE {parent}.chain_id = {table}.chain_id AND {parent}.id = {table}.{column} LIMIT 1)"""
PARENTS = {
    "application": ("invoice", "invoice_id"),
    "credit_note_line": ("credit_note", "credit_note_id"),
    "credit_use": ("invoice", "invoice_id"),
    "estimate_approval": ("course", "course_id"),
    "estimate_excess": ("course", "course_id"),
    "estimate_line": ("estimate", "estimate_id"),
    "invoice_line": ("invoice", "invoice_id"),
    "invoice_tax": ("invoice", "invoice_id"),
    "pin": ("course", "course_id"),
    "unapplication": ("invoice", "invoice_id"),
}
THE_CHAINS = (
    "adjustment",
    "cash_count",
    "credit_note_series",
    "invoice_series",
    "payout",
    "payout_line",
    "payout_line_settlement",
    "payout_share",
    "period",
    "period_balance",
    "posting",
    "processor_event",
    "settlement",
    "settlement_item",
    "taken_reference",
)


def upgrade() -> None:
    op.execute(OWN_IDS)
    owned = op.get_bind().exec_driver_sql(
        "SELECT tablename FROM pg_policies WHERE policyname = 'own_patient' ORDER BY tablename"
    )
    for (table,) in owned.fetchall():
        op.execute(f"ALTER POLICY own_patient ON {table} USING ({NO_PATIENT} OR patient_id = ANY ({OWN}))")
    op.execute(f"ALTER POLICY own_subject ON audit_subject USING ({ELSE_OWN.format(own=f'subject_id = ANY ({OWN})')})")
    _shown_if("patient", ELSE_OWN.format(own=f"id = ANY ({OWN})"))
    for table, (parent, column) in PARENTS.items():
        _shown_if(table, ELSE_OWN.format(own=OF_PARENT.format(table=table, parent=parent, column=column)))
    for table in THE_CHAINS:
        _shown_if(table, ELSE_OWN.format(own="false"))


def _shown_if(table: str, rule: str) -> None:
    op.execute(f"CREATE POLICY shown_if ON {table} AS RESTRICTIVE FOR SELECT USING ({rule})")
