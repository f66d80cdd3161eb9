"""Measures and safety flags."""

from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from atoll.patients.v1 import measure_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.times import to_instant, to_timestamp
from services.patients.domain.measures import (
    Content,
    Instrument,
    Measure,
    Point,
    Questionnaire,
    SafetyFlag,
    Severity,
    SideEffect,
    SideEffects,
    VitalSigns,
    band_of,
    trend,
)
from services.patients.store import PatientsStore
from services.patients.use_cases import measures as use_cases


class MeasureServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def RecordMeasure(self, request: pb.RecordMeasureRequest, call: Call) -> pb.RecordMeasureResponse:
        measure = Measure(
            id=new_id(),
            patient_id=from_wire("patient", request.patient_id),
            site_id=from_wire("site", request.site_id),
            course_id=from_wire("course", request.course_id) if request.course_id else None,
            visit_id=from_wire("visit", request.visit_id) if request.visit_id else None,
            taken_at=to_instant(request.measure_time) if request.HasField("measure_time") else call.now,
            content=_content(request),
            recorded_by=call.actor,
            recorded_at=call.now,
        )

        async def work(store: PatientsStore) -> pb.RecordMeasureResponse:
            return pb.RecordMeasureResponse(measure=to_measure(use_cases.record_measure(store, measure)))

        locks = [measure.patient_id]
        return await self._db.once(call, request, pb.RecordMeasureResponse, PatientsStore, work, locks=locks)

    async def RetractMeasure(self, request: pb.RetractMeasureRequest, call: Call) -> pb.RetractMeasureResponse:
        measure_id = from_wire("measure", request.measure_id)

        async def work(store: PatientsStore) -> pb.RetractMeasureResponse:
            return pb.RetractMeasureResponse(measure=to_measure(await use_cases.retract_measure(store, measure_id)))

        return await self._db.once(call, request, pb.RetractMeasureResponse, PatientsStore, work)

    async def GetMeasure(self, request: pb.GetMeasureRequest, call: Call) -> pb.GetMeasureResponse:
        measure_id = from_wire("measure", request.measure_id)
        measure = await self._db.read(call, request, PatientsStore, lambda store: store.measure(measure_id))
        return pb.GetMeasureResponse(measure=to_measure(measure))

    async def ListMeasures(self, request: pb.ListMeasuresRequest, call: Call) -> pb.ListMeasuresResponse:
        patient_id, page = from_wire("patient", request.patient_id), Page.of(request, call)
        instruments = [_instrument(request.instrument)] if request.instrument else list(Instrument)
        before = (datetime.fromisoformat(page.after[0]), UUID(page.after[1])) if page.after else None
        found = await self._db.read(
            call, request, PatientsStore, lambda store: store.measures(patient_id, instruments, before, page.limit)
        )
        kept, token = page.cut(found, key=lambda each: [each.taken_at.isoformat(), str(each.id)])
        return pb.ListMeasuresResponse(measures=[to_measure(each) for each in kept], next_page_token=token)

    async def GetMeasureTrend(self, request: pb.GetMeasureTrendRequest, call: Call) -> pb.GetMeasureTrendResponse:
        patient_id, course_id = from_wire("patient", request.patient_id), from_wire("course", request.course_id)
        instrument = _instrument(request.instrument)
        found = await self._db.read(
            call, request, PatientsStore, lambda store: store.measures_of_course(patient_id, course_id, instrument)
        )
        points = [_point(each) for each in trend(found)]
        told = pb.MeasureTrend(instrument=request.instrument, baseline=to_measure(found[0]), points=points)
        return pb.GetMeasureTrendResponse(trend=told)

    async def ListSafetyFlags(self, request: pb.ListSafetyFlagsRequest, call: Call) -> pb.ListSafetyFlagsResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        after = UUID(page.after[0]) if page.after else None

        async def work(store: PatientsStore) -> pb.ListSafetyFlagsResponse:
            """Cut to the page inside, since the audit row names who is shown."""
            found = await store.open_safety_flags(site_id, after, page.limit)
            kept, token = page.cut(found, key=lambda each: [str(each.id)])
            return pb.ListSafetyFlagsResponse(safety_flags=map(to_safety_flag, kept), next_page_token=token)

        return await self._db.read(call, request, PatientsStore, work)

    async def AcknowledgeSafetyFlag(
        self, request: pb.AcknowledgeSafetyFlagRequest, call: Call
    ) -> pb.AcknowledgeSafetyFlagResponse:
        flag_id, note = from_wire("safetyflag", request.safety_flag_id), request.note.strip()

        async def work(store: PatientsStore) -> pb.AcknowledgeSafetyFlagResponse:
            acknowledged = await use_cases.acknowledge_safety_flag(store, flag_id, note)
            return pb.AcknowledgeSafetyFlagResponse(safety_flag=to_safety_flag(acknowledged))

        return await self._db.once(call, request, pb.AcknowledgeSafetyFlagResponse, PatientsStore, work)


