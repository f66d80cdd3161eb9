"""Duplicates: finding them, and telling that two records are not one person's."""

from collections.abc import Collection
from uuid import UUID

from services.patients.domain.duplicates import ListedPair, Match, Pair, check_two, matches, traits_of
from services.patients.domain.patients import Patient
from services.patients.store import PatientsStore

MATCHES_MAX = 20


async def possible_duplicates(store: PatientsStore, record: Patient) -> list[Match]:
    """Who may be the same person, the likeliest first."""
    return (await _matches_of_each(store, [record])).get(record.id, [])


async def find_duplicates(store: PatientsStore, patient_id: UUID) -> list[Match]:
    return await possible_duplicates(store, await store.with_merged(await store.patient(patient_id)))


async def score_duplicates(store: PatientsStore, patient_ids: Collection[UUID]) -> list[Pair]:
    compared = await store.standing_patients(patient_ids)
    of_each = await _matches_of_each(store, compared)
    pairs = (Pair.of(id, match) for id, found in of_each.items() for match in found)
    unique = {(pair.first_id, pair.second_id): pair for pair in pairs}
    found = sorted(unique.values(), key=lambda each: (-each.likeness.score, each.first_id, each.second_id))
    store.keep_pairs(found, compared)
    return found


async def _matches_of_each(store: PatientsStore, records: Collection[Patient]) -> dict[UUID, list[Match]]:
    """By the record's id. A restricted record is compared with nobody's."""
    open_records = [record for record in records if not record.restricted]
    candidates = await store.candidates(open_records) if open_records else {}
    return {record.id: matches(traits_of(record), candidates[record.id])[:MATCHES_MAX] for record in open_records}


async def dismiss_duplicate(store: PatientsStore, patient_id: UUID, other_id: UUID, reason: str) -> ListedPair:
    check_two(patient_id, other_id)
    dismissed = (await store.pair(patient_id, other_id)).dismissed(reason, store.call.actor, store.call.now)
    store.dismiss(dismissed)
    return dismissed
