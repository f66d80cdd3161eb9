"""Synthea's patients.csv: https://github.com/synthetichealth/synthea/wiki/CSV-File-Data-Dictionary.

Its numbers of social security, driver's licences and passports are not even sent. What a record has no place for
(marital status, race, ethnicity, birthplace, coordinates, costs) is passed over.
"""

from typing import Any

from atoll.patients.v1.patient_pb2 import CONTACT_SYSTEM_POSTAL, CONTACT_USE_HOME
from cli.fhir import codes
from cli.importing.columns import Columns, Values
from cli.readings import Reading

SYSTEM = "https://github.com/synthetichealth/synthea"
GENDERS = {"m": codes.GENDERS["male"], "f": codes.GENDERS["female"], "u": codes.GENDERS["unknown"]}
NEVER_KEPT = {
    "SSN": "a social security number",
    "DRIVERS": "a driver's licence number",
    "PASSPORT": "a passport number",
}


def read(row: Values) -> Reading:
    reading, patient = row.reading, row.reading.patient
    row.source_id("Id")
    if identifier := row.text("Id", "identifiers"):
        patient.identifiers.add(system=SYSTEM, value=identifier)
    else:
        reading.fault("Id", "IDENTIFIER_MISSING", "none by which a second import would know the patient")
    patient.given_names.extend(filter(None, (row.text("FIRST", "given_names"), row.text("MIDDLE"))))
    patient.family_name = row.text("LAST", "family_name")
    patient.prefix = row.text("PREFIX", "prefix")
    if maiden := row.text("MAIDEN", "former_names"):
        patient.former_names.add(given_names=patient.given_names, family_name=maiden)
    if row.text("SUFFIX"):
        reading.note("SUFFIX", "SUFFIX_NOT_TAKEN", "suffixes are not kept")
    for column, kind in NEVER_KEPT.items():
        if row.text(column):
            reading.note(column, "IDENTIFIER_NEVER_KEPT", f"{kind} is never kept")
    patient.gender = _gender(row)
    read_days(row, "BIRTHDATE", "DEATHDATE")
    if envelope := _envelope(row):
        row.reading.paths["contact_points"] = "ADDRESS"
        patient.contact_points.add(system=CONTACT_SYSTEM_POSTAL, value=envelope, use=CONTACT_USE_HOME)
    return reading


def read_days(row: Values, born: str, died: str) -> None:
    reading, patient = row.reading, row.reading.patient
    reading.paths |= {"birth_date": born, "deceased_date": died}
    if day := row.day(born, "BIRTH_DATE"):
        patient.birth_date.CopyFrom(day)
    elif not row.text(born):
        reading.fault(born, "BIRTH_DATE_MISSING", "a birth date is needed")
    if day := row.day(died, "DECEASED_DATE"):
        patient.deceased = True
        patient.deceased_date.CopyFrom(day)


def _gender(row: Values) -> Any:
    return row.code("GENDER", GENDERS, "GENDER")


def _envelope(row: Values) -> str:
    region = f"{row.text('STATE')} {row.text('ZIP')}".strip()
    city = ", ".join(filter(None, (row.text("CITY"), region)))
    return "\n".join(filter(None, (row.text("ADDRESS"), city)))


COLUMNS = Columns(
    name="Synthea's patients.csv",
    needed=("Id", "BIRTHDATE", "FIRST", "LAST"),
    others=frozenset(
        {
            "DEATHDATE", "SSN", "DRIVERS", "PASSPORT", "PREFIX", "MIDDLE", "SUFFIX", "MAIDEN", "MARITAL", "RACE",
            "ETHNICITY", "GENDER", "BIRTHPLACE", "ADDRESS", "CITY", "STATE", "COUNTY", "FIPS", "ZIP", "LAT", "LON",
            "HEALTHCARE_EXPENSES", "HEALTHCARE_COVERAGE", "INCOME",
        }
    ),
    read=read,
)  # fmt: skip
