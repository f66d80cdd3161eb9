"""Measures, and the looks that some of them ask for."""

from dataclasses import replace
from uuid import UUID

from chassis.ids import new_id
from services.patients import events
from services.patients.domain.measures import Measure, SafetyFlag
from services.patients.store import PatientsStore


def record_measure(store: PatientsStore, measure: Measure) -> Measure:
    """Whether the site may see the patient's record, the database tells."""
    measure.check()
    measure = replace(measure, patient_id=store.survivor(measure.patient_id))
    flag = None
    if kind := measure.safety_flag:
        flag = SafetyFlag(new_id(), kind, measure.patient_id, measure.site_id, measure.id, measure.recorded_at)
    store.add_measure(measure, flag)
    by_patient = store.call.patient_id is not None
    store.emit(events.measure_recorded(measure, by_patient=by_patient), about=measure.patient_id)
    if flag:
        store.emit(events.safety_flag_raised(flag, measure), about=measure.patient_id)
    return measure


async def retract_measure(store: PatientsStore, measure_id: UUID) -> Measure:
    measure = await store.measure_to_change(measure_id)
    retracted = measure.retracted(by=store.call.actor, at=store.call.now)
    store.retract_measure(retracted)
    store.emit(events.measure_retracted(retracted), about=retracted.patient_id)
    return retracted


async def acknowledge_safety_flag(store: PatientsStore, flag_id: UUID, note: str) -> SafetyFlag:
    flag = await store.safety_flag_to_change(flag_id)
    acknowledged = flag.acknowledged(by=store.call.actor, at=store.call.now, note=note)
    store.acknowledge_safety_flag(acknowledged)
    store.emit(events.safety_flag_acknowledged(acknowledged), about=acknowledged.patient_id)
    return acknowledged
