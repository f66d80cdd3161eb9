"""Duplicates: finding them, and telling that two records are not one person's."""

from collections.abc import Collection, Sequence
from uuid import UUID

from services.patients.domain.duplicates import ListedPair, Match, Pair, check_two, matches, traits_of
from services.patients.domain.patients import Patient
from services.patients.store import PatientsStore

MATCHES_MAX = 20


async def possible_duplicates(store: PatientsStore, record: Patient) -> list[Match]:
    """Who may be the same person, the likeliest first. A restricted record is compared with nobody's."""
    return [] if record.restricted else (await _matches_of(store, [record]))[record.id]


async def find_duplicates(store: PatientsStore, patient_id: UUID) -> list[Match]:
    return await possible_duplicates(store, await store.with_merged(await store.patient(patient_id)))


async def score_duplicates(store: PatientsStore, patient_ids: Collection[UUID]) -> list[Pair]:
    compared, pairs = await store.standing_patients(patient_ids), dict[tuple[UUID, UUID], Pair]()
    for id, found in (await _matches_of(store, compared)).items():
        for match in found:
            pair = Pair.of(id, match)
            pairs[pair.first_id, pair.second_id] = pair
    ordered = sorted(pairs.values(), key=lambda each: (-each.likeness.score, each.first_id, each.second_id))
    store.keep_pairs(ordered, compared)
    return ordered


async def _matches_of(store: PatientsStore, records: Sequence[Patient]) -> dict[UUID, list[Match]]:
    candidates = await store.candidates(records)
    return {each.id: matches(traits_of(each), candidates[each.id])[:MATCHES_MAX] for each in records}


async def dismiss_duplicate(store: PatientsStore, patient_id: UUID, other_id: UUID, reason: str) -> ListedPair:
    check_two(patient_id, other_id)
    dismissed = (await store.pair(patient_id, other_id)).dismissed(reason, store.call.actor, store.call.now)
    store.dismiss(dismissed)
    return dismissed
