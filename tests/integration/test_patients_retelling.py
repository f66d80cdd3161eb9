"""Who has died is told again, to those who could not hear it."""

import asyncio

import pytest

from chassis.ids import new_id
from services.patients import retelling
from tests.support.patients import Desk, desk

__all__ = ["desk"]

UPDATED = "patients.v1.patient.updated"


async def told(desk: Desk) -> list[tuple[str, int, bool]]:
    """Of whom, by which version, and whether they have died."""
    found = [event for subject, event in await desk.service.published() if subject == UPDATED]
    return [(each.patient_id, each.meta.aggregate_version, each.deceased) for each in found]


@pytest.fixture
def told_to(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator sets before the command."""
    monkeypatch.setenv("ATOLL_DATABASE_URL", desk.service.urls.service)
    monkeypatch.setenv("ATOLL_SEALER_DATABASE_URL", desk.service.urls.sealer)
    monkeypatch.setattr("chassis.maintenance.configure_process", lambda _: None)  # It lasts.


async def test_whoever_has_died_is_told_by_the_version_of_their_record_in_every_chain(
    desk: Desk, told_to: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retelling, "AT_ONCE", 2)
    mistaken = await desk.update(await desk.create(), deceased=True)
    await desk.update(mistaken, deceased=False)
    dead = [(await desk.create(deceased=True)).id for _ in range(3)]
    later = await desk.update(await desk.create(), deceased=True)
    desk.service.chain_id = new_id()
    await desk.service.admin.execute(
        "INSERT INTO site VALUES ($1, $2, 'America/Denver')", desk.service.chain_id, desk.site_id
    )
    dead.append((await desk.create(deceased=True)).id)
    await desk.service.admin.execute("DELETE FROM outbox")
    expected = sorted([*((id, 1, True) for id in dead), (later.id, 2, True)])
    for times in (1, 2):
        await asyncio.to_thread(retelling.tell_deaths)
        assert sorted(await told(desk)) == sorted(expected * times)
