"""Duplicates: finding them, and telling that two records are not one person's."""

from collections.abc import Collection
from uuid import UUID

from services.patients.domain.duplicates import ListedPair, Match, Pair, check_two, matches, traits_of
from services.patients.domain.patients import Patient
from services.patients.store import PatientsStore

MATCHES_MAX = 20


async def possible_duplicates(store: PatientsStore, record: Patient) -> list[Match]:
    """Who may be the same person, the likeliest first. A restricted record is compared with nobody's."""
    if record.restricted:
        return []
    return matches(traits_of(record), await store.candidates(record))[:MATCHES_MAX]


async def find_duplicates(store: PatientsStore, patient_id: UUID) -> list[Match]:
    return await possible_duplicates(store, await store.with_merged(await store.patient(patient_id)))


async def score_duplicates(store: PatientsStore, patient_ids: Collection[UUID]) -> list[Pair]:
    compared, pairs = await store.standing_patients(patient_ids), dict[tuple[UUID, UUID], Pair]()
    for record in compared:
        for match in await possible_duplicates(store, record):
            pair = Pair.of(record.id, match)
            pairs[pair.first_id, pair.second_id] = pair
    found = sorted(pairs.values(), key=lambda each: (-each.likeness.score, each.first_id, each.second_id))
    store.keep_pairs(found, compared)
    return found


async def dismiss_duplicate(store: PatientsStore, patient_id: UUID, other_id: UUID, reason: str) -> ListedPair:
    check_two(patient_id, other_id)
    dismissed = (await store.pair(patient_id, other_id)).dismissed(reason, store.call.actor, store.call.now)
    store.dismiss(dismissed)
    return dismissed
