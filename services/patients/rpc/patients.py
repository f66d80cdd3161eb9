"""Patients: records, cards and imports."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from google.protobuf.descriptor import EnumDescriptor

from atoll.patients.v1 import patient_pb2 as record_pb
from atoll.patients.v1 import patient_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.errors import BadRequest, DomainError, TryAgain, Violation
from chassis.etags import from_etag, to_etag
from chassis.fields import check_fields
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.patients.domain.contacts import ContactPoint, ContactSystem, ContactUse, read_phone
from services.patients.domain.names import search_words
from services.patients.domain.patients import (
    FormerName,
    Gender,
    GenderIdentity,
    Identifier,
    IdentifierTaken,
    MrnTaken,
    Patient,
    PatientCard,
    Person,
    Wanted,
    is_minor,
)
from services.patients.domain.permissions import Present, present
from services.patients.domain.related_persons import RelatedPerson, RelatedPersonRole
from services.patients.domain.retention import PatientRestricted
from services.patients.domain.self_pay import SelfPayBasis, SelfPayDeclaration
from services.patients.rpc.matches import to_match
from services.patients.rpc.permissions import to_present
from services.patients.store import PatientsStore
from services.patients.store.records import RECORD, patient_found
from services.patients.store.search import Place, card_of, place_of
from services.patients.use_cases import imports, records
from services.patients.use_cases.imports import Imported
from services.patients.use_cases.records import ChangePatient, RegisterPatient, birth_date_lock, identity_locks

QUERY_WORDS_MAX = 8
IMPORT_ATTEMPTS_MAX = 5

Result = pb.ImportPatientsResponse.Result


class Codes:
    """An enumeration's numbers and codes: CONTACT_USE_HOME is HOME inside. Looked up, since each record has many."""

    def __init__(self, enum: EnumDescriptor, prefix: str) -> None:
        self._codes = {value.number: value.name.removeprefix(prefix) for value in enum.values}
        self._numbers = {code: number for number, code in self._codes.items()}

    def code(self, number: int) -> str:
        return self._codes[number]

    def number(self, code: str) -> Any:
        return self._numbers[code]


GENDER = Codes(record_pb.AdministrativeGender.DESCRIPTOR, "ADMINISTRATIVE_GENDER_")
GENDER_IDENTITY = Codes(record_pb.GenderIdentity.DESCRIPTOR, "GENDER_IDENTITY_")
CONTACT_SYSTEM = Codes(record_pb.ContactSystem.DESCRIPTOR, "CONTACT_SYSTEM_")
CONTACT_USE = Codes(record_pb.ContactUse.DESCRIPTOR, "CONTACT_USE_")
RELATED_PERSON_ROLE = Codes(record_pb.RelatedPersonRole.DESCRIPTOR, "RELATED_PERSON_ROLE_")
SELF_PAY_BASIS = Codes(record_pb.SelfPayBasis.DESCRIPTOR, "SELF_PAY_BASIS_")


class PatientServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreatePatient(self, request: pb.CreatePatientRequest, call: Call) -> pb.CreatePatientResponse:
        told = register_command(request.patient, "patient.")
        command = replace(told, refuse_likely_duplicates=request.refuse_likely_duplicates)

        async def work(store: PatientsStore) -> pb.CreatePatientResponse:
            patient, alike = await records.register_patient(store, command)
            return pb.CreatePatientResponse(patient=to_patient(patient), likely_duplicates=map(to_match, alike))

        locks = identity_locks(call.chain_id, command.identifiers.values())
        if command.refuse_likely_duplicates:
            locks.add(birth_date_lock(call.chain_id, command.person.birth_date))
        return await self._db.once(call, request, pb.CreatePatientResponse, PatientsStore, work, locks=locks)

    async def GetPatient(self, request: pb.GetPatientRequest, call: Call) -> pb.GetPatientResponse:
        patient_id = from_wire("patient", request.patient_id)
        row = await self._db.read_row(call, request, PatientsStore, RECORD, patient_id=patient_id)
        return pb.GetPatientResponse(patient=to_patient(patient_found(row, patient_id)))

    async def UpdatePatient(self, request: pb.UpdatePatientRequest, call: Call) -> pb.UpdatePatientResponse:
        command = ChangePatient(
            patient_id=from_wire("patient", request.patient.id),
            version=from_etag(request.patient.etag),
            told=_person(request.patient, "patient."),
            fields=frozenset(request.update_mask.paths),
        )

        async def work(store: PatientsStore) -> pb.UpdatePatientResponse:
            return pb.UpdatePatientResponse(patient=to_patient(await records.change_patient(store, command)))

        # The record's own, as whoever merges has it: who waited for its row only would not see what was merged into it.
        locks = identity_locks(call.chain_id, command.identifiers.values()) | {command.patient_id}
        return await self._db.once(call, request, pb.UpdatePatientResponse, PatientsStore, work, locks=locks)

    async def SearchPatients(self, request: pb.SearchPatientsRequest, call: Call) -> pb.SearchPatientsResponse:
        wanted, page = _wanted(request), Page.of(request, call)
        after = _read_place(page.after) if page.after else None

        async def work(store: PatientsStore) -> tuple[Sequence[PatientCard], str]:
            """Cut to the page inside, since the audit row names who is shown."""
            found = await store.search(wanted, after, page.limit)
            kept, token = page.cut(found, key=lambda row: _place(place_of(row)))
            cards = [card_of(row) for row in kept]
            store.saw(*(card.id for card in cards))
            return cards, token

        cards, token = await self._db.read_apart(call, request, PatientsStore, work)
        return pb.SearchPatientsResponse(cards=map(to_card, cards), next_page_token=token)

    async def ImportPatients(self, request: pb.ImportPatientsRequest, call: Call) -> pb.ImportPatientsResponse:
        """Takes no `identity_locks`: two batches of hundreds of identifiers would always share one, and no two imports
        of a chain would run at once. The unique keys stop a second registration instead."""
        rows = [_row(row) for row in request.rows]

        async def work(store: PatientsStore) -> pb.ImportPatientsResponse:
            imported = await imports.import_patients(store, rows)
            return pb.ImportPatientsResponse(results=[_result(each) for each in imported])

        for _ in range(IMPORT_ATTEMPTS_MAX):
            try:
                return await self._db.once(call, request, pb.ImportPatientsResponse, PatientsStore, work)
            except (IdentifierTaken, MrnTaken):  # By a call that committed just now: its patient is found next time.
                continue
        raise TryAgain()

    async def GetContactDetails(self, request: pb.GetContactDetailsRequest, call: Call) -> pb.GetContactDetailsResponse:
        patient_id = from_wire("patient", request.patient_id)

        async def work(store: PatientsStore) -> tuple[Patient, list[Present]]:
            if await store.is_restricted(patient_id):
                raise PatientRestricted()
            patient = await store.with_merged(await store.patient(patient_id))
            return patient, present(await store.last_words(patient_id))

        patient, permissions = await self._db.read(call, request, PatientsStore, work)
        person = patient.person
        details = pb.ContactDetails(
            patient_id=request.patient_id,
            given_name=person.called,
            contact_points=[_contact_point(point) for point in patient.points_to_use],
            language=person.language,
            time_zone=person.time_zone,
            deceased=patient.deceased,
            related_persons=[_related_person(each) for each in patient.persons_to_tell],
            minor=is_minor(patient.birth_date, call.now.astimezone(ZoneInfo(person.time_zone)).date()),
            permissions=[to_present(each) for each in permissions],
        )
        return pb.GetContactDetailsResponse(contact_details=details)

    async def GetDocumentDetails(
        self, request: pb.GetDocumentDetailsRequest, call: Call
    ) -> pb.GetDocumentDetailsResponse:
        patient_id = from_wire("patient", request.patient_id)
        row = await self._db.read_row(call, request, PatientsStore, RECORD, patient_id=patient_id)
        patient = patient_found(row, patient_id)
        details = pb.DocumentDetails(
            patient_id=to_wire("patient", patient.id),
            given_names=patient.person.given_names,
            family_name=patient.person.family_name,
            birth_date=to_date(patient.birth_date),
        )
        return pb.GetDocumentDetailsResponse(document_details=details)


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
        gender=Gender(GENDER.code(patient.gender)),
        contact_points=tuple(_read_contact_point(point) for point in patient.contact_points),
        language=patient.language,
        time_zone=patient.time_zone,
        home_site_id=from_wire("site", patient.home_site_id) if patient.home_site_id else None,
        identifiers=tuple(_identifier(each) for each in patient.identifiers),
        deceased=patient.deceased,
        preferred_name=patient.preferred_name.strip(),
        former_names=tuple(_former_name(name) for name in patient.former_names),
        gender_identity=GenderIdentity(GENDER_IDENTITY.code(patient.gender_identity)),
        related_persons=tuple(_read_related_person(each) for each in patient.related_persons),
        self_pay_declaration=_read_declaration(patient, path),
        deceased_date=from_date(patient.deceased_date, f"{path}deceased_date")
        if patient.HasField("deceased_date")
        else None,
    )


