"""The commands for keys of records: `python -m services.patients keys | reseal`.

To replace a key: add another to the file and name it `current`; when every process has that file, run `reseal`; take
the old one out of it once `keys` counts nothing under it. `reseal` may be stopped and run again at any time, and beside
calls: what is left of what it has to do stands in the texts themselves.
"""

import sys
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from chassis import maintenance
from chassis.call import Call
from chassis.clock import Clock
from chassis.db import Database
from chassis.jobs import job_call
from chassis.keyring import KeyRing
from chassis.pool import open_pool
from chassis.times import utc_now
from services.patients.settings import ResealSettings
from services.patients.store.resealing import COLUMNS, ResealStore

log = structlog.get_logger()

AT_ONCE = 500


def count_keys() -> None:
    maintenance.run("patients", ResealSettings, _tell_keys)


def reseal() -> None:
    """Ends with 1 if a text did not open: its key may not be taken away before somebody has seen to it."""
    refused = maintenance.run("patients", ResealSettings, reseal_all)
    if refused:
        sys.exit(f"{refused} texts do not open; the log names them")


async def reseal_all(settings: ResealSettings) -> int:
    """How many texts it could not open."""
    step = partial(_reseal_chain, current=KeyRing(settings.record_keys_file).current())
    urls = settings.owner_database_url, settings.sealer_database_url
    counted = await maintenance.in_every_chain(*urls, step, "texts.resealed")
    await _tell_keys(settings)
    return counted["refused"]


async def _tell_keys(settings: ResealSettings) -> None:
    for key_id, count in sorted((await count_by_key(settings)).items()):
        log.info("texts.under_key", key=key_id, count=count)


async def count_by_key(settings: ResealSettings) -> Mapping[str, int]:
    """How many texts of all chains stand under which key."""
    counted = Counter[str]()
    chains = await maintenance.chains_of(settings.sealer_database_url)
    async with open_pool(settings.owner_database_url, size=1) as pool:
        for chain_id in chains:
            counted.update(await Database(pool).job(_call(chain_id), ResealStore, ResealStore.count_by_key))
    return counted


async def _reseal_chain(db: Database, chain_id: UUID, current: str) -> Mapping[str, int]:
    resealed = refused = 0
    for column in COLUMNS:
        after: Any = None
        while True:
            step = partial(ResealStore.reseal_some, of=column, current=current, after=after, limit=AT_ONCE)
            batch = await db.job(_call(chain_id), ResealStore, step)
            resealed, refused, after = resealed + batch.resealed, refused + batch.refused, batch.last
            if after is None:
                break
    return {"count": resealed, "refused": refused}


def _call(chain_id: UUID, clock: Clock = utc_now) -> Call:
    """Nothing that is written bears its instant."""
    return job_call("patients", "reseal", chain_id, clock())
