"""Patients: records, cards and imports."""

from collections.abc import Iterable
from uuid import UUID

from atoll.patients.v1 import patient_pb2 as record_pb
from atoll.patients.v1 import patient_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.endpoint import check_fields
from chassis.errors import BadRequest, DomainError, Violation
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.patients.domain.contacts import ContactPoint, ContactSystem, ContactUse, read_phone
from services.patients.domain.names import search_words
from services.patients.domain.patients import Gender, Identifier, Patient, PatientCard, Person, Wanted
from services.patients.store import PatientsStore
from services.patients.store.search import Place
from services.patients.use_cases import imports, records
from services.patients.use_cases.imports import Imported
from services.patients.use_cases.records import ChangePatient, RegisterPatient, identity_locks

QUERY_WORDS_MAX = 8

Result = pb.ImportPatientsResponse.Result


class PatientServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreatePatient(self, request: pb.CreatePatientRequest, call: Call) -> pb.CreatePatientResponse:
        command = register_command(request.patient, "patient.")

        async def work(store: PatientsStore) -> pb.CreatePatientResponse:
            return pb.CreatePatientResponse(patient=to_patient(await records.register_patient(store, command)))

        locks = identity_locks(call.chain_id, command.identifiers)
        return await self._db.once(call, request, pb.CreatePatientResponse, PatientsStore, work, locks=locks)

    async def GetPatient(self, request: pb.GetPatientRequest, call: Call) -> pb.GetPatientResponse:
        patient_id = from_wire("patient", request.patient_id)
        patient = await self._db.read(call, request, PatientsStore, lambda store: store.patient(patient_id))
        return pb.GetPatientResponse(patient=to_patient(patient))

    async def UpdatePatient(self, request: pb.UpdatePatientRequest, call: Call) -> pb.UpdatePatientResponse:
        command = ChangePatient(
            patient_id=from_wire("patient", request.patient.id),
            version=from_etag(request.patient.etag),
            told=_person(request.patient, "patient."),
            fields=frozenset(request.update_mask.paths),
        )

        async def work(store: PatientsStore) -> pb.UpdatePatientResponse:
            return pb.UpdatePatientResponse(patient=to_patient(await records.change_patient(store, command)))

        locks = identity_locks(call.chain_id, command.identifiers)
        return await self._db.once(call, request, pb.UpdatePatientResponse, PatientsStore, work, locks=locks)

    async def SearchPatients(self, request: pb.SearchPatientsRequest, call: Call) -> pb.SearchPatientsResponse:
        wanted, page = _wanted(request), Page.of(request, call)
        after = _read_place(page.after) if page.after else None
        found = await self._db.read(
            call, request, PatientsStore, lambda store: store.search(wanted, after, page.limit), planned_once=True
        )
        kept, token = page.cut(found, key=lambda each: _place(each[1]))
        return pb.SearchPatientsResponse(cards=[_card(card) for card, _ in kept], next_page_token=token)

    async def ImportPatients(self, request: pb.ImportPatientsRequest, call: Call) -> pb.ImportPatientsResponse:
        rows = [_row(row) for row in request.rows]

        async def work(store: PatientsStore) -> pb.ImportPatientsResponse:
            imported = await imports.import_patients(store, rows)
            return pb.ImportPatientsResponse(results=[_result(each) for each in imported])

        readable = [row for row in rows if isinstance(row, RegisterPatient)]
        locks = identity_locks(call.chain_id, (each for row in readable for each in row.identifiers))
        return await self._db.once(call, request, pb.ImportPatientsResponse, PatientsStore, work, locks=locks)

    async def GetContactDetails(self, request: pb.GetContactDetailsRequest, call: Call) -> pb.GetContactDetailsResponse:
        patient_id = from_wire("patient", request.patient_id)
        patient = await self._db.read(call, request, PatientsStore, lambda store: store.patient(patient_id))
        person = patient.person
        details = pb.ContactDetails(
            patient_id=request.patient_id,
            given_name=person.given_names[0] if person.given_names else person.family_name,
            contact_points=[_contact_point(point) for point in person.contact_points],
            language=person.language,
            time_zone=person.time_zone,
            deceased=person.deceased,
        )
        return pb.GetContactDetailsResponse(contact_details=details)


def register_command(patient: record_pb.Patient, path: str) -> RegisterPatient:
    """`path` stands before the names of fields in a refusal."""
    other_site_ids = frozenset(from_wire("site", id) for id in patient.site_ids)
    return RegisterPatient(_person(patient, path), other_site_ids, patient.mrn)


def _row(row: record_pb.Patient) -> RegisterPatient | DomainError:
    try:
        check_fields(row)
        return register_command(row, "")
    except DomainError as refused:
        return refused


