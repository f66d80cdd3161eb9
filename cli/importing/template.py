"""Our own CSV: `atoll import template` prints it, docs/importing.md tells of each column."""

from collections.abc import Callable
from typing import Any

from atoll.patients.v1.patient_pb2 import (
    CONTACT_SYSTEM_EMAIL,
    CONTACT_SYSTEM_PHONE,
    CONTACT_SYSTEM_POSTAL,
    CONTACT_USE_HOME,
    CONTACT_USE_MOBILE,
    CONTACT_USE_UNSPECIFIED,
    CONTACT_USE_WORK,
)
from cli.fhir import codes
from cli.importing.columns import Columns, Values
from cli.importing.report import csv_line
from cli.importing.synthea import read_days
from cli.readings import Reading

SOURCE_SYSTEM = "urn:atoll:csv"
"""Who gives out the values of source_id, where the command is not told."""
POINTS: dict[str, tuple[Any, Any]] = {
    "mobile_phone": (CONTACT_SYSTEM_PHONE, CONTACT_USE_MOBILE),
    "home_phone": (CONTACT_SYSTEM_PHONE, CONTACT_USE_HOME),
    "work_phone": (CONTACT_SYSTEM_PHONE, CONTACT_USE_WORK),
    "email": (CONTACT_SYSTEM_EMAIL, CONTACT_USE_UNSPECIFIED),
}
PERSONS: dict[str, Any] = {
    "emergency_contact": codes.ROLES["emergency-contact"],
    "escort": codes.ROLES["escort"],
    "guarantor": codes.ROLES["guarantor"],
}
PERSON_PARTS = ("name", "relationship", "phone", "email", "address")
TRUTHS = {"true": 1, "yes": 1, "false": 0, "no": 0}
NEEDED = ("source_id", "family_name", "birth_date")
COLUMN_NAMES = (
    "source_id", "mrn", "given_names", "family_name", "prefix", "preferred_name",
    "former_given_names", "former_family_name", "birth_date", "gender", "gender_identity",
    *POINTS, "address_lines", "city", "state", "postal_code", "country", "confidential",
    "language", "time_zone", "home_site", "deceased", "deceased_date", "self_pay_basis", "self_pay_date",
    *(f"{person}_{part}" for person in PERSONS for part in PERSON_PARTS),
)  # fmt: skip
EXAMPLE = {
    "source_id": "P-1001",
    "given_names": "Ana|María",
    "family_name": "Ruiz",
    "preferred_name": "Anita",
    "former_family_name": "Vega",
    "birth_date": "1980-05-17",
    "gender": "female",
    "mobile_phone": "505-842-2000",
    "email": "ana@example.org",
    "address_lines": "1 Main St|Apt 2",
    "city": "Albuquerque",
    "state": "NM",
    "postal_code": "87101",
    "country": "US",
    "language": "es-US",
    "self_pay_basis": "uninsured",
    "self_pay_date": "2026-11-02",
    "emergency_contact_name": "Luis Ruiz",
    "emergency_contact_relationship": "brother",
    "emergency_contact_phone": "505-842-2001",
}


def template() -> str:
    """The header, and one patient as an example."""
    return csv_line(COLUMN_NAMES) + csv_line([EXAMPLE.get(name, "") for name in COLUMN_NAMES])


def columns(source_system: str) -> Columns:
    return Columns(
        name="the template",
        needed=NEEDED,
        others=frozenset(COLUMN_NAMES) - frozenset(NEEDED),
        read=_reader(source_system),
    )


def _reader(source_system: str) -> Callable[[Values], Reading]:
    def read(row: Values) -> Reading:
        row.source_id("source_id")
        if value := row.text("source_id", "identifiers"):
            row.reading.patient.identifiers.add(system=source_system, value=value)
        else:
            row.reading.fault("source_id", "IDENTIFIER_MISSING", "none by which a second import would know the patient")
        _read_names(row)
        read_days(row, "birth_date", "deceased_date")
        _read_codes(row)
        _read_points(row)
        _read_persons(row)
        _read_self_pay(row)
        return row.reading

    return read