def _former_name(name: record_pb.FormerName) -> FormerName:
    return FormerName(tuple(each.strip() for each in name.given_names), name.family_name.strip())


def _read_related_person(person: record_pb.RelatedPerson) -> RelatedPerson:
    return RelatedPerson(
        role=RelatedPersonRole(RELATED_PERSON_ROLE.code(person.role)),
        name=person.name.strip(),
        relationship=person.relationship.strip(),
        phone=person.phone.strip(),
        email=person.email.strip(),
        address=person.address,
    )


def _read_declaration(patient: record_pb.Patient, path: str) -> SelfPayDeclaration | None:
    if not patient.HasField("self_pay_declaration"):
        return None
    told, field = patient.self_pay_declaration, f"{path}self_pay_declaration.declare_date"
    declare_date = from_date(told.declare_date, field) if told.HasField("declare_date") else None
    return SelfPayDeclaration(SelfPayBasis(SELF_PAY_BASIS.code(told.basis)), declare_date)


def _read_contact_point(point: record_pb.ContactPoint) -> ContactPoint:
    return ContactPoint(
        system=ContactSystem(CONTACT_SYSTEM.code(point.system)),
        value=point.value,
        use=ContactUse(CONTACT_USE.code(point.use)),
        rank=point.rank,
        verified=point.verified,
        confidential=point.confidential,
    )


def _identifier(identifier: record_pb.Identifier) -> Identifier:
    return Identifier(identifier.system, identifier.value)


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
        mrn=request.mrn.strip().upper() or None,
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
        gender=GENDER.number(person.gender),
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
        preferred_name=person.preferred_name,
        former_names=[
            record_pb.FormerName(given_names=each.given_names, family_name=each.family_name)
            for each in person.former_names
        ],
        gender_identity=GENDER_IDENTITY.number(person.gender_identity),
        related_persons=[_related_person(each) for each in person.related_persons],
        self_pay_declaration=_declaration(person.self_pay_declaration) if person.self_pay_declaration else None,
        deceased_date=to_date(person.deceased_date) if person.deceased_date else None,
        merged_patient_ids=[to_wire("patient", id) for id in patient.merged_ids],
        survivor_patient_id=to_wire("patient", patient.survivor_id) if patient.survivor_id else "",
    )


def _contact_point(point: ContactPoint) -> record_pb.ContactPoint:
    return record_pb.ContactPoint(
        system=CONTACT_SYSTEM.number(point.system),
        value=point.value,
        use=CONTACT_USE.number(point.use),
        rank=point.rank,
        verified=point.verified,
        confidential=point.confidential,
    )


def _related_person(person: RelatedPerson) -> record_pb.RelatedPerson:
    return record_pb.RelatedPerson(
        role=RELATED_PERSON_ROLE.number(person.role),
        name=person.name,
        relationship=person.relationship,
        phone=person.phone,
        email=person.email,
        address=person.address,
    )


def _declaration(declaration: SelfPayDeclaration) -> record_pb.SelfPayDeclaration:
    return record_pb.SelfPayDeclaration(
        basis=SELF_PAY_BASIS.number(declaration.basis),
        declare_date=to_date(declaration.declare_date) if declaration.declare_date else None,
        recorded_by=declaration.recorded_by,
    )


def to_card(card: PatientCard) -> pb.PatientCard:
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
