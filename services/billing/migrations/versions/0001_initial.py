"""initial"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("ids", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "position", name=op.f("audit_pkey")),
    )
    op.create_index("audit_position_idx", "audit", ["position"], unique=False)
    op.create_table(
        "audit_seal",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "sequence", name=op.f("audit_seal_pkey")),
        sa.UniqueConstraint("chain_id", "position", name=op.f("audit_seal_chain_id_position_key")),
    )
    op.create_table(
        "dead_letter",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("waits_for", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("buried_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("replay_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("chain_id", "consumer", "message_id", name=op.f("dead_letter_pkey")),
    )
    op.create_index(
        "dead_letter_replay_idx",
        "dead_letter",
        ["replay_at"],
        unique=False,
        postgresql_where=sa.text("replay_at IS NOT NULL"),
    )
    op.create_index(
        "dead_letter_waiting_idx",
        "dead_letter",
        ["waits_for"],
        unique=False,
        postgresql_where=sa.text("waits_for IS NOT NULL"),
    )
    op.create_table(
        "entry",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("legal_entity_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.SmallInteger(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("entry_pkey")),
        sa.UniqueConstraint("chain_id", "source", "source_id", name=op.f("entry_chain_id_source_source_id_key")),
    )
    op.create_index("entry_of_patient_idx", "entry", ["chain_id", "patient_id", "id"], unique=False)
    op.create_index("entry_of_site_idx", "entry", ["chain_id", "site_id", "id"], unique=False)
    op.create_table(
        "idempotency",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "actor", "method", "request_id", name=op.f("idempotency_pkey")),
    )
    op.create_table(
        "inbox",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "consumer", "event_id", name=op.f("inbox_pkey")),
    )
    op.create_table(
        "invoice_series",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("legal_entity_id", sa.Uuid(), nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "legal_entity_id", name=op.f("invoice_series_pkey")),
    )
    op.create_table(
        "legal_entity",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("legal_entity_pkey")),
    )
    op.create_table(
        "open_item",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("left_minor", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("left_minor >= 0", name=op.f("open_item_left_check")),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("open_item_pkey")),
    )
    op.create_index(
        "open_item_left_idx",
        "open_item",
        ["chain_id", "patient_id", "site_id"],
        unique=False,
        postgresql_where=sa.text("left_minor > 0"),
    )
    op.create_table(
        "outbox",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("aggregate_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("chain_id", "event_id", name=op.f("outbox_pkey")),
    )
    op.create_index(
        "outbox_unpublished_idx", "outbox", ["position"], unique=False, postgresql_where=sa.text("published_at IS NULL")
    )
    op.create_table(
        "patient",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("patient_pkey")),
    )
    op.create_table(
        "site",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("legal_entity_id", sa.Uuid(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("site_pkey")),
    )
    op.create_table(
        "visit_type",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("protocol_version_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "protocol_version_id", "code", name=op.f("visit_type_pkey")),
    )
    op.create_table(
        "course",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("protocol_version_id", sa.Uuid(), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("course_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("course_pkey")),
    )
    op.create_table(
        "estimate",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("trigger", sa.SmallInteger(), nullable=False),
        sa.Column("service_date", sa.Date(), nullable=False),
        sa.Column("price_book_id", sa.Uuid(), nullable=True),
        sa.Column("price_book_version", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("total_minor", sa.BigInteger(), nullable=True),
        sa.Column("deposit_minor", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("estimate_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("estimate_pkey")),
        sa.UniqueConstraint("chain_id", "course_id", "version", name=op.f("estimate_chain_id_course_id_version_key")),
    )
    op.create_index("estimate_of_patient_idx", "estimate", ["chain_id", "patient_id", "id"], unique=False)
    op.create_index("estimate_of_site_idx", "estimate", ["chain_id", "site_id", "id"], unique=False)
    op.create_index(
        "estimate_unpriced_idx",
        "estimate",
        ["chain_id", "site_id", "id"],
        unique=False,
        postgresql_where=sa.text("total_minor IS NULL"),
    )
    op.create_table(
        "posting",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("legal_entity_id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.SmallInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("posting_amount_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "entry_id"], ["entry.chain_id", "entry.id"], name=op.f("posting_chain_id_entry_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "entry_id", "position", name=op.f("posting_pkey")),
    )
    op.create_index(
        "posting_of_legal_entity_idx", "posting", ["chain_id", "legal_entity_id", "account", "currency"], unique=False
    )
    op.create_table(
        "price_book",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("effective_date", sa.Date(), nullable=False),
        sa.Column("deposit_minor", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("deposit_minor >= 0", name=op.f("price_book_deposit_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("price_book_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("price_book_pkey")),
    )
    op.create_index("price_book_of_site_idx", "price_book", ["chain_id", "site_id", "effective_date"], unique=False)
    op.create_table(
        "estimate_line",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("estimate_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("visit_type_code", sa.Text(), nullable=False),
        sa.Column("route_code", sa.Text(), nullable=False),
        sa.Column("band_code", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("unit_price_minor", sa.BigInteger(), nullable=True),
        sa.Column("price_item_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "(unit_price_minor IS NULL) = (price_item_id IS NULL)", name=op.f("estimate_line_priced_check")
        ),
        sa.CheckConstraint("count > 0", name=op.f("estimate_line_count_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "estimate_id"],
            ["estimate.chain_id", "estimate.id"],
            name=op.f("estimate_line_chain_id_estimate_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "estimate_id", "position", name=op.f("estimate_line_pkey")),
    )
    op.create_table(
        "invoice",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("legal_entity_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "course_id"], ["course.chain_id", "course.id"], name=op.f("invoice_chain_id_course_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("invoice_pkey")),
        sa.UniqueConstraint(
            "chain_id", "legal_entity_id", "number", name=op.f("invoice_chain_id_legal_entity_id_number_key")
        ),
    )
    op.create_index("invoice_of_course_idx", "invoice", ["chain_id", "course_id", "id"], unique=False)
    op.create_index("invoice_of_patient_idx", "invoice", ["chain_id", "patient_id", "id"], unique=False)
    op.create_index("invoice_of_site_idx", "invoice", ["chain_id", "site_id", "id"], unique=False)
    op.create_table(
        "payment",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("tender", sa.SmallInteger(), nullable=False),
        sa.Column("terminal_reference", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("payment_amount_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "course_id"], ["course.chain_id", "course.id"], name=op.f("payment_chain_id_course_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("payment_chain_id_patient_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("payment_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("payment_pkey")),
    )
    op.create_index("payment_of_course_idx", "payment", ["chain_id", "course_id"], unique=False)
    op.create_index("payment_of_day_idx", "payment", ["chain_id", "site_id", "business_date", "id"], unique=False)
    op.create_index("payment_of_patient_idx", "payment", ["chain_id", "patient_id", "id"], unique=False)
    op.create_table(
        "price_item",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("price_book_id", sa.Uuid(), nullable=False),
        sa.Column("visit_type_code", sa.Text(), nullable=False),
        sa.Column("route_code", sa.Text(), nullable=False),
        sa.Column("band_code", sa.Text(), nullable=False),
        sa.Column("unit_price_minor", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.CheckConstraint("unit_price_minor >= 0", name=op.f("price_item_unit_price_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "price_book_id"],
            ["price_book.chain_id", "price_book.id"],
            name=op.f("price_item_chain_id_price_book_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("price_item_pkey")),
        sa.UniqueConstraint(
            "chain_id", "price_book_id", "visit_type_code", "route_code", "band_code", name="price_item_never_twice"
        ),
    )
    op.create_table(
        "publication",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("price_book_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("effective_date", sa.Date(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("publication_version_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "price_book_id"],
            ["price_book.chain_id", "price_book.id"],
            name=op.f("publication_chain_id_price_book_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "price_book_id", name=op.f("publication_pkey")),
        sa.UniqueConstraint(
            "chain_id", "site_id", "effective_date", name=op.f("publication_chain_id_site_id_effective_date_key")
        ),
        sa.UniqueConstraint("chain_id", "site_id", "version", name=op.f("publication_chain_id_site_id_version_key")),
    )
    op.create_table(
        "rendered_visit",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("visit_type_code", sa.Text(), nullable=False),
        sa.Column("route_code", sa.Text(), nullable=False),
        sa.Column("band_code", sa.Text(), nullable=False),
        sa.Column("service_date", sa.Date(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "course_id"],
            ["course.chain_id", "course.id"],
            name=op.f("rendered_visit_chain_id_course_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("rendered_visit_pkey")),
    )
    op.create_index("rendered_visit_of_site_idx", "rendered_visit", ["chain_id", "site_id"], unique=False)
    op.create_table(
        "visit",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "course_id"], ["course.chain_id", "course.id"], name=op.f("visit_chain_id_course_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("visit_pkey")),
    )
    op.create_index("visit_of_course_idx", "visit", ["chain_id", "course_id"], unique=False)
    op.create_table(
        "application",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("application_amount_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "invoice_id"],
            ["invoice.chain_id", "invoice.id"],
            name=op.f("application_chain_id_invoice_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "payment_id"],
            ["payment.chain_id", "payment.id"],
            name=op.f("application_chain_id_payment_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("application_pkey")),
    )
    op.create_index("application_of_invoice_idx", "application", ["chain_id", "invoice_id"], unique=False)
    op.create_index("application_of_payment_idx", "application", ["chain_id", "payment_id"], unique=False)
    op.create_table(
        "charge",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=False),
        sa.Column("service_date", sa.Date(), nullable=False),
        sa.Column("visit_type_code", sa.Text(), nullable=False),
        sa.Column("route_code", sa.Text(), nullable=False),
        sa.Column("band_code", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("price_book_id", sa.Uuid(), nullable=False),
        sa.Column("price_book_version", sa.Integer(), nullable=False),
        sa.Column("price_item_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("charge_amount_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "price_item_id"],
            ["price_item.chain_id", "price_item.id"],
            name=op.f("charge_chain_id_price_item_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "visit_id"],
            ["rendered_visit.chain_id", "rendered_visit.id"],
            name=op.f("charge_chain_id_visit_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("charge_pkey")),
        sa.UniqueConstraint("chain_id", "visit_id", name=op.f("charge_chain_id_visit_id_key")),
    )
    op.create_index("charge_of_course_idx", "charge", ["chain_id", "course_id"], unique=False)
    op.create_index("charge_of_patient_idx", "charge", ["chain_id", "patient_id", "id"], unique=False)
    op.create_table(
        "pin",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("price_book_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "course_id"], ["course.chain_id", "course.id"], name=op.f("pin_chain_id_course_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "price_book_id"],
            ["publication.chain_id", "publication.price_book_id"],
            name=op.f("pin_chain_id_price_book_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "course_id", name=op.f("pin_pkey")),
    )
    op.create_table(
        "invoice_line",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("charge_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "charge_id"],
            ["charge.chain_id", "charge.id"],
            name=op.f("invoice_line_chain_id_charge_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "invoice_id"],
            ["invoice.chain_id", "invoice.id"],
            name=op.f("invoice_line_chain_id_invoice_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "charge_id", name=op.f("invoice_line_pkey")),
    )
    op.create_index("invoice_line_of_invoice_idx", "invoice_line", ["chain_id", "invoice_id"], unique=False)
    op.execute("ALTER TABLE audit ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON audit USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON audit TO billing")
    op.execute("CREATE POLICY every_chain ON audit TO billing_sealer USING (true)")
    op.execute("GRANT SELECT ON audit TO billing_sealer")
    op.execute("ALTER TABLE audit_seal ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit_seal FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON audit_seal USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("CREATE POLICY every_chain ON audit_seal TO billing_sealer USING (true)")
    op.execute("GRANT SELECT, INSERT ON audit_seal TO billing_sealer")
    op.execute("ALTER TABLE dead_letter ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE dead_letter FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON dead_letter USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letter TO billing")
    op.execute("CREATE POLICY every_chain ON dead_letter TO billing_relay USING (true)")
    op.execute("GRANT SELECT, UPDATE (replay_at) ON dead_letter TO billing_relay")
    op.execute("ALTER TABLE entry ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE entry FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON entry USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON entry AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON entry AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON entry TO billing")
    op.execute("ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE idempotency FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON idempotency USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency TO billing")
    op.execute("CREATE POLICY every_chain ON idempotency TO billing_relay USING (true)")
    op.execute("GRANT SELECT (created_at), DELETE ON idempotency TO billing_relay")
    op.execute("ALTER TABLE inbox ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE inbox FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON inbox USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON inbox TO billing")
    op.execute("CREATE POLICY every_chain ON inbox TO billing_relay USING (true)")
    op.execute("GRANT SELECT (received_at), DELETE ON inbox TO billing_relay")
    op.execute("ALTER TABLE invoice_series ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE invoice_series FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON invoice_series USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON invoice_series TO billing")
    op.execute("ALTER TABLE legal_entity ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE legal_entity FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON legal_entity USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON legal_entity TO billing")
    op.execute("ALTER TABLE open_item ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE open_item FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON open_item USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON open_item AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON open_item AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON open_item TO billing")
    op.execute("ALTER TABLE outbox ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE outbox FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON outbox USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON outbox TO billing")
    op.execute("CREATE POLICY every_chain ON outbox TO billing_relay USING (true)")
    op.execute("GRANT SELECT (published_at), DELETE ON outbox TO billing_relay")
    op.execute("GRANT SELECT, UPDATE (published_at) ON outbox TO billing_relay")
    op.execute("ALTER TABLE patient ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE patient FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON patient USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON patient TO billing")
    op.execute("ALTER TABLE site ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE site FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON site USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON site TO billing")
    op.execute("ALTER TABLE visit_type ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE visit_type FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON visit_type USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON visit_type TO billing")
    op.execute("ALTER TABLE course ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE course FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON course USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON course AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON course AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON course TO billing")
    op.execute("ALTER TABLE estimate ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE estimate FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON estimate USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON estimate AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON estimate AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON estimate TO billing")
    op.execute("ALTER TABLE posting ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE posting FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON posting USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON posting AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON posting TO billing")
    op.execute(
        "\nCREATE FUNCTION refuse_unbalanced_entry() RETURNS trigger LANGUAGE plpgsql AS $$\nDECLARE\n    of_entry uuid;\nBEGIN\n    IF TG_TABLE_NAME = 'entry' THEN of_entry := NEW.id; ELSE of_entry := NEW.entry_id; END IF;\n    IF NOT EXISTS (SELECT FROM posting WHERE chain_id = NEW.chain_id AND entry_id = of_entry)\n        OR EXISTS (\n            SELECT FROM posting WHERE chain_id = NEW.chain_id AND entry_id = of_entry\n            GROUP BY currency HAVING sum(amount_minor) <> 0\n        )\n    THEN\n        RAISE 'entry % does not balance', of_entry\n            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entry_balances';\n    END IF;\n    RETURN NULL;\nEND $$\n"
    )
    op.execute(
        "\nCREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON entry DEFERRABLE INITIALLY DEFERRED\n    FOR EACH ROW EXECUTE FUNCTION refuse_unbalanced_entry()\n"
    )
    op.execute(
        "\nCREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON posting DEFERRABLE INITIALLY DEFERRED\n    FOR EACH ROW EXECUTE FUNCTION refuse_unbalanced_entry()\n"
    )
    op.execute("ALTER TABLE price_book ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE price_book FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON price_book USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON price_book AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON price_book TO billing")
    op.execute("ALTER TABLE estimate_line ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE estimate_line FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON estimate_line USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON estimate_line AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON estimate_line TO billing")
    op.execute("ALTER TABLE invoice ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE invoice FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON invoice USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON invoice AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON invoice AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON invoice TO billing")
    op.execute("ALTER TABLE payment ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE payment FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON payment USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON payment AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON payment AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON payment TO billing")
    op.execute("ALTER TABLE price_item ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE price_item FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON price_item USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON price_item AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON price_item TO billing")
    op.execute(
        "\nCREATE FUNCTION refuse_item_of_published_price_book() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n    IF EXISTS (\n        SELECT FROM publication WHERE chain_id = NEW.chain_id AND price_book_id = NEW.price_book_id\n    ) THEN\n        RAISE 'price book % is published', NEW.price_book_id\n            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'published_price_book_stays';\n    END IF;\n    RETURN NEW;\nEND $$\n"
    )
    op.execute(
        "\nCREATE TRIGGER published_price_book_stays BEFORE INSERT ON price_item\n    FOR EACH ROW EXECUTE FUNCTION refuse_item_of_published_price_book()\n"
    )
    op.execute("ALTER TABLE publication ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE publication FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON publication USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON publication AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON publication TO billing")
    op.execute("ALTER TABLE rendered_visit ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE rendered_visit FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON rendered_visit USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON rendered_visit AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON rendered_visit AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON rendered_visit TO billing")
    op.execute("ALTER TABLE visit ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE visit FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON visit USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON visit AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON visit AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON visit TO billing")
    op.execute("ALTER TABLE application ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE application FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON application USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON application AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON application TO billing")
    op.execute("ALTER TABLE charge ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE charge FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON charge USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON charge AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON charge AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON charge TO billing")
    op.execute("ALTER TABLE pin ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE pin FORCE ROW LEVEL SECURITY")
    op.execute("CREATE POLICY own_chain ON pin USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)")
    op.execute(
        "CREATE POLICY own_sites ON pin AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON pin TO billing")
    op.execute("ALTER TABLE invoice_line ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE invoice_line FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON invoice_line USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON invoice_line AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON invoice_line TO billing")
