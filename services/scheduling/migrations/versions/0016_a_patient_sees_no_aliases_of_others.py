"""a patient sees no aliases of others

own_ids() reads them all, as the owner; the service's role, for a patient, those of their own record alone.
"""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute("ALTER FUNCTION own_ids() SECURITY DEFINER")
    op.execute(
        "CREATE POLICY own_by ON patient_alias AS RESTRICTIVE TO scheduling USING (CASE WHEN '' = "
        "coalesce(current_setting('app.patient', true), '') THEN true "
        "ELSE alias_id = ANY ((SELECT own_ids())::uuid[]) END)"
    )
