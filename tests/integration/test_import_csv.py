"""Tables against the running service: our template and Synthea's, read row by row."""

import csv
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from atoll.patients.v1.patient_pb2 import CONTACT_SYSTEM_POSTAL, RELATED_PERSON_ROLE_EMERGENCY_CONTACT
from chassis.ids import to_wire
from cli.importing import Assignment, Outcome, Report
from cli.importing.batches import import_source
from cli.importing.tables import CsvSource
from cli.importing.template import COLUMN_NAMES, template
from tests.integration.test_import_fhir import client, outcomes
from tests.support.others import SHARED
from tests.support.patients import Desk, desk

__all__ = ["desk"]

HEADER = "source_id,family_name,birth_date,email\r\n"


async def imported(desk: Desk, *files: Path) -> Report:
    site = to_wire("site", desk.site_id)
    return await import_source(
        client(desk), CsvSource(files), assign=lambda number, row: Assignment(site), report=Report()
    )


async def told(desk: Desk, folder: Path, content: bytes) -> list[tuple[int, str, list[tuple[str, str]]]]:
    """Row, outcome and faults of each."""
    file = folder / "a.csv"
    file.write_bytes(content)
    report = await imported(desk, file)
    return [
        (entry.row, entry.outcome.value, [(each.field, each.rule) for each in entry.faults]) for entry in report.entries
    ]


