"""What Alembic runs to bring scheduling to a revision."""

from chassis.migrate import run_environment
from services.scheduling.tables import metadata

run_environment(metadata)
