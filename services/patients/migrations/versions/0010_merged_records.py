"""Merged records"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

SURVIVOR_STANDS = """\
CREATE FUNCTION survivor_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
IF EXISTS (SELECT FROM patient WHERE chain_id = NEW.chain_id AND id = NEW.survivor_id AND survivor_id IS NOT NULL)
OR EXISTS (SELECT FROM patient WHERE chain_id = NEW.chain_id AND survivor_id = NEW.id AND NEW.survivor_id IS NOT NULL)
THEN
    RAISE EXCEPTION 'a merged record stands for no other'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'patient_survivor_stands';
END IF;
RETURN NULL;
END $$"""
SURVIVOR_STANDS_TRIGGER = """\
CREATE TRIGGER patient_survivor_stands AFTER UPDATE OF survivor_id ON patient
FOR EACH ROW EXECUTE FUNCTION survivor_stands()"""
SHARE_SITES = """\
CREATE FUNCTION share_sites(members uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    chain constant uuid := nullif(current_setting('app.chain', true), '')::uuid;
    callers constant text := current_setting('app.sites', true);
    own uuid[];
    extra record;
BEGIN
PERFORM set_config('app.sites', '*', true);
SELECT array_agg(DISTINCT site_id) INTO own FROM patient_site
    WHERE chain_id = chain AND patient_id = ANY (members) AND NOT shared;
INSERT INTO patient_site (chain_id, patient_id, site_id, shared)
    SELECT chain, member, site, true FROM unnest(members) AS member, unnest(own) AS site ORDER BY member, site
    ON CONFLICT DO NOTHING;
FOR extra IN SELECT patient_id, site_id FROM patient_site
    WHERE chain_id = chain AND patient_id = ANY (members) AND shared AND site_id <> ALL (own)
LOOP
    BEGIN
        DELETE FROM patient_site
            WHERE chain_id = chain AND patient_id = extra.patient_id AND site_id = extra.site_id;
    EXCEPTION WHEN foreign_key_violation THEN
        NULL;  -- Something was written there meanwhile.
    END;
END LOOP;
PERFORM set_config('app.sites', callers, true);
END $$"""


def upgrade() -> None:
    op.create_table(
        "patient_merge",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("survivor_id", sa.Uuid(), nullable=False),
        sa.Column("merged_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("merged_by", sa.Text(), nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("unmerge_id", sa.Uuid(), nullable=True),
        sa.Column("unmerge_reason", sa.Text(), nullable=True),
        sa.Column("unmerged_by", sa.Text(), nullable=True),
        sa.Column("unmerged_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "num_nonnulls(unmerge_id, unmerge_reason, unmerged_by, unmerged_at) IN (0, 4)",
            name=op.f("patient_merge_unmerged_check"),
        ),
        sa.CheckConstraint("survivor_id <> merged_id", name=op.f("patient_merge_two_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "merged_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("patient_merge_chain_id_merged_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "survivor_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("patient_merge_chain_id_survivor_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("patient_merge_pkey")),
        sa.UniqueConstraint(
            "chain_id", "merged_id", "version", name=op.f("patient_merge_chain_id_merged_id_version_key")
        ),
    )
    op.create_index(
        "patient_merge_standing_key",
        "patient_merge",
        ["chain_id", "merged_id"],
        unique=True,
        postgresql_where=sa.text("unmerged_at IS NULL"),
    )
    op.create_index("patient_merge_survivor_idx", "patient_merge", ["chain_id", "survivor_id", "id"], unique=False)
    op.add_column("patient", sa.Column("survivor_id", sa.Uuid(), nullable=True))
    op.create_index(
        "patient_survivor_idx",
        "patient",
        ["chain_id", "survivor_id"],
        unique=False,
        postgresql_where=sa.text("survivor_id IS NOT NULL"),
    )
    op.create_foreign_key(
        op.f("patient_chain_id_survivor_id_fkey"), "patient", "patient", ["chain_id", "survivor_id"], ["chain_id", "id"]
    )
    op.create_check_constraint(op.f("patient_survivor_check"), "patient", "survivor_id <> id")
    op.add_column("patient_site", sa.Column("shared", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.execute("ALTER TABLE patient_merge ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE patient_merge FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON patient_merge USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON patient_merge TO patients")
    op.execute(SURVIVOR_STANDS)
    op.execute(SURVIVOR_STANDS_TRIGGER)
    op.execute(SHARE_SITES)
    op.execute("REVOKE EXECUTE ON FUNCTION share_sites FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION share_sites TO patients")