async def test_the_template_itself_is_taken(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(template(), newline="")
    report = await imported(desk, file)
    assert [(entry.row, entry.outcome, entry.source_id, entry.notes) for entry in report.entries] == [
        (2, Outcome.CREATED, "P-1001", []),
    ]  # fmt: skip
    patient = await desk.get(report.patient_ids[0])
    assert (list(patient.given_names), patient.family_name, patient.preferred_name) == (
        ["Ana", "María"],
        "Ruiz",
        "Anita",
    )
    assert [(each.system, each.value) for each in patient.identifiers] == [("urn:atoll:csv", "P-1001")]
    assert [each.value for each in patient.contact_points] == [
        "+15058422000", "ana@example.org", "1 Main St\nApt 2\nAlbuquerque, NM 87101\nUS",
    ]  # fmt: skip
    [person] = patient.related_persons
    assert (person.role, person.name, person.phone) == (
        RELATED_PERSON_ROLE_EMERGENCY_CONTACT, "Luis Ruiz", "+15058422001",
    )  # fmt: skip


async def test_every_column_arrives_where_it_belongs(desk: Desk, tmp_path: Path) -> None:
    values = {
        "source_id": "7", "mrn": "M-7", "given_names": "Ana", "family_name": "Ruiz", "prefix": "Dr.",
        "preferred_name": "Anita", "former_given_names": "Ana|Sol", "former_family_name": "Vega",
        "birth_date": "1950-02-28", "gender": "Female", "gender_identity": "non-binary",
        "mobile_phone": "505-842-2000", "home_phone": "505-842-2001", "work_phone": "505-842-2002",
        "email": "Ana@Example.org", "address_lines": "1 Main St", "city": "Taos", "state": "NM",
        "postal_code": "87571", "country": "US", "confidential": "mobile_phone|address", "language": "es",
        "time_zone": "America/Phoenix", "home_site": "", "deceased": "yes", "deceased_date": "2026-01-02",
        "self_pay_basis": "insurance-not-used", "self_pay_date": "2026-01-01",
    }  # fmt: skip
    for person, phone in (("emergency_contact", "505-842-2003"), ("escort", "505-842-2004"), ("guarantor", "")):
        values |= {
            f"{person}_name": f"Luis {person}", f"{person}_relationship": "brother", f"{person}_phone": phone,
            f"{person}_email": "l@example.org", f"{person}_address": "2 Main St|Taos",
        }  # fmt: skip
    assert values.keys() == set(COLUMN_NAMES)
    text = StringIO()
    writer = csv.DictWriter(text, sorted(values))
    writer.writeheader()
    writer.writerow(values)
    assert await told(desk, tmp_path, text.getvalue().encode()) == [(2, "created", [])]
    patient = await desk.get((await desk.search(mrn="M-7")).cards[0].patient_id)
    marks = [(point.value.splitlines()[0], point.confidential) for point in patient.contact_points]
    assert marks == [
        ("+15058422000", True), ("+15058422001", False), ("+15058422002", False), ("ana@example.org", False),
        ("1 Main St", True),
    ]  # fmt: skip
    assert patient.contact_points[4].system == CONTACT_SYSTEM_POSTAL
    assert (patient.gender, patient.gender_identity, patient.prefix, patient.language) == (2, 3, "Dr.", "es")
    assert (patient.time_zone, patient.deceased, patient.deceased_date.day) == ("America/Phoenix", True, 2)
    assert (patient.self_pay_declaration.basis, patient.self_pay_declaration.declare_date.day) == (2, 1)
    assert [(list(each.given_names), each.family_name) for each in patient.former_names] == [(["Ana", "Sol"], "Vega")]
    persons = [(each.role, each.name, each.address) for each in patient.related_persons]
    assert persons == [
        (1, "Luis emergency_contact", "2 Main St\nTaos"), (2, "Luis escort", "2 Main St\nTaos"),
        (3, "Luis guarantor", "2 Main St\nTaos"),
    ]  # fmt: skip


async def test_a_table_run_again_adds_nothing(desk: Desk, tmp_path: Path) -> None:
    content = (HEADER + "1,Ruiz,1980-05-17,\r\n2,Vega,1981-05-17,\r\n").encode()
    assert await told(desk, tmp_path, content) == [(2, "created", []), (3, "created", [])]
    assert await told(desk, tmp_path, content) == [(2, "already there", []), (3, "already there", [])]
    assert await desk.service.count("patient") == 2


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\r\n", "\n"])
async def test_a_table_is_read_with_and_without_a_byte_order_mark(
    desk: Desk, tmp_path: Path, mark: bytes, end: str
) -> None:
    lines = [HEADER.strip(), '"1","Ruiz, ""de"" Sol",1980-05-17,', "", "2,Núñez,1980-05-17,ana@example.org"]
    content = mark + end.join(lines).encode()
    assert await told(desk, tmp_path, content) == [(2, "created", []), (4, "created", [])]
    assert await desk.found("nunez") == [""]
    card = (await desk.search(name="sol")).cards[0]
    assert card.family_name == 'Ruiz, "de" Sol'


async def test_a_bad_row_is_refused_alone_by_row_and_column(desk: Desk, tmp_path: Path) -> None:
    rows = [
        b"1,Ruiz,1980-05-17,",
        b"2,Ruiz,17.05.1980,",
        b"3,Ru\xffz,1980-05-17,",
        b"4,Ruiz",
        b'5,Ru"iz"x,1980-05-17,"a"b',
        b'6,"Ruiz,1980-05-17,',
        b"7,Ru\x07iz,1980-05-17,",
        b"8,Ru\x00iz,1980-05-17,",
        b",Ruiz,1980-05-17,",
        b"10,,1980-05-17,",
        b"11,Ruiz,2031-01-01,",
        b"12,Ruiz,1980-02-30,",
        b"13,Ruiz,,",
        b"14,Ruiz,1980-05-17,",
    ]
    found = await told(desk, tmp_path, HEADER.encode() + b"\r\n".join(rows))
    assert found == [
        (2, "created", []),
        (3, "refused", [("birth_date", "BIRTH_DATE_NOT_A_DAY")]),
        (4, "refused", [("", "NOT_UTF8")]),
        (5, "refused", [("", "FIELDS_COUNT")]),
        (6, "refused", [("", "NOT_CSV")]),
        (7, "refused", [("", "QUOTE_NOT_CLOSED")]),
        (8, "refused", [("family_name", "string.pattern")]),
        (9, "refused", [("", "NUL_CHARACTER")]),
        (10, "refused", [("source_id", "IDENTIFIER_MISSING")]),
        (11, "refused", [("family_name", "NAME_MISSING")]),
        (12, "refused", [("birth_date", "BIRTH_DATE_IN_FUTURE")]),
        (13, "refused", [("birth_date", "date.exists")]),
        (14, "refused", [("birth_date", "BIRTH_DATE_MISSING")]),
        (15, "created", []),
    ]
    assert await desk.service.count("patient") == 2


async def test_a_quotation_mark_too_many_costs_one_row_and_not_all_until_the_next(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.importing.records.RECORD_BYTES_MAX", 200)
    good = [f"{n},Ruiz,1980-05-17," for n in range(20)]
    bad, long = '90,"Ruiz,1980-05-17,', "91,Ruiz,1980-05-17," + "x" * 600
    lines = [bad, *good, long, bad, "92,Sol,1980-05-17,"]
    found = await told(desk, tmp_path, HEADER.encode() + "\n".join(lines).encode())
    refused = [(row, faults) for row, outcome, faults in found if outcome == "refused"]
    assert refused == [
        (2, [("", "QUOTE_NOT_CLOSED")]), (23, [("", "TOO_LARGE")]), (24, [("", "QUOTE_NOT_CLOSED")]),
    ]  # fmt: skip
    assert [row for row, outcome, _ in found if outcome == "created"] == [*range(3, 23), 25]


async def test_a_day_of_death_of_somebody_who_has_not_died_is_refused(desk: Desk, tmp_path: Path) -> None:
    """Nothing would be booked or sent any more."""
    header = "source_id,family_name,birth_date,deceased,deceased_date\n"
    rows = ["1,Ruiz,1980-05-17,no,2026-01-02", "2,Ruiz,1981-05-17,,2026-01-02", "3,Ruiz,1982-05-17,false,"]
    assert await told(desk, tmp_path, (header + "\n".join(rows)).encode()) == [
        (2, "refused", [("deceased_date", "DECEASED_DATE_OF_LIVING")]),
        (3, "created", []),
        (4, "created", []),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('90,Ru 5" iz,1980-05-17,', '91,Ve" ga,1980-05-17,'),
        ('90,"Ruiz,1980-05-17,', '91,"Vega,1980-05-17,'),
        ('90,Ruiz,1980-05-17,"', '91,Vega",1980-05-17,'),
    ],
)
async def test_two_rows_with_a_quotation_mark_too_many_cost_none_between_them(
    desk: Desk, tmp_path: Path, one: str, other: str
) -> None:
    """What stands between two marks may be a field of several lines, but only of a row that is one."""
    lines = [one, "1,Sol,1980-05-17,", "2,Sol,1981-05-17,", other, '3,"So\nl",1982-05-17,', "4,Sol,1983-05-17,"]
    found = await told(desk, tmp_path, HEADER.encode() + "\n".join(lines).encode())
    assert found == [
        (2, "refused", [("", "QUOTE_NOT_CLOSED")]),
        (3, "created", []),
        (4, "created", []),
        (5, "refused", [("", "QUOTE_NOT_CLOSED")]),
        (6, "refused", [("family_name", "string.pattern")]),
        (7, "created", []),
    ]
    assert await desk.service.count("patient") == 3


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        (b"source_id,family_name,birth_date\r1,R,1980-01-01\r", [("", "LINE_ENDS")]),
        (b"source_id,family_name,birth_date,phone2,Notes\r\n1,R,1980-01-01,,\r\n",
         [("phone2", "COLUMN_UNKNOWN"), ("Notes", "COLUMN_UNKNOWN")]),
        (b"source_id,given_names\r\n1,R\r\n", [("family_name", "COLUMN_MISSING"), ("birth_date", "COLUMN_MISSING")]),
        (b"source_id,family_name,birth_date,email,email\r\n", [("email", "COLUMN_TWICE")]),
        (b"source_id;family_name;birth_date\r\n", [("", "NOT_PARTED_BY_COMMAS")]),
        (b"Id,BIRTHDATE,FIRST,LAST,SHOE_SIZE\r\n", [("SHOE_SIZE", "COLUMN_UNKNOWN")]),
        (b"Id,BIRTHDATE,LAST\r\n", [("FIRST", "COLUMN_MISSING")]),
        (b"source_id,family_name,birth_date,R\xff\r\n", [("", "NOT_UTF8")]),
        (b"", [("", "EMPTY_FILE")]),
    ],
)  # fmt: skip
async def test_a_header_that_does_not_fit_is_refused_by_the_names_of_its_columns(
    desk: Desk, tmp_path: Path, content: bytes, faults: Any
) -> None:
    assert await told(desk, tmp_path, content) == [(1, "refused", faults)]
    assert await desk.service.count("patient") == 0


