"""Our Patient as FHIR's: what `cli.fhir.patients` reads, written."""

from collections.abc import Iterator

from atoll.patients.v1.patient_pb2 import (
    CONTACT_SYSTEM_EMAIL,
    CONTACT_SYSTEM_POSTAL,
    RELATED_PERSON_ROLE_EMERGENCY_CONTACT,
    ContactPoint,
    Patient,
    RelatedPerson,
)
from cli.exporting.elements import Resource, concept, day, extension, fhir_id, full, instant, reference, word_of
from cli.fhir import codes

ADDRESS_USES = frozenset({"home", "work", "temp", "old"})


def patient_resource(patient: Patient) -> Resource:
    return full(
        resourceType="Patient",
        id=fhir_id(patient.id),
        meta=full(versionId=patient.etag.strip('"'), lastUpdated=instant(patient.update_time)),
        extension=_extensions(patient),
        identifier=list(_identifiers(patient)),
        active=False if patient.survivor_patient_id else None,  # Another record is to be used.
        name=list(_names(patient)),
        telecom=[_telecom(point) for point in patient.contact_points if point.system != CONTACT_SYSTEM_POSTAL],
        gender=word_of(codes.GENDERS, patient.gender),
        birthDate=day(patient.birth_date),
        address=[_address(point) for point in patient.contact_points if point.system == CONTACT_SYSTEM_POSTAL],
        contact=[_contact(person) for person in patient.related_persons],
        communication=[{"language": concept(codes.LANGUAGE_SYSTEM, patient.language), "preferred": True}]
        if patient.language
        else [],
        link=list(_links(patient)),
    ) | _death(patient)


def _extensions(patient: Patient) -> list[Resource]:
    identity = word_of(codes.GENDER_IDENTITIES, patient.gender_identity)
    coded = concept(codes.GENDER_IDENTITY_SYSTEM, identity) if identity else None
    site = {"system": codes.SITE_SYSTEM, "value": patient.home_site_id}
    return [
        *extension(codes.GENDER_IDENTITY_URL, valueCodeableConcept=coded),
        *extension(codes.TIME_ZONE_URL, valueCode=patient.time_zone),
        *extension(codes.HOME_SITE_URL, valueIdentifier=site if patient.home_site_id else None),
        *(_self_pay(patient)),
    ]


def _self_pay(patient: Patient) -> list[Resource]:
    if not patient.HasField("self_pay_declaration"):
        return []
    declared = patient.self_pay_declaration
    parts = [
        *extension("basis", valueCode=word_of(codes.BASES, declared.basis)),
        *extension("date", valueDate=day(declared.declare_date)),
        *extension("recordedBy", valueString=declared.recorded_by),
    ]
    return [{"url": codes.SELF_PAY_URL, "extension": parts}]


def _identifiers(patient: Patient) -> Iterator[Resource]:
    """The id of the record is one where no other system gave any: what a second import knows the patient by."""
    if patient.mrn:
        type_ = concept(codes.IDENTIFIER_TYPE_SYSTEM, "MR")
        yield {"use": "usual", "type": type_, "system": codes.MRN_SYSTEM, "value": patient.mrn}
    for each in patient.identifiers:
        yield {"system": each.system, "value": each.value}
    if not patient.identifiers and patient.id:
        yield {"system": codes.PATIENT_SYSTEM, "value": patient.id}


def _names(patient: Patient) -> Iterator[Resource]:
    yield full(
        use="official",
        family=patient.family_name,
        given=list(patient.given_names),
        prefix=[patient.prefix] if patient.prefix else [],
    )
    if patient.preferred_name:
        yield {"use": "usual", "given": [patient.preferred_name]}
    for each in patient.former_names:
        yield full(use="old", family=each.family_name, given=list(each.given_names))


def _marks(point: ContactPoint) -> list[Resource]:
    return [
        *extension(codes.VERIFIED_URL, valueBoolean=point.verified or None),
        *extension(codes.CONFIDENTIAL_URL, valueBoolean=point.confidential or None),
    ]


def _telecom(point: ContactPoint) -> Resource:
    return full(
        extension=_marks(point),
        system="email" if point.system == CONTACT_SYSTEM_EMAIL else "phone",
        value=point.value,
        use=word_of(codes.USES, point.use),
        rank=point.rank or None,
    )


def _address(point: ContactPoint) -> Resource:
    use = word_of(codes.USES, point.use)
    return full(
        extension=[*_marks(point), *extension(codes.RANK_URL, valuePositiveInt=point.rank or None)],
        use=use if use in ADDRESS_USES else "",
        text=point.value,
        line=point.value.splitlines(),
    )


def _contact(person: RelatedPerson) -> Resource:
    called = person.role == RELATED_PERSON_ROLE_EMERGENCY_CONTACT
    telecoms = [full(system=system, value=getattr(person, system)) for system in ("phone", "email")]
    return full(
        relationship=[
            *([concept(codes.CONTACT_ROLE_SYSTEM, "C")] if called else []),
            concept(codes.ROLE_SYSTEM, word_of(codes.ROLES, person.role)),
            *([{"text": person.relationship}] if person.relationship else []),
        ],
        name={"text": person.name},
        telecom=[each for each in telecoms if "value" in each],
        address=full(text=person.address, line=person.address.splitlines()),
    )


def _links(patient: Patient) -> Iterator[Resource]:
    """To the record that stands for it, or to those that it stands for."""
    for id in patient.merged_patient_ids:
        yield {"other": reference("Patient", id), "type": codes.REPLACES}
    if patient.survivor_patient_id:
        yield {"other": reference("Patient", patient.survivor_patient_id), "type": codes.REPLACED_BY}


def _death(patient: Patient) -> Resource:
    if patient.HasField("deceased_date"):
        return {"deceasedDateTime": day(patient.deceased_date)}
    return {"deceasedBoolean": patient.deceased}
