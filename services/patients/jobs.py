"""What patients does by itself: one elected process of the service runs it.

A version of a consent document that asks for new signatures outdates earlier ones from its first day, whether or not
this job runs. It is here to tell whom that concerns.
"""

from functools import partial
from uuid import UUID

from chassis.call import Call
from chassis.clock import Clock
from chassis.db import Database
from chassis.jobs import in_each, job_call, keep_looking
from chassis.settings import Settings
from chassis.tables import NO_CHAIN
from services.patients.store import PatientsStore
from services.patients.use_cases.recalls import tell_outdated

POLL_S = 5.0
AT_ONCE_MAX = 100
FAILED = "consents.not_recalled"


async def recall_consents(db: Database, settings: Settings, clock: Clock) -> None:
    """Until cancelled."""
    await keep_looking(partial(recall_some, db, clock), POLL_S, FAILED)


async def recall_some(db: Database, clock: Clock) -> int:
    """Of every chain, at most so many in one transaction; 0 when all are told."""
    chains = await db.job(_call(NO_CHAIN, clock), PatientsStore, PatientsStore.recalling_chains)
    tell = partial(tell_outdated, limit=AT_ONCE_MAX)
    return await in_each(chains, lambda chain_id: db.job(_call(chain_id, clock), PatientsStore, tell), FAILED)


def _call(chain_id: UUID, clock: Clock) -> Call:
    return job_call("patients", "recalls", chain_id, clock())
