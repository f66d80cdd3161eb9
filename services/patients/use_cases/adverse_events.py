"""Adverse events: reported, graded, resolved; treatment allowed again."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from chassis.store import Event
from services.patients import events
from services.patients.domain.adverse_events import AdverseEvent, Grade, Outcome
from services.patients.store import PatientsStore


def report_adverse_event(store: PatientsStore, reported: AdverseEvent) -> AdverseEvent:
    """Whether the site may see the patient's record, the database tells."""
    reported.check()
    reported = replace(reported, patient_id=store.survivor(reported.patient_id))
    store.add_adverse_event(reported)
    return _told(store, reported, events.adverse_event_reported)


async def regrade_adverse_event(store: PatientsStore, id: UUID, version: int, grade: Grade) -> AdverseEvent:
    current, call = await store.adverse_event_to_change(id), store.call
    return _changed(store, current.regraded(version, grade, call.actor, call.now), events.adverse_event_regraded)


async def resolve_adverse_event(
    store: PatientsStore, id: UUID, version: int, outcome: Outcome, allowed: bool
) -> AdverseEvent:
    current, call = await store.adverse_event_to_change(id), store.call
    resolved = current.resolved(version, outcome, allowed, call.actor, call.now)
    return _changed(store, resolved, events.adverse_event_resolved)


async def allow_treatment(store: PatientsStore, id: UUID, version: int) -> AdverseEvent:
    current, call = await store.adverse_event_to_change(id), store.call
    return _changed(store, current.allowed(version, call.actor, call.now), events.treatment_allowed)


Telling = Callable[[AdverseEvent], Event]


def _changed(store: PatientsStore, changed: AdverseEvent, tell: Telling) -> AdverseEvent:
    store.change_adverse_event(changed)
    return _told(store, changed, tell)


def _told(store: PatientsStore, changed: AdverseEvent, tell: Telling) -> AdverseEvent:
    store.emit(tell(changed), about=changed.id, version=changed.version)
    return changed
