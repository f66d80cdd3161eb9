"""a patient sees no aliases of others

own_ids() reads them all, as the owner; the service's role, for a patient, those of their own record alone.
Nor is it shown to patients who handed a package to whom.
"""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.execute("ALTER FUNCTION own_ids() SECURITY DEFINER")
    op.execute(
        "CREATE POLICY own_by ON patient_alias AS RESTRICTIVE TO billing USING (CASE WHEN '' = "
        "coalesce(current_setting('app.patient', true), '') THEN true "
        "ELSE alias_id = ANY ((SELECT own_ids())::uuid[]) END)"
    )
    op.execute(
        "CREATE POLICY shown_if ON package_transfer AS RESTRICTIVE FOR SELECT USING (CASE WHEN '' = "
        "coalesce(current_setting('app.patient', true), '') THEN true ELSE false END)"
    )
