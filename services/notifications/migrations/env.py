"""What Alembic runs to bring notifications to a revision."""

from chassis.migrate import run_environment
from services.notifications.tables import metadata

run_environment(metadata)
