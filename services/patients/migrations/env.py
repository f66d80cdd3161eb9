"""What Alembic runs to bring patients to a revision."""

from chassis.migrate import run_environment
from services.patients.tables import metadata

run_environment(metadata)