def _instrument(wire: pb.Instrument.ValueType) -> Instrument:
    return Instrument(pb.Instrument.Name(wire).removeprefix("INSTRUMENT_"))


def _content(request: pb.RecordMeasureRequest) -> Content:
    match request.WhichOneof("content"):
        case "questionnaire":
            told = request.questionnaire
            return Questionnaire(_instrument(told.instrument), tuple(told.item_scores))
        case "vital_signs":
            signs = request.vital_signs
            return VitalSigns(**{field.name: getattr(signs, field.name) for field in signs.DESCRIPTOR.fields})
        case _:
            effects = request.side_effects.side_effects
            return SideEffects(tuple(SideEffect(each.code, _severity(each.severity)) for each in effects))


def _severity(wire: pb.Severity.ValueType) -> Severity:
    return Severity(pb.Severity.Name(wire).removeprefix("SEVERITY_"))


def to_measure(measure: Measure) -> pb.Measure:
    told = pb.Measure(
        id=to_wire("measure", measure.id),
        patient_id=to_wire("patient", measure.patient_id),
        site_id=to_wire("site", measure.site_id),
        course_id=to_wire("course", measure.course_id) if measure.course_id else "",
        visit_id=to_wire("visit", measure.visit_id) if measure.visit_id else "",
        instrument=pb.Instrument.Value(f"INSTRUMENT_{measure.instrument}"),
        measure_time=to_timestamp(measure.taken_at),
        create_time=to_timestamp(measure.recorded_at),
        recorded_by=measure.recorded_by,
        retract_time=to_timestamp(measure.retracted_at) if measure.retracted_at else None,
        retracted_by=measure.retracted_by or "",
    )
    match measure.content:
        case Questionnaire(instrument, item_scores):
            told.questionnaire.CopyFrom(pb.QuestionnaireScores(instrument=told.instrument, item_scores=item_scores))
            told.total = measure.content.total
            told.band = pb.Band.Value(f"BAND_{band_of(instrument, told.total)}")
        case VitalSigns():
            told.vital_signs.CopyFrom(pb.VitalSigns(**asdict(measure.content)))
        case SideEffects(effects):
            told.side_effects.CopyFrom(pb.SideEffects(side_effects=[_side_effect(each) for each in effects]))
    return told


def _side_effect(effect: SideEffect) -> pb.SideEffect:
    return pb.SideEffect(code=effect.code, severity=pb.Severity.Value(f"SEVERITY_{effect.severity}"))


def _point(point: Point) -> pb.MeasureTrend.Point:
    return pb.MeasureTrend.Point(
        measure_id=to_wire("measure", point.measure.id),
        measure_time=to_timestamp(point.measure.taken_at),
        total=point.total,
        change=point.change,
        response=point.response,
        remission=point.remission,
    )


def to_safety_flag(flag: SafetyFlag) -> pb.SafetyFlag:
    return pb.SafetyFlag(
        id=to_wire("safetyflag", flag.id),
        kind=pb.SafetyFlagKind.Value(f"SAFETY_FLAG_KIND_{flag.kind}"),
        patient_id=to_wire("patient", flag.patient_id),
        site_id=to_wire("site", flag.site_id),
        measure_id=to_wire("measure", flag.measure_id),
        create_time=to_timestamp(flag.raised_at),
        acknowledge_time=to_timestamp(flag.acknowledged_at) if flag.acknowledged_at else None,
        acknowledged_by=flag.acknowledged_by or "",
        note=flag.note,
    )
