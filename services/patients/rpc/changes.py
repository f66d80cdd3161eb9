"""The history of records."""

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value

from atoll.patients.v1 import patient_change_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.patients.domain.changes import FieldChange, PatientChange
from services.patients.store import PatientsStore


class PatientChangeServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListPatientChanges(
        self, request: pb.ListPatientChangesRequest, call: Call
    ) -> pb.ListPatientChangesResponse:
        patient_id, page = from_wire("patient", request.patient_id), Page.of(request, call)
        before = int(page.after[0]) if page.after else None
        found = await self._db.read(
            call, request, PatientsStore, lambda store: store.changes(patient_id, before, page.limit)
        )
        kept, token = page.cut(found, key=lambda each: [str(each.version)])
        return pb.ListPatientChangesResponse(changes=[_change(each) for each in kept], next_page_token=token)


def _change(change: PatientChange) -> pb.PatientChange:
    return pb.PatientChange(
        patient_id=to_wire("patient", change.patient_id),
        version=change.version,
        change_time=to_timestamp(change.changed_at),
        changed_by=change.actor,
        method=change.method,
        request_id=change.cause,
        reason=change.reason,
        fields=[_field(each) for each in change.changes],
    )


def _field(change: FieldChange) -> pb.PatientChange.FieldChange:
    before, after = ParseDict(change.before, Value()), ParseDict(change.after, Value())
    return pb.PatientChange.FieldChange(field=change.field, before=before, after=after)
