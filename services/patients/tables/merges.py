"""Merges: which records are one person's, since when, and until when."""

from sqlalchemy import CheckConstraint, Column, Index, Integer, Text, UniqueConstraint, text

from chassis.tables import Instant, chain_table
from services.patients.tables.base import belongs_to, id_, metadata, sealed

# The history: `survivor_id` is the record that was named, which may be merged itself later. Which record stands for a
# merged one now is told by `patient.survivor_id`. `version` counts the merges and unmerges of the merged record.
patient_merge = chain_table(
    "patient_merge",
    metadata,
    id_(key=True),
    id_("survivor_id"),
    id_("merged_id"),
    Column("version", Integer, nullable=False),
    *sealed("reason"),
    Column("merged_by", Text, nullable=False),
    Column("merged_at", Instant, nullable=False),
    id_("unmerge_id", nullable=True),  # In the order of ids: what was written while the merge stood lies between.
    *sealed("unmerge_reason", nullable=True),
    Column("unmerged_by", Text),
    Column("unmerged_at", Instant),
    belongs_to("patient", "survivor_id"),
    belongs_to("patient", "merged_id"),
    CheckConstraint("survivor_id <> merged_id", name="two"),
    CheckConstraint("num_nonnulls(unmerge_id, unmerge_reason, unmerged_by, unmerged_at) IN (0, 4)", name="unmerged"),
    UniqueConstraint("chain_id", "merged_id", "version"),
    Index(
        "patient_merge_standing_key", "chain_id", "merged_id", unique=True, postgresql_where=text("unmerged_at IS NULL")
    ),
    Index("patient_merge_survivor_idx", "chain_id", "survivor_id", "id"),
)

SURVIVOR_STANDS = """
CREATE FUNCTION survivor_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
IF EXISTS (SELECT FROM patient WHERE chain_id = NEW.chain_id AND id = NEW.survivor_id AND survivor_id IS NOT NULL)
OR EXISTS (SELECT FROM patient WHERE chain_id = NEW.chain_id AND survivor_id = NEW.id AND NEW.survivor_id IS NOT NULL)
THEN
    RAISE EXCEPTION 'a merged record stands for no other'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'patient_survivor_stands';
END IF;
RETURN NULL;
END $$
""".strip()
"""So that no two records are aliases of each other, however long the way. After the whole statement: one statement
moves all aliases of a record that is merged."""
SURVIVOR_STANDS_TRIGGER = """
CREATE TRIGGER patient_survivor_stands AFTER UPDATE OF survivor_id ON patient
FOR EACH ROW EXECUTE FUNCTION survivor_stands()
""".strip()
SHARE_SITES = """
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
END $$
""".strip()
"""Who sees one of a person's records sees them all, and may write to them: each gets the sites of all. What a record
had through one that is no longer of the person, it loses. Of all sites, whatever the caller's: a manager of one merges
what others see, too."""
patient_merge.info["ddl"] = [
    SURVIVOR_STANDS,
    SURVIVOR_STANDS_TRIGGER,
    SHARE_SITES,
    "REVOKE EXECUTE ON FUNCTION share_sites FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION share_sites TO patients",
]
