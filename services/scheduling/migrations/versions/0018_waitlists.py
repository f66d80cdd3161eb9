"""waitlists"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_table(
        "waiting_chain",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("waiting_chain_pkey")),
    )
    op.create_table(
        "waitlist_look",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("waitlist_look_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "place", name=op.f("waitlist_look_pkey")),
    )
    op.create_index("waitlist_look_by_site", "waitlist_look", ["chain_id", "site_id", "place"], unique=False)
    op.create_table(
        "waitlist_entry",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("protocol_version_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=True),
        sa.Column("phase_code", sa.Text(), nullable=False),
        sa.Column("visit_type_code", sa.Text(), nullable=False),
        sa.Column("route_code", sa.Text(), nullable=False),
        sa.Column("first_date", sa.Date(), nullable=False),
        sa.Column("last_date", sa.Date(), nullable=False),
        sa.Column("weekdays", sa.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("start_from", sa.SmallInteger(), nullable=False),
        sa.Column("start_until", sa.SmallInteger(), nullable=False),
        sa.Column("notice_minutes", sa.Integer(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("over_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.CheckConstraint("(phase_code = '') <> (visit_type_code = '')", name=op.f("waitlist_entry_one_visit_check")),
        sa.CheckConstraint(
            "(status = 'WAITLIST_STATUS_ENDED') = (end_reason IS NOT NULL)", name=op.f("waitlist_entry_ended_check")
        ),
        sa.CheckConstraint(
            "status IN ('WAITLIST_STATUS_WAITING', 'WAITLIST_STATUS_OFFERED', 'WAITLIST_STATUS_BOOKED', 'WAITLIST_STATUS_ENDED')",
            name=op.f("waitlist_entry_status_check"),
        ),
        sa.CheckConstraint("first_date <= last_date", name=op.f("waitlist_entry_days_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "course_id"],
            ["course.chain_id", "course.id"],
            name=op.f("waitlist_entry_chain_id_course_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "protocol_version_id"],
            ["protocol_version.chain_id", "protocol_version.id"],
            name=op.f("waitlist_entry_chain_id_protocol_version_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("waitlist_entry_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("waitlist_entry_pkey")),
    )
    op.create_index(
        "waitlist_entry_by_end",
        "waitlist_entry",
        ["chain_id", "over_at"],
        unique=False,
        postgresql_where=sa.text("status = 'WAITLIST_STATUS_WAITING'"),
    )
    op.create_index("waitlist_entry_by_patient", "waitlist_entry", ["chain_id", "patient_id"], unique=False)
    op.create_index(
        "waitlist_entry_by_site", "waitlist_entry", ["chain_id", "site_id", "joined_at", "id"], unique=False
    )
    op.create_index(
        "waitlist_entry_by_status", "waitlist_entry", ["chain_id", "site_id", "status", "joined_at", "id"], unique=False
    )
    op.create_table(
        "waitlist_offer",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('OFFER_OUTCOME_ACCEPTED', 'OFFER_OUTCOME_DECLINED', 'OFFER_OUTCOME_EXPIRED', 'OFFER_OUTCOME_WITHDRAWN')",
            name=op.f("waitlist_offer_outcome_check"),
        ),
        sa.CheckConstraint(
            "start_at < end_at AND end_at <= start_at + interval '24 hours'",
            name=op.f("waitlist_offer_a_day_at_most_check"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "entry_id"],
            ["waitlist_entry.chain_id", "waitlist_entry.id"],
            name=op.f("waitlist_offer_chain_id_entry_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("waitlist_offer_pkey")),
    )
    op.create_index(
        "waitlist_offer_one_at_a_time",
        "waitlist_offer",
        ["chain_id", "entry_id"],
        unique=True,
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_index(
        "waitlist_offer_open",
        "waitlist_offer",
        ["chain_id", "site_id"],
        unique=False,
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.add_column("hold", sa.Column("offer_id", sa.Uuid(), nullable=True))
    op.execute("ALTER TABLE hold DROP CONSTRAINT hold_an_hour_at_most_check")
    op.execute(
        "ALTER TABLE hold ADD CONSTRAINT hold_not_for_long_check CHECK (held_at < expire_at AND expire_at <= held_at + CASE WHEN offer_id IS NULL THEN interval '1 hour' ELSE interval '2 hours' END)"
    )
    op.execute("ALTER TABLE task DROP CONSTRAINT task_kind_check")
    op.execute(
        "ALTER TABLE task ADD CONSTRAINT task_kind_check CHECK (kind IN ('TASK_KIND_OVERLAPPING_VISITS', 'TASK_KIND_VISITS_TO_ASSIGN', 'TASK_KIND_BROKEN_VISITS', 'TASK_KIND_VISIT_TO_MOVE', 'TASK_KIND_DEPOSIT_TO_SETTLE', 'TASK_KIND_OFFER_TO_SETTLE'))"
    )
    op.create_index(
        "task_of_offer",
        "task",
        ["chain_id", "visit_ids"],
        unique=True,
        postgresql_where=sa.text("kind = 'TASK_KIND_OFFER_TO_SETTLE' AND state = 'TASK_STATE_OPEN'"),
    )
    op.execute("ALTER TABLE waiting_chain ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE waiting_chain FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON waiting_chain USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON waiting_chain TO scheduling")
    op.execute(
        "CREATE POLICY every_chain ON waiting_chain FOR SELECT TO scheduling USING (current_setting('app.chain', true) = '00000000-0000-0000-0000-000000000000')"
    )
    op.execute("ALTER TABLE waitlist_look ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE waitlist_look FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON waitlist_look USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON waitlist_look AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON waitlist_look TO scheduling")
    op.execute("ALTER TABLE waitlist_entry ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE waitlist_entry FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON waitlist_entry USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON waitlist_entry AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON waitlist_entry AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id = ANY ((SELECT own_ids())::uuid[]))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON waitlist_entry TO scheduling")
    op.execute(
        "ALTER TABLE waitlist_offer ADD CONSTRAINT waitlist_offer_never_twice EXCLUDE USING gist (chain_id WITH =, entry_id WITH =, tstzrange(start_at, end_at) WITH &&)"
    )
    op.execute("ALTER TABLE waitlist_offer ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE waitlist_offer FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON waitlist_offer USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON waitlist_offer AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON waitlist_offer AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id = ANY ((SELECT own_ids())::uuid[]))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON waitlist_offer TO scheduling")