def _person(patient: record_pb.Patient, path: str) -> Person:
    return Person(
        given_names=tuple(name.strip() for name in patient.given_names),
        family_name=patient.family_name.strip(),
        prefix=patient.prefix.strip(),
        birth_date=from_date(patient.birth_date, f"{path}birth_date") if patient.HasField("birth_date") else None,
        gender=Gender(_code(record_pb.AdministrativeGender.Name(patient.gender))),
        contact_points=tuple(_read_contact_point(point) for point in patient.contact_points),
        language=patient.language,
        time_zone=patient.time_zone,
        home_site_id=from_wire("site", patient.home_site_id) if patient.home_site_id else None,
        identifiers=tuple(_identifier(each) for each in patient.identifiers),
        deceased=patient.deceased,
    )


def _read_contact_point(point: record_pb.ContactPoint) -> ContactPoint:
    return ContactPoint(
        system=ContactSystem(_code(record_pb.ContactSystem.Name(point.system))),
        value=point.value,
        use=ContactUse(_code(record_pb.ContactUse.Name(point.use))),
        rank=point.rank,
        verified=point.verified,
    )


def _identifier(identifier: record_pb.Identifier) -> Identifier:
    return Identifier(identifier.system, identifier.value)


def _code(name: str) -> str:
    """CONTACT_USE_HOME is HOME inside."""
    return name.rpartition("_")[2]


def _wanted(request: pb.SearchPatientsRequest) -> Wanted:
    words, faults = search_words(request.name), list[Violation]()
    phone = read_phone(request.phone) if request.phone else None
    if request.name and not words:
        faults.append(Violation("name", "NAME_MISSING", "has no letter in it"))
    if len(words) > QUERY_WORDS_MAX:
        faults.append(Violation("name", "NAME_TOO_LONG", f"has more than {QUERY_WORDS_MAX} words"))
    if request.phone and not phone:
        faults.append(Violation("phone", "PHONE_NOT_POSSIBLE", "no phone number can be like this"))
    if faults:
        raise BadRequest(*faults)
    return Wanted(
        words=words,
        birth_date=from_date(request.birth_date, "birth_date") if request.HasField("birth_date") else None,
        phone=phone.e164 if phone else None,
        email=request.email.strip().lower() or None,
        identifier=_identifier(request.identifier) if request.HasField("identifier") else None,
        mrn=request.mrn or None,
    )


def _place(place: Place) -> list[str]:
    return [str(place.cost), place.word, place.line, str(place.patient_id)]


def _read_place(key: list[str]) -> Place:
    cost, word, line, patient_id = key
    return Place(int(cost), word, line, UUID(patient_id))


def to_patient(patient: Patient) -> record_pb.Patient:
    person = patient.person
    return record_pb.Patient(
        id=to_wire("patient", patient.id),
        mrn=patient.mrn,
        given_names=person.given_names,
        family_name=person.family_name,
        prefix=person.prefix,
        birth_date=to_date(patient.birth_date),
        gender=record_pb.AdministrativeGender.Value(f"ADMINISTRATIVE_GENDER_{person.gender}"),
        contact_points=[_contact_point(point) for point in person.contact_points],
        language=person.language,
        time_zone=person.time_zone,
        home_site_id=to_wire("site", patient.home_site_id),
        site_ids=[to_wire("site", id) for id in sorted(patient.site_ids)],
        identifiers=[record_pb.Identifier(system=each.system, value=each.value) for each in person.identifiers],
        deceased=person.deceased,
        etag=to_etag(patient.version),
        create_time=to_timestamp(patient.created_at),
        update_time=to_timestamp(patient.updated_at),
    )


def _contact_point(point: ContactPoint) -> record_pb.ContactPoint:
    return record_pb.ContactPoint(
        system=record_pb.ContactSystem.Value(f"CONTACT_SYSTEM_{point.system}"),
        value=point.value,
        use=record_pb.ContactUse.Value(f"CONTACT_USE_{point.use}"),
        rank=point.rank,
        verified=point.verified,
    )


def _card(card: PatientCard) -> pb.PatientCard:
    return pb.PatientCard(
        patient_id=to_wire("patient", card.id),
        given_names=card.given_names,
        family_name=card.family_name,
        birth_date=to_date(card.birth_date),
        mrn=card.mrn,
        home_site_id=to_wire("site", card.home_site_id),
    )


def _result(imported: Imported) -> Result:
    return Result(
        outcome=_outcome(imported),
        patient_id=to_wire("patient", imported.patient_id) if imported.patient_id else "",
        faults=_remarks(imported.faults),
        notes=_remarks(imported.notes),
    )


def _outcome(imported: Imported) -> pb.ImportPatientsResponse.Outcome.ValueType:
    if imported.patient_id is None:
        return pb.ImportPatientsResponse.OUTCOME_REFUSED
    if imported.created:
        return pb.ImportPatientsResponse.OUTCOME_CREATED
    return pb.ImportPatientsResponse.OUTCOME_ALREADY_THERE


def _remarks(violations: Iterable[Violation]) -> list[pb.RowRemark]:
    return [pb.RowRemark(field=each.field, rule=each.rule, description=each.description) for each in violations]
