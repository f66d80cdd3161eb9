"""Good Faith Estimates."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from chassis.tables import chain_table, shown_with
from services.billing.tables.columns import (
    belongs_to,
    code_column,
    day_column,
    id_column,
    instant_column,
    kind_of_visit,
    metadata,
    minor_column,
    number_column,
    text_column,
)

estimate = chain_table(
    "estimate",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("course_id", needed=False),
    number_column("version"),
    code_column("trigger"),
    day_column("service_date"),
    id_column("price_book_id", needed=False),
    number_column("price_book_version"),
    Column("currency", Text),
    Column("total_minor", BigInteger),
    Column("deposit_minor", BigInteger),
    instant_column("created_at"),
    instant_column("due_at", needed=False),  # As it was when this version was made; `estimate_duty` has it as it is.
    Column("last_date", Date),
    Column("beyond_count", Integer, nullable=False, server_default="0"),
    Column("too_late", Boolean, nullable=False, server_default=false()),
    # Who renders and bills, what is scheduled separately, what is missing: as they were when it was made.
    Column("content", JSONB, nullable=False, server_default=text("'{}'")),
    UniqueConstraint("chain_id", "course_id", "version"),
    belongs_to("site", "site_id"),
    Index("estimate_of_patient_idx", "chain_id", "patient_id", "id"),
    Index("estimate_of_site_idx", "chain_id", "site_id", "id"),
    append_only=True,
)
Index(
    "estimate_unpriced_idx",
    estimate.c.chain_id,
    estimate.c.site_id,
    estimate.c.id,
    postgresql_where=estimate.c.total_minor.is_(None),
)

estimate_line = chain_table(
    "estimate_line",
    metadata,
    id_column("estimate_id", key=True),
    Column("position", SmallInteger, primary_key=True),
    id_column("site_id"),
    *kind_of_visit(),
    text_column("description"),
    number_column("count"),
    Column("unit_price_minor", BigInteger),
    id_column("price_item_id", needed=False),
    id_column("provider_id", needed=False),  # A staff member; none: the site.
    Column("codes", JSONB, nullable=False, server_default=text("'[]'")),
    Column("tax_minor", BigInteger),  # Of those that are added to prices.
    Column("service_dates", JSONB, nullable=False, server_default=text("'[]'")),  # One for each visit.
    CheckConstraint("count > 0", name="count"),
    CheckConstraint("jsonb_array_length(service_dates) IN (0, count)", name="service_dates"),
    CheckConstraint("(unit_price_minor IS NULL) = (price_item_id IS NULL)", name="priced"),
    CheckConstraint("tax_minor IS NULL OR tax_minor > 0 AND unit_price_minor IS NOT NULL", name="tax"),
    belongs_to("estimate", "estimate_id"),
    append_only=True,
    shown_if=shown_with("estimate_line", "estimate", "estimate_id"),
)

# Until when a patient has to have an estimate, and what is still to do for it: one for a course, one for a request. It
# is about the latest version, and closed when that is with the patient in writing or nothing is left to estimate.
estimate_duty = chain_table(
    "estimate_duty",
    metadata,
    id_column(key=True),  # Of the course, or of the estimate that was asked for.
    id_column("site_id"),
    id_column("patient_id"),
    id_column("course_id", needed=False),
    id_column("estimate_id"),
    code_column("trigger"),
    code_column("standing"),
    instant_column("due_at", needed=False),
    instant_column("act_by"),  # That, or when the first visit starts.
    instant_column("closed_at", needed=False),
    instant_column("told_at", needed=False),  # When it was told that it is overdue.
    UniqueConstraint("chain_id", "estimate_id"),
    belongs_to("estimate", "estimate_id"),
)
Index(
    "estimate_duty_open_idx",
    estimate_duty.c.chain_id,
    estimate_duty.c.site_id,
    estimate_duty.c.act_by,
    estimate_duty.c.id,
    postgresql_where=estimate_duty.c.closed_at.is_(None),
)
Index(
    "estimate_duty_untold_idx",
    estimate_duty.c.chain_id,
    estimate_duty.c.due_at,
    postgresql_where=estimate_duty.c.closed_at.is_(None) & estimate_duty.c.told_at.is_(None),
)

estimate_delivery = chain_table(
    "estimate_delivery",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("estimate_id"),
    code_column("method"),
    instant_column("delivered_at"),
    text_column("recorded_by"),
    id_column("message_id", needed=False),  # Of the email that brought it, where nobody kept it by hand.
    belongs_to("estimate", "estimate_id"),
    Index("estimate_delivery_of_estimate_idx", "chain_id", "estimate_id", "id"),
    append_only=True,
)

# Emails that came back, in whatever order that is heard: what they brought is not with its patient.
estimate_return = chain_table(
    "estimate_return",
    metadata,
    id_column("message_id", key=True),  # Once.
    id_column("site_id"),
    id_column("patient_id"),
    id_column("estimate_id"),
    instant_column("returned_at"),
    belongs_to("estimate", "estimate_id"),
    append_only=True,
)

estimate_acknowledgement = chain_table(
    "estimate_acknowledgement",
    metadata,
    id_column("estimate_id", key=True),  # Once.
    id_column("site_id"),
    id_column("patient_id"),
    instant_column("acknowledged_at"),
    text_column("recorded_by"),
    belongs_to("estimate", "estimate_id"),
    append_only=True,
)

# So much may be billed beyond the estimate of a course.
estimate_approval = chain_table(
    "estimate_approval",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("course_id"),
    text_column("currency"),
    minor_column("up_to_minor"),
    text_column("reason"),
    text_column("approved_by"),
    instant_column("approved_at"),
    CheckConstraint("up_to_minor > 0", name="up_to"),
    belongs_to("course", "course_id"),
    Index("estimate_approval_of_course_idx", "chain_id", "course_id"),
    append_only=True,
    shown_if=shown_with("estimate_approval", "course", "course_id"),
)

# The first bill that went so far beyond a course's estimate that the patient may dispute it.
estimate_excess = chain_table(
    "estimate_excess",
    metadata,
    id_column("course_id", key=True),
    id_column("site_id"),
    instant_column("billed_at"),
    belongs_to("course", "course_id"),
    append_only=True,
    shown_if=shown_with("estimate_excess", "course", "course_id"),
)

estimate_dispute = chain_table(
    "estimate_dispute",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("course_id"),
    instant_column("opened_at"),
    instant_column("closed_at", needed=False),
    CheckConstraint("closed_at >= opened_at", name="closed"),
    belongs_to("course", "course_id"),
    Index("estimate_dispute_of_patient_idx", "chain_id", "patient_id", "id"),
    Index("estimate_dispute_of_course_idx", "chain_id", "course_id", "id"),
    Index("estimate_dispute_of_site_idx", "chain_id", "site_id", "id"),
)
Index(
    "estimate_dispute_open_key",
    estimate_dispute.c.chain_id,
    estimate_dispute.c.course_id,
    unique=True,
    postgresql_where=estimate_dispute.c.closed_at.is_(None),
)
