"""What Alembic runs to bring billing to a revision."""

from chassis.migrate import run_environment
from services.billing.tables import metadata

run_environment(metadata)
