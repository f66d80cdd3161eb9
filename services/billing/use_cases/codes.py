"""Code sets: loaded as a whole or not at all, ended, asked about. With the chain locked: loads follow one another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

from chassis.etags import StaleEtag
from services.billing.domain.codes import (
    DiagnosisCode,
    ServiceCodeRow,
    place,
    refuse_invalid,
    refuse_outlived,
    refuse_overlaps,
    refuse_reversed,
    with_dot,
)
from services.billing.store import BillingStore


@dataclass(frozen=True, slots=True)
class Loaded:
    added: int
    changed: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class FoundCodes:
    services: Sequence[ServiceCodeRow]
    diagnoses: Sequence[DiagnosisCode]


async def load_service_codes(store: BillingStore, rows: Sequence[ServiceCodeRow]) -> Loaded:
    """Each has an id of its own, for the case that it is new."""
    refuse_outlived(rows, "rows[{}]")
    await store.lock([store.call.chain_id])
    known = await store.service_codes_of_types({row.kind.visit_type_code for row in rows})
    refuse_overlaps(rows, known, "rows[{}]")
    before = {place(row): row for row in known}
    added = [row for row in rows if place(row) not in before]
    changed = [
        replace(row, id=was.id, version=was.version + 1)
        for row in rows
        if (was := before.get(place(row))) and was.values != row.values
    ]
    await store.add_service_codes(added)
    await store.change_service_codes(changed)
    return Loaded(len(added), len(changed), len(rows) - len(added) - len(changed))


async def end_service_code(store: BillingStore, service_code_id: UUID, version: int, end_date: date) -> ServiceCodeRow:
    await store.lock([store.call.chain_id])
    found = await store.service_code(service_code_id)
    if found.version != version:
        raise StaleEtag()
    ended = replace(found, end_date=end_date, version=version + 1)
    refuse_reversed(ended)
    refuse_outlived([ended], "end_date")
    refuse_overlaps([ended], await store.service_codes_of_types({ended.kind.visit_type_code}), "end_date")
    await store.change_service_codes([ended])
    return ended


async def load_diagnosis_codes(store: BillingStore, rows: Sequence[DiagnosisCode]) -> Loaded:
    await store.lock([store.call.chain_id])
    known = await store.diagnosis_codes([row.code for row in rows])
    refuse_overlaps(rows, known, "rows[{}]")
    before = {place(row): row for row in known}
    added = [row for row in rows if place(row) not in before]
    changed = [row for row in rows if (was := before.get(place(row))) and was.values != row.values]
    await store.keep_diagnosis_codes([*added, *changed])
    return Loaded(len(added), len(changed), len(rows) - len(added) - len(changed))


async def find_codes(store: BillingStore, services: Sequence[str], diagnoses: Sequence[str], day: date) -> FoundCodes:
    """Refused, naming each, if there is one that the chain may not use for the day."""
    dotted = [with_dot(code) for code in diagnoses]
    found = FoundCodes(await store.valid_service_codes(services, day), await store.valid_diagnosis_codes(dotted, day))
    fields = {f"service_codes[{n}]": code for n, code in enumerate(services)}
    fields |= {f"diagnosis_codes[{n}]": code for n, code in enumerate(dotted)}
    valid = {row.code.code for row in found.services} | {row.code for row in found.diagnoses}
    refuse_invalid(fields, frozenset(valid), day)
    return found
