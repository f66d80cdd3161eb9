"""However records are merged and taken apart, ids resolve as a slow model says, and nothing of a record is lost."""

from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from atoll.patients.v1.patient_pb2 import Patient
from services.patients.__main__ import SERVICE
from tests.support.patients import Desk
from tests.support.patients_merges import Merges
from tests.support.service import running

FAMILIES = ("Ruiz", "Solano", "Quintero", "Beltran", "Cordova", "Villegas")
LONG = pytest.mark.long


@dataclass
class Model:
    """Of each record the one that it was merged into, by itself: whoever asks walks there."""

    records: list[Patient]
    into: dict[str, str] = field(default_factory=dict)

    def end(self, id: str) -> str:
        while id in self.into:
            id = self.into[id]
        return id

    def person(self, id: str) -> list[Patient]:
        return [each for each in self.records if self.end(each.id) == self.end(id)]

    def standing(self) -> list[Patient]:
        return [each for each in self.records if each.id not in self.into]


async def step(dice: Random, merges: Merges, model: Model) -> None:
    standing = model.standing()
    if model.into and (len(standing) < 2 or dice.random() < 0.25):
        await take_apart(dice, merges, model)
        return
    survivor, merged = dice.sample(standing, 2)
    await merges.merge(survivor, merged)
    model.into[merged.id] = survivor.id


async def take_apart(dice: Random, merges: Merges, model: Model) -> None:
    id = dice.choice(sorted(model.into))
    await merges.unmerge(id)
    del model.into[id]


async def check(desk: Desk, model: Model) -> None:
    for each in model.records:
        got, person = await desk.get(each.id), model.person(each.id)
        assert got.id == model.end(each.id)
        assert list(got.merged_patient_ids) == sorted(one.id for one in person if one.id != got.id)
        assert set(got.site_ids) == {site for one in person for site in one.site_ids}
        found = await desk.search(name=each.family_name)
        assert [card.patient_id for card in found.cards] == [got.id]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("seed", "steps"), [(3, 25), *(pytest.param(seed, 300, marks=LONG) for seed in (0, 1, 2, 4))])
async def test_ids_resolve_as_the_model_says_and_records_taken_apart_are_as_they_were(
    postgres_url: str, issuer_folder: Path, seed: int, steps: int
) -> None:
    dice = Random(seed)  # noqa: S311
    async with running(SERVICE, postgres_url, issuer_folder) as service:
        desk = Desk(service)
        await desk.open()
        merges = Merges(desk)
        creating = (desk.create, merges.elsewhere)
        records = [await creating[n % 2](family_name=family) for n, family in enumerate(FAMILIES)]
        model = Model(records)
        for _ in range(steps):
            await step(dice, merges, model)
            await check(desk, model)
        while model.into:
            await take_apart(dice, merges, model)
            await check(desk, model)
        assert [await desk.get(each.id) for each in records] == records
        assert await service.admin.fetchval("SELECT count(*) FROM patient_site WHERE shared") == 0
        assert await service.admin.fetchval("SELECT count(*) FROM patient_merge WHERE unmerged_at IS NULL") == 0