def _read_names(row: Values) -> None:
    patient = row.reading.patient
    patient.mrn = row.text("mrn", "mrn")
    patient.given_names.extend(row.list("given_names", "given_names"))
    patient.family_name = row.text("family_name", "family_name")
    patient.prefix = row.text("prefix", "prefix")
    patient.preferred_name = row.text("preferred_name", "preferred_name")
    given, family = row.list("former_given_names"), row.text("former_family_name", "former_names")
    if given or family:
        patient.former_names.add(given_names=given, family_name=family)


def _read_codes(row: Values) -> None:
    reading, patient = row.reading, row.reading.patient
    patient.gender = row.code("gender", codes.GENDERS, "GENDER")  # type: ignore[assignment]
    patient.gender_identity = row.code("gender_identity", codes.GENDER_IDENTITIES, "GENDER_IDENTITY")  # type: ignore[assignment]
    _read_death(row)
    patient.language = row.text("language", "language")
    patient.time_zone = row.text("time_zone", "time_zone")
    reading.home_site = row.text("home_site", "home_site_id")


def _read_death(row: Values) -> None:
    """A day of death says it, too; but not against what the row says."""
    reading, died = row.reading, bool(row.code("deceased", TRUTHS, "DECEASED"))
    if reading.patient.deceased and row.text("deceased") and not died:
        reading.fault("deceased_date", "DECEASED_DATE_OF_LIVING", "the patient is not deceased")
    reading.patient.deceased = reading.patient.deceased or died


def _read_points(row: Values) -> None:
    reading, points = row.reading, row.reading.patient.contact_points
    confidential = set(row.list("confidential"))
    if unknown := confidential - POINTS.keys() - {"address"}:
        names = ", ".join((*POINTS, "address"))
        reading.fault("confidential", "CONFIDENTIAL_NOT_KNOWN", f"{len(unknown)} of its names are none of {names}")
    for column, (system, use) in POINTS.items():
        if value := row.text(column):
            reading.paths[f"contact_points[{len(points)}]"] = column
            points.add(system=system, value=value, use=use, confidential=column in confidential)
    if envelope := _envelope(row):
        reading.paths[f"contact_points[{len(points)}]"] = "address_lines"
        points.add(
            system=CONTACT_SYSTEM_POSTAL,
            value=envelope,
            use=CONTACT_USE_HOME,
            confidential="address" in confidential,
        )


def _envelope(row: Values) -> str:
    region = f"{row.text('state')} {row.text('postal_code')}".strip()
    city = ", ".join(filter(None, (row.text("city"), region)))
    return "\n".join(filter(None, (*row.list("address_lines"), city, row.text("country"))))


def _read_persons(row: Values) -> None:
    reading, persons = row.reading, row.reading.patient.related_persons
    for person, role in PERSONS.items():
        told = {part: row.text(f"{person}_{part}") for part in PERSON_PARTS}
        if not any(told.values()):
            continue
        if not told["name"]:
            reading.fault(f"{person}_name", "NAME_MISSING", "a name is needed")
            continue
        reading.paths[f"related_persons[{len(persons)}]"] = person
        told["address"] = "\n".join(row.list(f"{person}_address"))
        persons.add(role=role, **told)


def _read_self_pay(row: Values) -> None:
    reading = row.reading
    basis = row.code("self_pay_basis", codes.BASES, "SELF_PAY_BASIS")
    day = row.day("self_pay_date", "SELF_PAY_DATE")
    if not basis and not row.text("self_pay_date"):
        return
    if not basis and not row.text("self_pay_basis"):
        reading.fault("self_pay_basis", "SELF_PAY_BASIS_MISSING", "is needed where self_pay_date is told")
    reading.paths["self_pay_declaration"] = "self_pay_date"
    reading.patient.self_pay_declaration.basis = basis  # type: ignore[assignment]
    if day:
        reading.patient.self_pay_declaration.declare_date.CopyFrom(day)
