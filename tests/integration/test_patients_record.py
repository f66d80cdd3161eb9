"""What else a record holds, through the gRPC door: other names, related persons, self-pay, the day of death."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from grpc import StatusCode

from atoll.patients.v1.patient_pb2 import (
    CONTACT_SYSTEM_EMAIL,
    CONTACT_SYSTEM_PHONE,
    GENDER_IDENTITY_NON_BINARY,
    GENDER_IDENTITY_TRANSGENDER_FEMALE,
    RELATED_PERSON_ROLE_EMERGENCY_CONTACT,
    RELATED_PERSON_ROLE_ESCORT,
    RELATED_PERSON_ROLE_GUARANTOR,
    SELF_PAY_BASIS_INSURANCE_NOT_USED,
    SELF_PAY_BASIS_UNINSURED,
    Patient,
)
from chassis.ids import from_wire, to_wire
from tests.support.patients import Desk, desk
from tests.support.patients_record import Records
from tests.support.service import refusal

__all__ = ["desk"]

TODAY = {"year": 2027, "month": 3, "day": 1}  # In Denver, until 7:00 UTC of the next day.
TOMORROW = {"year": 2027, "month": 3, "day": 2}
CHILD = {"year": 2012, "month": 5, "day": 17}
MOTHER = {
    "role": RELATED_PERSON_ROLE_GUARANTOR,
    "name": "Eva Ruiz",
    "relationship": "MTH",
    "email": "Eva@Example.org",
    "address": "1 Main St\nAlbuquerque, NM 87101",
}
FRIEND = {"role": RELATED_PERSON_ROLE_ESCORT, "name": "Bo", "relationship": "friend", "phone": "(505) 842-2000"}
NEIGHBOUR = {"role": RELATED_PERSON_ROLE_EMERGENCY_CONTACT, "name": "Lin Wu", "phone": "+33 237998327"}
DECLARED = {"basis": SELF_PAY_BASIS_UNINSURED, "declare_date": TODAY}


def phone(value: str, **more: Any) -> dict[str, Any]:
    return {"system": CONTACT_SYSTEM_PHONE, "value": value} | more


def email(value: str, **more: Any) -> dict[str, Any]:
    return {"system": CONTACT_SYSTEM_EMAIL, "value": value} | more


async def test_all_that_a_record_holds_is_kept_as_told(desk: Desk) -> None:
    told: dict[str, Any] = {
        "preferred_name": " Annie ",
        "former_names": [{"given_names": ["Anna", "Maria"], "family_name": "Koh"}, {"family_name": "Ng"}],
        "gender_identity": GENDER_IDENTITY_TRANSGENDER_FEMALE,
        "contact_points": [phone("+1 505 842 2000", confidential=True), email("ana@example.org")],
        "related_persons": [NEIGHBOUR, FRIEND, MOTHER],
        "self_pay_declaration": DECLARED | {"recorded_by": "somebody else"},
        "deceased": True,
        "deceased_date": TODAY,
    }
    created = await desk.create(desk.service.token("ROLE_FRONT_DESK", subject="desk"), **told)
    assert await desk.get(created.id) == created
    expected = desk.told(**told)
    expected.preferred_name = "Annie"
    expected.contact_points[0].value = "+15058422000"
    expected.related_persons[0].phone, expected.related_persons[1].phone = "+33237998327", "+15058422000"
    expected.related_persons[2].email = "eva@example.org"
    expected.self_pay_declaration.recorded_by = "desk"
    for name in told:
        assert getattr(created, name) == getattr(expected, name), name


async def test_each_of_the_fields_changes_by_its_mask_and_can_be_taken_back(desk: Desk) -> None:
    changes: dict[str, Any] = {
        "preferred_name": "Annie",
        "former_names": [{"family_name": "Koh"}],
        "gender_identity": GENDER_IDENTITY_NON_BINARY,
        "related_persons": [FRIEND],
        "self_pay_declaration": DECLARED,
    }
    created = seen = await desk.create()
    for name, value in changes.items():
        seen = await desk.update(seen, **{name: value})
        assert getattr(seen, name) != getattr(created, name)
        assert await desk.get(seen.id) == seen
    for name in changes:
        taken_back: dict[str, Any] = {name: None if name == "self_pay_declaration" else getattr(Patient(), name)}
        seen = await desk.update(seen, **taken_back)
    assert not seen.HasField("self_pay_declaration")
    assert seen.SerializeToString() == (await desk.get(created.id)).SerializeToString()
    seen.etag = created.etag
    assert seen == created
    assert await desk.service.count("related_person") == 0


async def test_a_patient_is_found_by_preferred_and_by_former_names(desk: Desk) -> None:
    created = await desk.create(preferred_name="Zoë", former_names=[{"given_names": ["Bob"], "family_name": "Qvist"}])
    assert [await desk.found(name) for name in ("zoe", "bob qvist", "ana qv", "ruiz")] == [["Ana"]] * 4
    await desk.update(created, preferred_name="", former_names=[])
    assert [await desk.found(name) for name in ("zoe", "qvist", "ruiz")] == [[], [], ["Ana"]]


@pytest.mark.parametrize(
    "told",
    [
        {"given_names": ["Sukarno"], "family_name": ""},
        {"given_names": [], "family_name": "Björk"},
        {"given_names": ["李"], "family_name": "王"},
        {"given_names": ["Nguyễn", "Thị"], "family_name": "Ánh"},
        {"given_names": ["مُحَمَّد"], "family_name": "الخوارزمي"},
        {"given_names": ["Ð\u200d"], "family_name": "X \u202eÆ A-12"},
        {"given_names": ["A" * 100] * 10, "family_name": "B" * 100},
        {"given_names": ["\U0001d49c"], "family_name": "Z\u0301\u0302\u0303"},
    ],
)
async def test_names_of_all_kinds_are_kept_and_given_back_as_they_are_written(desk: Desk, told: dict[str, Any]) -> None:
    created = await desk.create(**told, former_names=[told])
    got = await desk.get(created.id)
    assert (list(got.given_names), got.family_name) == (told["given_names"], told["family_name"])
    assert (list(got.former_names[0].given_names), got.former_names[0].family_name) == tuple(told.values())
    for name in (*told["given_names"][:1], *([told["family_name"]] if told["family_name"] else [])):
        assert await desk.found(name) == [" ".join(told["given_names"])]


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ({"preferred_name": "A\x00nnie"}, ("preferred_name", "string.pattern")),
        ({"former_names": [{"family_name": "K\noh"}]}, ("former_names[0].family_name", "string.pattern")),
        ({"related_persons": [FRIEND | {"name": "B\x1bo"}]}, ("related_persons[0].name", "string.pattern")),
        ({"related_persons": [FRIEND | {"name": " "}]}, ("related_persons[0].name", "string.pattern")),
        ({"related_persons": [FRIEND | {"phone": "5\x00"}]}, ("related_persons[0].phone", "string.pattern")),
        ({"related_persons": [MOTHER | {"address": "1 Main St\n"}]}, ("related_persons[0].address", "string.pattern")),
        ({"related_persons": [FRIEND | {"role": 0}]}, ("related_persons[0].role", "enum.not_in")),
        ({"related_persons": [FRIEND] * 11}, ("related_persons", "repeated.max_items")),
        ({"former_names": [{"family_name": "Koh"}] * 11}, ("former_names", "repeated.max_items")),
        ({"gender_identity": 99}, ("gender_identity", "enum.defined_only")),
        ({"self_pay_declaration": {"declare_date": TODAY}}, ("self_pay_declaration.basis", "enum.not_in")),
        ({"contact_points": [phone("+1 505 842 2000")] * 21}, ("contact_points", "repeated.max_items")),
        (
            {"self_pay_declaration": DECLARED | {"declare_date": {"year": 2027, "month": 2, "day": 29}}},
            ("self_pay_declaration.declare_date", "date.exists"),
        ),
        ({"deceased_date": {"year": 2027, "month": 2, "day": 29}}, ("deceased_date", "date.exists")),
    ],
)
async def test_a_field_that_breaks_its_own_rule_is_named(
    desk: Desk, told: dict[str, Any], fault: tuple[str, str]
) -> None:
    refused = await refusal(desk.create(**told))
    assert (refused.reason, refused.faults) == ("BAD_REQUEST", [("patient." + fault[0], fault[1])])
    assert await desk.service.count("patient") == 0


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ({"former_names": [{"family_name": "Koh"}, {"family_name": " - "}]}, ("former_names[1]", "NAME_MISSING")),
        ({"related_persons": [MOTHER, MOTHER]}, ("related_persons[1].role", "GUARANTOR_TWICE")),
        ({"related_persons": [FRIEND | {"name": "?"}]}, ("related_persons[0].name", "NAME_MISSING")),
        ({"related_persons": [MOTHER, FRIEND | {"phone": "12"}]}, ("related_persons[1].phone", "PHONE_NOT_POSSIBLE")),
        ({"related_persons": [MOTHER | {"email": "eva"}]}, ("related_persons[0].email", "EMAIL_NOT_POSSIBLE")),
        (
            {"related_persons": [FRIEND | {"phone": "", "email": "bo@example.org"}]},
            ("related_persons[0]", "RELATED_PERSON_UNREACHABLE"),
        ),
        (
            {"related_persons": [MOTHER | {"email": "", "address": ""}]},
            ("related_persons[0]", "RELATED_PERSON_UNREACHABLE"),
        ),
        (
            {"self_pay_declaration": {"basis": SELF_PAY_BASIS_UNINSURED}},
            ("self_pay_declaration.declare_date", "DECLARE_DATE_MISSING"),
        ),
        (
            {"self_pay_declaration": DECLARED | {"declare_date": TOMORROW}},
            ("self_pay_declaration.declare_date", "DECLARE_DATE_IN_FUTURE"),
        ),
        (
            {"self_pay_declaration": DECLARED | {"declare_date": {"year": 1980, "month": 5, "day": 16}}},
            ("self_pay_declaration.declare_date", "DECLARE_DATE_BEFORE_BIRTH"),
        ),
        ({"birth_date": CHILD, "self_pay_declaration": DECLARED}, ("self_pay_declaration", "GUARANTOR_MISSING")),
        ({"deceased_date": TODAY}, ("deceased_date", "DECEASED_DATE_OF_LIVING")),
        ({"deceased": True, "deceased_date": TOMORROW}, ("deceased_date", "DECEASED_DATE_IN_FUTURE")),
        (
            {"deceased": True, "deceased_date": {"year": 1980, "month": 5, "day": 16}},
            ("deceased_date", "DECEASED_DATE_BEFORE_BIRTH"),
        ),
    ],
)
async def test_what_cannot_be_is_refused_by_field_and_rule_and_an_import_leaves_it_out(
    desk: Desk, told: dict[str, Any], fault: tuple[str, str]
) -> None:
    refused = await refusal(desk.create(**told))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "PATIENT_REFUSED")
    assert refused.faults == [("patient." + fault[0], fault[1])]
    assert [await desk.service.count(table) for table in ("patient", "patient_change", "outbox")] == [0, 0, 0]
    seen = await desk.create(birth_date=told.get("birth_date", {"year": 1980, "month": 5, "day": 17}))
    again = await refusal(desk.update(seen, **told))
    assert (again.reason, again.faults) == ("PATIENT_REFUSED", [("patient." + fault[0], fault[1])])
    assert await desk.get(seen.id) == seen
    [result] = await desk.import_rows(desk.told(**told, identifiers=[{"system": "urn:old", "value": "1"}]))
    assert [(note.field, note.rule) for note in result.notes] == [fault]
    imported = await desk.get(result.patient_id)
    left = {"former_names": 1, "related_persons": 1} if fault[0].endswith(("[1]", "[1].role", "[1].phone")) else {}
    for name in ("former_names", "related_persons"):
        assert len(getattr(imported, name)) == (left.get(name, 0) if name in told else 0)
    assert not imported.HasField("self_pay_declaration")
    assert not imported.HasField("deceased_date")


async def test_a_minor_is_registered_without_a_guarantor_and_declares_with_one(desk: Desk) -> None:
    created = await desk.create(birth_date=CHILD)
    declared = await desk.update(created, related_persons=[MOTHER], self_pay_declaration=DECLARED)
    refused = await refusal(desk.update(declared, related_persons=[FRIEND]))
    assert refused.faults == [("patient.self_pay_declaration", "GUARANTOR_MISSING")]
    desk.service.clock.now = datetime(2030, 5, 17, 6, tzinfo=UTC)  # Midnight in Denver: of age.
    grown = await desk.update(declared, related_persons=[FRIEND])
    assert grown.self_pay_declaration == declared.self_pay_declaration


async def test_a_declaration_stays_with_whoever_recorded_it_until_it_changes(desk: Desk) -> None:
    first, second = (desk.service.token("ROLE_FRONT_DESK", subject=name) for name in ("ann", "ben"))
    created = await desk.create(first, self_pay_declaration=DECLARED)
    told_again = await desk.update(created, second, self_pay_declaration=DECLARED | {"recorded_by": "x"})
    assert told_again.self_pay_declaration.recorded_by == "ann"
    otherwise = await desk.update(
        told_again, second, self_pay_declaration=DECLARED | {"basis": SELF_PAY_BASIS_INSURANCE_NOT_USED}
    )
    assert otherwise.self_pay_declaration.recorded_by == "ben"


@pytest.mark.parametrize(
    ("now", "day", "refused"),
    [
        (datetime(2027, 3, 2, 6, 59, tzinfo=UTC), TOMORROW, True),  # 23:59 of the first in Denver.
        (datetime(2027, 3, 2, 7, 0, tzinfo=UTC), TOMORROW, False),  # Midnight.
        (datetime(2028, 2, 29, 6, 59, tzinfo=UTC), {"year": 2028, "month": 2, "day": 29}, True),
        (datetime(2028, 2, 29, 7, 0, tzinfo=UTC), {"year": 2028, "month": 2, "day": 29}, False),
    ],
)
async def test_no_day_of_a_record_is_after_today_at_the_home_site(
    desk: Desk, now: datetime, day: dict[str, int], refused: bool
) -> None:
    desk.service.clock.now = now
    told: dict[str, dict[str, Any]] = {
        "BIRTH_DATE_IN_FUTURE": {"birth_date": day},
        "DECEASED_DATE_IN_FUTURE": {"deceased": True, "deceased_date": day},
        "DECLARE_DATE_IN_FUTURE": {"self_pay_declaration": DECLARED | {"declare_date": day}},
    }
    for rule, fields in told.items():
        if refused:
            assert [rule] == [found for _, found in (await refusal(desk.create(**fields))).faults]
        else:
            assert (await desk.create(**fields)).id
    assert await desk.service.count("patient") == (0 if refused else 3)


async def test_who_moves_home_is_judged_by_the_new_sites_day(desk: Desk) -> None:
    """Arizona keeps no summer time: in July Phoenix is an hour behind Denver."""
    desk.service.clock.now = datetime(2027, 7, 2, 6, 30, tzinfo=UTC)  # 0:30 of the second in Denver.
    day = {"year": 2027, "month": 7, "day": 2}
    refused = await refusal(desk.create(birth_date=day, home_site_id=to_wire("site", desk.other_site_id)))
    assert [rule for _, rule in refused.faults] == ["BIRTH_DATE_IN_FUTURE"]
    born = await desk.create(birth_date=day)
    moved = await refusal(desk.update(born, home_site_id=to_wire("site", desk.other_site_id)))
    assert [rule for _, rule in moved.faults] == ["BIRTH_DATE_IN_FUTURE"]


async def test_who_was_born_on_29_february_was(desk: Desk) -> None:
    born = {"year": 2000, "month": 2, "day": 29}
    got = await desk.get((await desk.create(birth_date=born)).id)
    assert (got.birth_date.year, got.birth_date.month, got.birth_date.day) == (2000, 2, 29)
    refused = await refusal(desk.create(birth_date=born | {"year": 1900}))
    assert refused.faults == [("patient.birth_date", "date.exists")]


async def test_twenty_ways_to_reach_a_patient_keep_their_order(desk: Desk) -> None:
    points = [email(f"ana{n}@example.org", rank=20 - n, confidential=n == 7) for n in range(20)]
    created = await desk.create(contact_points=points)
    kept = [(point.value, point.rank, point.confidential) for point in (await desk.get(created.id)).contact_points]
    assert kept == [(point["value"], point["rank"], point["confidential"]) for point in points]


async def test_of_many_updates_at_once_with_one_etag_one_is_kept(desk: Desk) -> None:
    seen = await desk.create()
    names = [f"Annie {n}" for n in range(6)]
    answers = await asyncio.gather(
        *(desk.update(seen, preferred_name=name, related_persons=[FRIEND | {"name": name}]) for name in names),
        return_exceptions=True,
    )
    [kept] = [answer for answer in answers if isinstance(answer, Patient)]
    got = await desk.get(seen.id)
    assert (got, got.related_persons[0].name) == (kept, kept.preferred_name)
    counted = [await desk.service.count(table) for table in ("related_person", "patient_change")]
    assert counted == [1, 2]


async def test_the_database_keeps_what_a_record_may_not_be(desk: Desk) -> None:
    """The last line, behind the checks that give good answers."""
    created = await desk.create(related_persons=[MOTHER])
    patient_id, admin = from_wire("patient", created.id), desk.service.admin
    for change in (
        "deceased_date = '2027-03-01'",
        "deceased = true, deceased_date = '1980-05-16'",
        "self_pay_basis = 'UNINSURED'",
        "self_pay_basis = 'RICH', self_pay_date = '2027-03-01', self_pay_recorded_by = 'ann'",
        "self_pay_basis = 'UNINSURED', self_pay_date = '1980-05-16', self_pay_recorded_by = 'ann'",
        "gender_identity = 'x'",
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await admin.execute(f"UPDATE patient SET {change} WHERE id = $1", patient_id)
    second = "INSERT INTO related_person SELECT chain_id, patient_id, 1, role, name, '', '', '', '' FROM related_person"
    with pytest.raises(asyncpg.UniqueViolationError):
        await admin.execute(second)


async def test_a_message_calls_patients_as_they_wish(desk: Desk) -> None:
    records = Records(desk)
    for told, called in (
        ({"preferred_name": "Annie"}, "Annie"),
        ({"given_names": ["Ana", "Luz"]}, "Ana"),
        ({"given_names": [], "family_name": "Björk"}, "Björk"),
    ):
        created = await desk.create(**told)
        assert (await records.contact_details(created.id)).given_name == called


async def test_guarantor_and_escort_are_told_of_and_an_emergency_contact_is_not(desk: Desk) -> None:
    created = await desk.create(related_persons=[NEIGHBOUR, FRIEND, MOTHER])
    details = await Records(desk).contact_details(created.id)
    assert list(details.related_persons) == list(created.related_persons)[1:]


async def test_where_a_contact_point_is_confidential_nothing_else_is_told(desk: Desk) -> None:
    points = [email("home@example.org", rank=1), email("mine@example.org", confidential=True), phone("505-842-2000")]
    created = await desk.create(contact_points=points, related_persons=[FRIEND, MOTHER])
    details = await Records(desk).contact_details(created.id)
    assert [point.value for point in details.contact_points] == ["mine@example.org"]
    assert list(details.related_persons) == []
    opened = await desk.update(created, contact_points=[*points[:1], points[2]])
    details = await Records(desk).contact_details(opened.id)
    assert [point.value for point in details.contact_points] == ["home@example.org", "+15058422000"]
    assert len(details.related_persons) == 2


async def test_a_record_opens_behind_broken_glass_to_read_and_not_to_change(desk: Desk) -> None:
    records, created = Records(desk), await desk.create(related_persons=[FRIEND])
    token = desk.service.token("ROLE_CLINICIAN", sites=[desk.other_site_id], subject="dr")
    await records.break_glass(created.id, "dr", minutes=-1)
    assert (await refusal(desk.get(created.id, token))).reason == "PATIENT_NOT_FOUND"
    await records.break_glass(created.id, "dr")
    opened = await desk.get(created.id, token)
    assert (opened.related_persons, list(opened.site_ids)) == (created.related_persons, [])
    assert [list(each) for each in await records.history(created.id, token)] != []
    refused = await refusal(desk.update(opened, token, prefix="Dr."))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
    assert (await desk.get(created.id)).prefix == ""


async def test_glass_is_broken_for_one_record_by_one_person_at_one_site(desk: Desk) -> None:
    records, created, other = Records(desk), await desk.create(), await desk.create()
    await records.break_glass(created.id, "dr")
    there = desk.service.token("ROLE_CLINICIAN", sites=[desk.other_site_id], subject="dr")
    colleague = desk.service.token("ROLE_CLINICIAN", sites=[desk.other_site_id], subject="nurse")
    elsewhere = desk.service.token("ROLE_CLINICIAN", sites=[from_wire("site", created.id.replace("patient", "site"))])
    other_chain = desk.of_other_chain()
    for patient_id, token in (
        (other.id, there), (created.id, colleague), (created.id, elsewhere), (created.id, other_chain)
    ):  # fmt: skip
        refused = await refusal(desk.get(patient_id, token))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
        assert (await refusal(records.page(patient_id, token))).reason == "PATIENT_NOT_FOUND"


async def test_opening_a_record_is_noted_once_and_a_refused_look_is_not(desk: Desk) -> None:
    created = await desk.create()
    noted, subjects = await desk.service.count("audit"), await desk.service.count("audit_subject")
    await desk.get(created.id)
    await Records(desk).contact_details(created.id)
    await refusal(desk.get(created.id, desk.at_other_site()))
    assert await desk.service.count("audit") == noted + 2
    assert await desk.service.count("audit_subject") == subjects + 2