async def test_a_patient_in_the_place_of_the_header_is_not_told(desk: Desk, tmp_path: Path) -> None:
    found = await told(desk, tmp_path, b"17,Ruiz Sol,1980-05-17\r\n")
    assert "Ruiz Sol" not in str(found)
    assert "1980-05-17" not in str(found)


@pytest.mark.others
async def test_all_of_syntheas_patients_are_taken_and_the_second_time_none(desk: Desk) -> None:
    file = SHARED / "synthea" / "csv" / "patients.csv"
    first, second = await imported(desk, file), await imported(desk, file)
    assert (first.count(Outcome.CREATED), len(first.entries)) == (27, 27)
    assert (second.count(Outcome.ALREADY_THERE), second.patient_ids) == (27, first.patient_ids)
    assert await desk.service.count("patient") == 27
    assert {rule for rule, _ in first.notes} <= {"IDENTIFIER_NEVER_KEPT", "SUFFIX_NOT_TAKEN"}
    assert first.notes["IDENTIFIER_NEVER_KEPT", "a social security number is never kept"] == 27
    kept = await desk.service.admin.fetch("SELECT DISTINCT system FROM patient_identifier")
    assert [row["system"] for row in kept] == ["https://github.com/synthetichealth/synthea"]
    assert await desk.service.admin.fetchval("SELECT count(*) FROM patient_identifier WHERE value LIKE '999-%'") == 0
    with file.open() as rows:
        by_id = {row["Id"]: row for row in csv.DictReader(rows)}
    for patient_id in first.patient_ids:
        patient = await desk.get(patient_id)
        row = by_id[patient.identifiers[0].value]
        born = patient.birth_date
        assert f"{born.year:04}-{born.month:02}-{born.day:02}" == row["BIRTHDATE"]
        assert (list(patient.given_names), patient.family_name) == ([row["FIRST"]], row["LAST"])
        assert patient.deceased == bool(row["DEATHDATE"])
        assert [name.family_name for name in patient.former_names] == [row["MAIDEN"]] * bool(row["MAIDEN"])
        assert patient.contact_points[0].value.startswith(row["ADDRESS"])


async def test_files_of_a_folder_are_read_and_one_without_a_fitting_header_harms_no_other(
    desk: Desk, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text(HEADER + "1,Ruiz,1980-05-17,\n")
    (tmp_path / "c.txt").write_text("no table")
    report = await imported(desk, tmp_path)
    assert [(name, row, outcome) for name, row, outcome, _ in outcomes(report)] == [
        ("a.csv", 1, "refused"), ("b.csv", 2, "created"),
    ]  # fmt: skip
