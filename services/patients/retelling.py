"""The command that tells again who has died: `python -m services.patients tell-deaths`.

Once, after an upgrade from a version whose events did not say so: no replay brings what they lacked. It may be stopped
and run again at any time, and beside calls: readers go by the version of the record.
"""

from collections.abc import Mapping
from functools import partial
from uuid import UUID

from chassis import maintenance
from chassis.clock import Clock
from chassis.db import Database
from chassis.jobs import job_call
from chassis.times import utc_now
from services.patients.domain.patients import Patient
from services.patients.settings import RecountSettings
from services.patients.store import PatientsStore
from services.patients.use_cases.records import tell_deceased

AT_ONCE = 200


def tell_deaths() -> None:
    maintenance.run("patients", RecountSettings, tell_all)


async def tell_all(settings: RecountSettings, clock: Clock = utc_now) -> None:
    step = partial(_tell_chain, clock=clock)
    await maintenance.in_every_chain(settings.database_url, settings.sealer_database_url, step, "deaths.told")


async def _tell_chain(db: Database, chain_id: UUID, clock: Clock) -> Mapping[str, int]:
    async def tell_some(after: UUID) -> list[Patient]:
        call = job_call("patients", "tell_deaths", chain_id, clock())
        return await db.job(call, PatientsStore, partial(tell_deceased, after=after, limit=AT_ONCE))

    return {"count": await maintenance.in_batches(tell_some, AT_ONCE)}
