"""minors are told through their guarantors"""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.drop_constraint(op.f("message_reason_check"), "message")
    op.create_check_constraint(
        op.f("message_reason_check"),
        "message",
        "reason IN ('NO_EMAIL_ADDRESS', 'NO_PHONE_NUMBER', 'NO_COMPANION', 'NO_SENDING_NUMBER', 'NOT_PERMITTED', 'ADDRESS_SUPPRESSED', 'QUIET_HOURS', 'CAP_REACHED', 'TOO_LATE', 'VISIT_STARTED', 'VISIT_CONFIRMED', 'VISIT_CANCELLED', 'VISIT_MISSED', 'VISIT_MOVED', 'MATTER_CLOSED', 'REFUSED', 'ATTEMPTS_EXHAUSTED', 'UNDELIVERED', 'TEMPLATE_BROKEN', 'NO_ANSWER', 'PATIENT_DECEASED', 'NO_GUARANTOR', 'MINORS_INBOX')",
    )
