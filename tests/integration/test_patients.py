"""Patients through the gRPC door: made, read, changed, refused."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import StatusCode

from atoll.patients.v1 import patient_service_pb2 as pb
from atoll.patients.v1.patient_pb2 import (
    ADMINISTRATIVE_GENDER_FEMALE,
    CONTACT_SYSTEM_EMAIL,
    CONTACT_SYSTEM_PHONE,
    CONTACT_SYSTEM_POSTAL,
    CONTACT_USE_MOBILE,
    Patient,
)
from atoll.scheduling.v1.events_pb2 import SiteRegistered
from chassis.ids import from_wire, new_id, to_wire
from tests.support.patients import Desk, desk
from tests.support.service import refusal

__all__ = ["desk"]

REACHABLE, UNREACHABLE, IMPOSSIBLE = "+1 505 842 2000", "555-929-9025", "12"


def phone(value: str, **more: Any) -> dict[str, Any]:
    return {"system": CONTACT_SYSTEM_PHONE, "value": value} | more


def email(value: str) -> dict[str, Any]:
    return {"system": CONTACT_SYSTEM_EMAIL, "value": value}


async def test_a_patient_is_kept_as_told(desk: Desk) -> None:
    told: dict[str, Any] = {
        "given_names": ["José", "Luis"],
        "family_name": "Andrade",
        "prefix": "Dr.",
        "gender": ADMINISTRATIVE_GENDER_FEMALE,
        "contact_points": [
            phone(REACHABLE, use=CONTACT_USE_MOBILE, rank=1, verified=True),
            email("Jose@Example.org"),
            {"system": CONTACT_SYSTEM_POSTAL, "value": "1 Main St\nAlbuquerque, NM 87101"},
        ],
        "language": "es",
        "time_zone": "America/Chicago",
        "identifiers": [{"system": "urn:clinic", "value": "7"}, {"system": "urn:abacus", "value": "1"}],
        "deceased": True,
        "mrn": "MRN-1",
    }
    created = await desk.create(**told)
    assert await desk.get(created.id) == created
    expected = desk.told(**told)
    expected.contact_points[0].value = "+15058422000"
    expected.contact_points[1].value = "jose@example.org"
    expected.site_ids.append(expected.home_site_id)
    for field in ("id", "etag"):
        setattr(expected, field, getattr(created, field))
    for field in ("create_time", "update_time"):
        getattr(expected, field).FromDatetime(desk.service.now)
    assert created == expected


async def test_a_patient_told_little_of_gets_a_record_number_a_language_and_the_sites_zone(desk: Desk) -> None:
    created = await desk.create()
    assert len(created.mrn) == 10
    assert (created.language, created.time_zone) == ("en-US", "America/Denver")
    assert (await desk.create()).mrn != created.mrn


async def test_a_registration_is_published_without_who_the_patient_is(desk: Desk) -> None:
    created = await desk.create(contact_points=[email("ana@example.org")], language="es")
    [(subject, event)] = await desk.service.published()
    assert (subject, event.patient_id, event.home_site_id) == (
        "patients.v1.patient.registered",
        created.id,
        to_wire("site", desk.site_id),
    )
    assert (event.time_zone, event.language, event.meta.aggregate_version) == ("America/Denver", "es", 1)
    assert not any(secret in event.SerializeToString() for secret in (b"Ana", b"Ruiz", b"example", b"1980"))


async def test_the_same_request_makes_one_patient(desk: Desk) -> None:
    request_id = str(uuid4())
    answers = await asyncio.gather(*(desk.create(request_id=request_id) for _ in range(4)))
    assert len({answer.SerializeToString() for answer in answers}) == 1
    assert [await desk.service.count(table) for table in ("patient", "outbox", "audit")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ({"given_names": [], "family_name": " "}, ("patient.family_name", "NAME_MISSING")),
        ({"given_names": ["-"], "family_name": "…"}, ("patient.family_name", "NAME_MISSING")),
        ({"birth_date": None}, ("patient.birth_date", "BIRTH_DATE_MISSING")),
        ({"birth_date": {"year": 1899, "month": 12, "day": 31}}, ("patient.birth_date", "BIRTH_DATE_TOO_EARLY")),
        ({"birth_date": {"year": 2027, "month": 3, "day": 2}}, ("patient.birth_date", "BIRTH_DATE_IN_FUTURE")),
        ({"home_site_id": ""}, ("patient.home_site_id", "HOME_SITE_MISSING")),
        ({"time_zone": "America/Atlantis"}, ("patient.time_zone", "TIME_ZONE_UNKNOWN")),
        ({"contact_points": [phone(IMPOSSIBLE)]}, ("patient.contact_points[0].value", "PHONE_NOT_POSSIBLE")),
        ({"contact_points": [email("ana@example")]}, ("patient.contact_points[0].value", "EMAIL_NOT_POSSIBLE")),
        (
            {"identifiers": [{"system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-88-8619"}]},
            ("patient.identifiers[0]", "IDENTIFIER_NEVER_KEPT"),
        ),
        (
            {"identifiers": [{"system": "urn:clinic", "value": "7"}, {"system": "urn:clinic", "value": "7"}]},
            ("patient.identifiers", "IDENTIFIER_TWICE"),
        ),
    ],
)
async def test_a_record_that_cannot_be_is_refused_by_field_and_rule(
    desk: Desk, told: dict[str, Any], fault: tuple[str, str]
) -> None:
    refused = await refusal(desk.create(**told))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "PATIENT_REFUSED")
    assert refused.faults == [fault]
    assert [await desk.service.count(table) for table in ("patient", "outbox")] == [0, 0]


async def test_every_fault_of_a_record_is_named_at_once(desk: Desk) -> None:
    refused = await refusal(desk.create(birth_date=None, time_zone="Mars", contact_points=[phone(IMPOSSIBLE)]))
    assert [rule for _, rule in refused.faults] == ["BIRTH_DATE_MISSING", "TIME_ZONE_UNKNOWN", "PHONE_NOT_POSSIBLE"]


async def test_a_birth_date_that_no_calendar_has_is_refused(desk: Desk) -> None:
    refused = await refusal(desk.create(birth_date={"year": 1981, "month": 2, "day": 29}))
    assert (refused.reason, refused.faults) == ("BAD_REQUEST", [("patient.birth_date", "date.exists")])


@pytest.mark.parametrize("name", ["A\x00na", "A\nna", "A\x7fna"])
async def test_a_name_with_a_control_character_is_refused(desk: Desk, name: str) -> None:
    refused = await refusal(desk.create(given_names=[name]))
    assert (refused.reason, refused.faults) == ("BAD_REQUEST", [("patient.given_names[0]", "string.pattern")])


async def test_a_phone_that_no_operator_gave_out_is_kept_unverified(desk: Desk) -> None:
    points = [phone(UNREACHABLE, verified=True), phone(REACHABLE, verified=True)]
    created = await desk.create(contact_points=points)
    kept = [(point.value, point.verified) for point in created.contact_points]
    assert kept == [("+15559299025", False), ("+15058422000", True)]


async def test_a_site_not_heard_of_is_to_be_asked_for_again(desk: Desk) -> None:
    unknown = to_wire("site", new_id())
    refused = await refusal(desk.create(home_site_id=unknown))
    assert (refused.code, refused.reason, refused.retry) == (StatusCode.FAILED_PRECONDITION, "NOT_YET_KNOWN", True)
    assert refused.metadata == {"waits_for": unknown}


async def test_a_record_number_is_given_once(desk: Desk) -> None:
    await desk.create(mrn="MRN-1")
    refused = await refusal(desk.create(mrn="MRN-1"))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "MRN_TAKEN")
    assert refused.faults == [("patient.mrn", "MRN_TAKEN")]
    assert await desk.service.count("patient") == 1


async def test_an_identifier_is_given_once(desk: Desk) -> None:
    await desk.create(identifiers=[{"system": "urn:clinic", "value": "7"}])
    same = [{"system": "urn:lab", "value": "1"}, {"system": "urn:clinic", "value": "7"}]
    refused = await refusal(desk.create(identifiers=same))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "IDENTIFIER_TAKEN")
    assert refused.faults == [("patient.identifiers[1]", "IDENTIFIER_TAKEN")]
    assert await desk.service.count("patient_identifier") == 1


async def test_another_chain_may_use_the_same_numbers(desk: Desk) -> None:
    numbers: dict[str, Any] = {"mrn": "MRN-1", "identifiers": [{"system": "urn:clinic", "value": "7"}]}
    await desk.create(**numbers)
    chain_id = new_id()
    await desk.service.admin.execute("INSERT INTO site VALUES ($1, $2, 'America/Denver')", chain_id, desk.site_id)
    assert (await desk.create(desk.service.token(chain_id=chain_id), **numbers)).mrn == "MRN-1"


async def test_staff_register_at_their_own_sites_only(desk: Desk) -> None:
    refused = await refusal(desk.create(desk.at_other_site()))
    assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    elsewhere = [to_wire("site", desk.site_id)]
    home = to_wire("site", desk.other_site_id)
    assert (await refusal(desk.create(desk.at_other_site(), home_site_id=home, site_ids=elsewhere))).reason == (
        "ACCESS_DENIED"
    )
    assert await desk.service.count("patient") == 0


async def test_those_who_bill_or_audit_register_nobody(desk: Desk) -> None:
    for role in ("ROLE_BILLING", "ROLE_AUDITOR", "ROLE_SERVICE"):
        assert (await refusal(desk.create(desk.service.token(role)))).reason == "ACCESS_DENIED"


async def test_a_record_opens_at_the_sites_that_it_names(desk: Desk) -> None:
    here = await desk.create()
    shared = await desk.create(site_ids=[to_wire("site", desk.other_site_id)])
    refused = await refusal(desk.get(here.id, desk.at_other_site()))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
    assert refused.metadata == {"patient_id": here.id}
    opened = await desk.get(shared.id, desk.at_other_site())
    assert (opened.mrn, list(opened.site_ids)) == (shared.mrn, [to_wire("site", desk.other_site_id)])


async def test_a_patient_of_another_chain_is_not_found_just_as_one_who_never_was(desk: Desk) -> None:
    created = await desk.create()
    for patient_id, token in ((created.id, desk.of_other_chain()), (to_wire("patient", new_id()), None)):
        refused = await refusal(desk.get(patient_id, token))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")


async def test_patients_open_their_own_record_only(desk: Desk) -> None:
    mine, other = await desk.create(), await desk.create()
    token = desk.service.token("ROLE_PATIENT", patient=mine.id)
    assert (await desk.get(mine.id, token)).mrn == mine.mrn
    assert (await refusal(desk.get(other.id, token))).code == StatusCode.PERMISSION_DENIED


async def test_reading_a_record_leaves_an_audit_row(desk: Desk) -> None:
    created = await desk.create()
    await desk.get(created.id, desk.service.token("ROLE_NURSE", subject="nurse"))
    row = await desk.service.admin.fetchrow("SELECT actor, kind, ids FROM audit ORDER BY position DESC LIMIT 1")
    assert row is not None
    ids = {"patient_id": created.id, "roles": ["NURSE"], "subjects": [str(from_wire("patient", created.id))]}
    assert (row["actor"], row["kind"], json.loads(row["ids"])) == ("nurse", "AUDIT_PHI_READ", ids)


async def test_an_update_changes_what_its_mask_names_and_nothing_else(desk: Desk) -> None:
    created = await desk.create(prefix="Ms.", contact_points=[phone(REACHABLE)])
    desk.service.clock.now = desk.service.now.replace(hour=18)
    changed = await desk.update(created, family_name="Ruiz-Peña", identifiers=[{"system": "urn:clinic", "value": "7"}])
    expected = Patient()
    expected.CopyFrom(created)
    expected.family_name, expected.etag = "Ruiz-Peña", changed.etag
    expected.identifiers.add(system="urn:clinic", value="7")
    expected.update_time.FromDatetime(desk.service.now)
    assert changed == expected
    assert await desk.get(created.id) == changed


async def test_an_update_with_a_stale_etag_is_aborted(desk: Desk) -> None:
    seen = await desk.create()
    await desk.update(seen, prefix="Ms.")
    refused = await refusal(desk.update(seen, prefix="Dr."))
    assert (refused.code, refused.reason) == (StatusCode.ABORTED, "STALE_ETAG")
    assert (await desk.get(seen.id)).prefix == "Ms."


async def test_of_two_updates_at_once_with_one_etag_one_is_aborted(desk: Desk) -> None:
    seen = await desk.create()
    answers = await asyncio.gather(
        *(desk.update(seen, prefix=prefix) for prefix in ("Ms.", "Dr.")), return_exceptions=True
    )
    assert [type(answer).__name__ for answer in answers].count("AioRpcError") == 1
    assert (await desk.get(seen.id)).etag != seen.etag


async def test_a_repeated_update_answers_the_same_though_the_etag_is_used_up(desk: Desk) -> None:
    seen, request_id = await desk.create(), str(uuid4())
    first = await desk.update(seen, request_id=request_id, prefix="Ms.")
    assert await desk.update(seen, request_id=request_id, prefix="Ms.") == first


async def test_an_update_is_told_to_others_only_if_it_concerns_them(desk: Desk) -> None:
    created = await desk.create()
    renamed = await desk.update(created, family_name="Peña")
    assert await desk.facts() == ["patients.v1.patient.registered"]
    await desk.update(renamed, time_zone="America/Chicago", home_site_id=to_wire("site", desk.other_site_id))
    subject, event = (await desk.service.published())[-1]
    assert (subject, event.meta.aggregate_version) == ("patients.v1.patient.updated", 3)
    assert (event.time_zone, event.home_site_id) == ("America/Chicago", to_wire("site", desk.other_site_id))


async def test_a_death_is_told_and_so_is_that_it_was_an_error(desk: Desk) -> None:
    living, dead = await desk.create(), await desk.create(deceased=True)
    told = [event for _, event in await desk.service.published()]
    assert [(event.patient_id, event.deceased) for event in told] == [(living.id, False), (dead.id, True)]
    patient = await desk.update(living, deceased=True, deceased_date={"year": 2027, "month": 2, "day": 28})
    await desk.update(await desk.update(patient, deceased_date=None), deceased=False)
    told = [event for subject, event in await desk.service.published() if subject == "patients.v1.patient.updated"]
    assert [(event.deceased, event.meta.aggregate_version) for event in told] == [(True, 2), (False, 4)]


async def test_a_patient_who_moves_is_seen_at_both_sites(desk: Desk) -> None:
    created = await desk.create()
    moved = await desk.update(created, home_site_id=to_wire("site", desk.other_site_id))
    assert set(moved.site_ids) == {to_wire("site", desk.site_id), to_wire("site", desk.other_site_id)}
    assert (await desk.get(created.id, desk.at_other_site())).id == created.id


async def test_staff_move_patients_to_their_own_sites_only(desk: Desk) -> None:
    created = await desk.create()
    token = desk.service.token("ROLE_FRONT_DESK", sites=[desk.site_id])
    refused = await refusal(desk.update(created, token, home_site_id=to_wire("site", desk.other_site_id)))
    assert refused.reason == "ACCESS_DENIED"


async def test_a_record_of_another_site_or_chain_is_not_changed(desk: Desk) -> None:
    created = await desk.create()
    for token in (desk.at_other_site(), desk.of_other_chain()):
        refused = await refusal(desk.update(created, token, prefix="Dr."))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
    assert (await desk.get(created.id)).prefix == ""


async def test_an_update_may_not_break_the_record(desk: Desk) -> None:
    created = await desk.create()
    refused = await refusal(desk.update(created, birth_date=None, contact_points=[phone(IMPOSSIBLE)]))
    assert refused.reason == "PATIENT_REFUSED"
    assert refused.faults == [
        ("patient.birth_date", "BIRTH_DATE_MISSING"),
        ("patient.contact_points[0].value", "PHONE_NOT_POSSIBLE"),
    ]


async def test_an_update_may_not_take_anothers_identifier_but_keep_its_own(desk: Desk) -> None:
    own, others = {"system": "urn:clinic", "value": "7"}, {"system": "urn:clinic", "value": "8"}
    await desk.create(identifiers=[others])
    created = await desk.create(identifiers=[own])
    refused = await refusal(desk.update(created, identifiers=[own, others]))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "IDENTIFIER_TAKEN")
    assert refused.faults == [("patient.identifiers[1]", "IDENTIFIER_TAKEN")]
    kept = await desk.update(created, identifiers=[own, {"system": "urn:lab", "value": "1"}])
    assert [each.value for each in kept.identifiers] == ["7", "1"]


@pytest.mark.parametrize("path", ["mrn", "site_ids", "etag", "contact_points.value", "nonsense"])
async def test_a_mask_names_whole_fields_that_can_be_changed(desk: Desk, path: str) -> None:
    created = await desk.create()
    seen, mask = Patient(id=created.id, etag=created.etag), FieldMask(paths=[path])
    request = pb.UpdatePatientRequest(request_id=str(uuid4()), patient=seen, update_mask=mask)
    refused = await refusal(desk.service.call(desk.patients.UpdatePatient, request))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")


async def test_contact_details_are_for_services_only(desk: Desk) -> None:
    created = await desk.create(contact_points=[email("ana@example.org")], language="es")
    request = pb.GetContactDetailsRequest(patient_id=created.id)
    chain = to_wire("chain", desk.service.chain_id)
    service = desk.service.token("ROLE_SERVICE", chain="*", subject="notifications")
    answer = await desk.service.call(desk.patients.GetContactDetails, request, service, atoll_chain=chain)
    details = answer.contact_details
    assert (details.patient_id, details.given_name, details.language) == (created.id, "Ana", "es")
    assert (details.time_zone, details.deceased) == ("America/Denver", False)
    assert [point.value for point in details.contact_points] == ["ana@example.org"]
    refused = await refusal(desk.service.call(desk.patients.GetContactDetails, request))
    assert refused.reason == "ACCESS_DENIED"


async def test_contact_details_tell_of_a_minor_until_the_birthday_begins_where_they_are(desk: Desk) -> None:
    created = await desk.create(birth_date={"year": 2009, "month": 3, "day": 2}, time_zone="America/Los_Angeles")
    request, chain = pb.GetContactDetailsRequest(patient_id=created.id), to_wire("chain", desk.service.chain_id)
    service, found = desk.service.token("ROLE_SERVICE", chain="*"), list[bool]()
    for at in (datetime(2027, 3, 2, 7, 59, tzinfo=UTC), datetime(2027, 3, 2, 8, tzinfo=UTC)):
        desk.service.clock.now = at
        answer = await desk.service.call(desk.patients.GetContactDetails, request, service, atoll_chain=chain)
        found.append(answer.contact_details.minor)
    assert found == [True, False]


async def test_contact_details_of_a_patient_of_another_chain_are_not_found(desk: Desk) -> None:
    created = await desk.create()
    service = desk.service.token("ROLE_SERVICE", chain="*")
    request, chain = pb.GetContactDetailsRequest(patient_id=created.id), to_wire("chain", new_id())
    refused = await refusal(desk.service.call(desk.patients.GetContactDetails, request, service, atoll_chain=chain))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")


async def test_a_site_that_moves_to_another_zone_is_followed(desk: Desk) -> None:
    site_id = to_wire("site", desk.site_id)
    await desk.service.deliver(SiteRegistered(site_id=site_id, time_zone="America/Chicago"))
    assert (await desk.create()).time_zone == "America/Chicago"


async def test_nothing_that_tells_who_a_patient_is_leaves_by_events_logs_audit_or_refusals(
    desk: Desk, capfd: pytest.CaptureFixture[str]
) -> None:
    canary = "zyxwvut"
    secrets: dict[str, Any] = {
        "given_names": [canary],
        "family_name": canary,
        "prefix": canary,
        "mrn": canary.upper(),
        "birth_date": {"year": 1901, "month": 1, "day": 1},
        "contact_points": [email(f"{canary}@example.org"), {"system": CONTACT_SYSTEM_POSTAL, "value": canary}],
        "identifiers": [{"system": f"urn:{canary}", "value": canary}],
    }
    created = await desk.create(**secrets)
    await desk.update(created, language="es", prefix=f"{canary}.")
    await desk.search(name=canary, email=f"{canary}@example.org", mrn=canary.upper())
    await desk.import_rows(desk.told(**secrets | {"mrn": ""}), desk.told(**secrets | {"birth_date": None}))
    refusals = [
        await refusal(desk.create(**secrets)),
        await refusal(desk.create(**secrets | {"mrn": ""})),
        await refusal(desk.create(**secrets | {"birth_date": None, "time_zone": canary, "mrn": f"{canary}!"})),
        await refusal(desk.create(**secrets | {"home_site_id": canary})),
    ]
    assert [each.reason for each in refusals] == ["MRN_TAKEN", "IDENTIFIER_TAKEN", "BAD_REQUEST", "BAD_REQUEST"]
    payloads = "SELECT encode(payload, 'escape') FROM outbox UNION ALL SELECT ids::text FROM audit"
    left = [row[0] for row in await desk.service.admin.fetch(payloads)]
    logs = "".join(capfd.readouterr())
    assert (len(left), logs.count("rpc.done"), logs.count("rpc.refused")) == (2 + 4, 4, 4)
    assert not [each for each in (logs, str(refusals), *left) if canary in each.lower() or "1901" in each]


async def test_whom_a_document_is_about_is_told_to_services_only(desk: Desk) -> None:
    created = await desk.create(given_names=["Ana", "María"], family_name="Ruiz")
    request, chain = pb.GetDocumentDetailsRequest(patient_id=created.id), to_wire("chain", desk.service.chain_id)
    service = desk.service.token("ROLE_SERVICE", chain="*", subject="billing")
    call = desk.patients.GetDocumentDetails
    details = (await desk.service.call(call, request, service, atoll_chain=chain)).document_details
    assert (details.patient_id, list(details.given_names), details.family_name) == (
        created.id,
        ["Ana", "María"],
        "Ruiz",
    )
    assert details.birth_date == created.birth_date
    assert (await refusal(desk.service.call(call, request))).reason == "ACCESS_DENIED"
    other = to_wire("chain", new_id())
    refused = await refusal(desk.service.call(call, request, service, atoll_chain=other))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
