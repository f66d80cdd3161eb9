"""Merges and unmerges in any order and however often told, against a slow model that knows the whole story."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from atoll.patients.v1.events_pb2 import PatientMerged, PatientUnmerged
from chassis.ids import new_id, to_wire
from services.scheduling.store import SchedulingStore
from tests.support.scheduling import open_scheduling
from tests.support.service import Running

PATIENTS = [UUID(int=n) for n in range(1, 6)]


@dataclass(frozen=True)
class Told:
    alias: UUID
    survivor: UUID
    version: int

    @property
    def merged(self) -> bool:
        return self.version % 2 == 1


@st.composite
def stories(draw: st.DrawFn) -> list[Told]:
    """Of each patient merges and unmerges by turns, mixed, doubled and in any order."""
    told = list[Told]()
    for alias in PATIENTS:
        others = [each for each in PATIENTS if each != alias]
        for version in range(1, 1 + draw(st.integers(0, 3))):
            survivor = told[-1].survivor if version % 2 == 0 else draw(st.sampled_from(others))
            told.append(Told(alias, survivor, version))
    again = draw(st.lists(st.sampled_from(told), max_size=4)) if told else []
    return draw(st.permutations([*told, *again]))


def ends_of(story: Sequence[Told]) -> dict[UUID, UUID]:
    """By walking, from each patient, until where somebody stands for themselves, or was met before."""
    last = {alias: max((each.version, each) for each in story if each.alias == alias)[1] for alias in told_of(story)}
    ends = {}
    for patient in PATIENTS:
        met = [patient]
        while met[-1] in last and last[met[-1]].merged and last[met[-1]].survivor not in met:
            met.append(last[met[-1]].survivor)
        end = met[-1]
        if end in last and last[end].merged:
            end = min(met[met.index(last[end].survivor) :])
        ends[patient] = end
    return ends


def told_of(story: Sequence[Told]) -> set[UUID]:
    return {each.alias for each in story}


@dataclass
class Scene:
    """The service, driven from a test that is no coroutine, as hypothesis wants it."""

    loop: asyncio.AbstractEventLoop
    svc: Running

    def play(self, story: Sequence[Told]) -> tuple[dict[UUID, UUID], dict[UUID, set[UUID]]]:
        return self.loop.run_until_complete(self._play(story))

    async def _play(self, story: Sequence[Told]) -> tuple[dict[UUID, UUID], dict[UUID, set[UUID]]]:
        self.svc.chain_id = new_id()
        for each in story:
            survivor, alias = to_wire("patient", each.survivor), to_wire("patient", each.alias)
            event_type = PatientMerged if each.merged else PatientUnmerged
            await self.svc.deliver(event_type(patient_id=survivor, merged_patient_id=alias), version=each.version)
        async with self.svc.db.transaction(self.svc.inside("test")) as conn:
            store = SchedulingStore(conn, self.svc.inside("test"))
            found = {patient: await store.whole(patient) for patient in PATIENTS}
            for id in PATIENTS:  # A join would find the rows of an id that stands there twice twice.
                [row] = await store.rows(store.aliases.WHOLE, id=id)
                assert len(row["ids"]) == len(found[id].ids)
            return {one: whole.end for one, whole in found.items()}, {one: set(found[one].ids) for one in PATIENTS}


@pytest.fixture(scope="module")
def scene(postgres_url: str, issuer_folder: Path) -> Iterator[Scene]:
    loop, stack = asyncio.new_event_loop(), AsyncExitStack()
    svc = loop.run_until_complete(stack.enter_async_context(open_scheduling(postgres_url, issuer_folder)))
    yield Scene(loop, svc)
    loop.run_until_complete(stack.aclose())
    loop.close()


A, B, C, D = PATIENTS[:4]
MOVED_WITH_ITS_ALIAS = [Told(B, A, 1), Told(A, C, 1), Told(A, D, 3), Told(A, C, 2)]


@example(story=MOVED_WITH_ITS_ALIAS)
@settings(max_examples=60, deadline=None)
@given(story=stories())
def test_in_any_order_and_however_often_told_the_story_ends_the_same(scene: Scene, story: list[Told]) -> None:
    ends, ids = scene.play(story)
    expected = ends_of(story)
    assert ends == expected
    assert ids == {one: {other for other in PATIENTS if expected[other] == expected[one]} for one in PATIENTS}
