"""The history of records, through the gRPC door: who changed what, when and how."""

import asyncio
import json
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from grpc import StatusCode

from atoll.patients.v1.patient_pb2 import CONTACT_SYSTEM_EMAIL, GENDER_IDENTITY_OTHER
from chassis.etags import StaleEtag
from chassis.ids import from_wire, new_id, to_wire
from services.patients.domain.patients import Patient, Person
from services.patients.store import PatientsStore
from services.patients.use_cases import records
from services.patients.use_cases.records import ChangePatient
from tests.integration.test_patients_races import once
from tests.support.patients import Desk, desk
from tests.support.patients_access import Retention
from tests.support.patients_record import Records, fields_of
from tests.support.service import refusal

__all__ = ["desk"]

SERVICE = "atoll.patients.v1.PatientService"
MAIL = {"system": CONTACT_SYSTEM_EMAIL, "value": "ana@example.org", "confidential": True}
MAIL_KEPT = {
    "system": "EMAIL", "value": "ana@example.org", "use": "UNSPECIFIED", "rank": 0.0, "verified": False,
    "confidential": True,
}  # fmt: skip
BO = {"role": 2, "name": "Bo", "phone": "+15058422000"}
BO_KEPT = {
    "role": "ESCORT", "name": "Bo", "relationship": "", "phone": "+15058422000", "email": "", "address": "",
}  # fmt: skip


async def test_a_registration_is_the_first_change_and_tells_all_that_was_told(desk: Desk) -> None:
    request_id, home = str(uuid4()), to_wire("site", desk.site_id)
    token = desk.service.token("ROLE_FRONT_DESK", sites=[desk.site_id], subject="ann")
    created = await desk.create(
        token,
        request_id=request_id,
        mrn="MRN-1",
        contact_points=[MAIL],
        related_persons=[BO],
        former_names=[{"given_names": ["Anna"], "family_name": "Koh"}],
        self_pay_declaration={"basis": 1, "declare_date": {"year": 2027, "month": 3, "day": 1}},
        gender_identity=GENDER_IDENTITY_OTHER,
    )
    [change] = (await Records(desk).page(created.id, token)).changes
    assert (change.patient_id, change.version, change.changed_by) == (created.id, 1, "ann")
    assert (change.method, change.request_id, change.reason) == (f"{SERVICE}.CreatePatient", request_id, "")
    assert change.change_time == created.create_time
    assert fields_of(change) == {
        "mrn": (None, "MRN-1"),
        "site_ids": (None, [home]),
        "given_names": (None, ["Ana"]),
        "family_name": (None, "Ruiz"),
        "birth_date": (None, "1980-05-17"),
        "home_site_id": (None, home),
        "language": (None, "en-US"),
        "time_zone": (None, "America/Denver"),
        "contact_points": (None, [MAIL_KEPT]),
        "related_persons": (None, [BO_KEPT]),
        "former_names": (None, [{"given_names": ["Anna"], "family_name": "Koh"}]),
        "self_pay_declaration": (
            None, {"basis": "UNINSURED", "declare_date": "2027-03-01", "recorded_by": "ann"},
        ),
        "gender_identity": ("UNSPECIFIED", "OTHER"),
    }  # fmt: skip


async def test_an_update_tells_what_differs_before_and_after(desk: Desk) -> None:
    created = await desk.create(contact_points=[MAIL], prefix="Ms.")
    desk.service.clock.now = desk.service.now.replace(hour=18)
    token = desk.service.token("ROLE_NURSE", sites=[desk.site_id], subject="ben")
    changed = await desk.update(created, token, family_name="Peña", prefix="", contact_points=[], given_names=["Ana"])
    latest, first = (await Records(desk).page(created.id)).changes
    assert fields_of(latest) == {
        "family_name": ("Ruiz", "Peña"), "prefix": ("Ms.", None), "contact_points": ([MAIL_KEPT], None)
    }  # fmt: skip
    assert (latest.version, latest.changed_by, latest.method) == (2, "ben", f"{SERVICE}.UpdatePatient")
    assert (latest.change_time, first.version) == (changed.update_time, 1)


async def test_of_who_is_forgotten_it_tells_what_was_changed_and_no_value(desk: Desk) -> None:
    patient, history = await desk.create(), Records(desk)
    [told] = await history.history(patient.id)
    await Retention(desk).anonymise(patient.id, law="a law")
    assert len(told) > 1
    assert await history.history(patient.id) == [dict.fromkeys(told, (None, None))]


async def test_telling_the_same_again_is_a_change_without_fields(desk: Desk) -> None:
    await desk.update(created := await desk.create(), family_name="Ruiz")
    assert (await Records(desk).history(created.id))[0] == {}


async def test_death_and_a_move_are_told_with_the_sites_that_came(desk: Desk) -> None:
    created, other = await desk.create(), to_wire("site", desk.other_site_id)
    died = {"year": 2027, "month": 2, "day": 28}
    moved = await desk.update(created, home_site_id=other, deceased=True, deceased_date=died)
    await desk.update(moved, deceased=False, deceased_date=None)
    back, there, _ = await Records(desk).history(created.id)
    home = to_wire("site", desk.site_id)
    assert there == {
        "home_site_id": (home, other), "deceased": (None, True), "deceased_date": (None, "2027-02-28"),
        "site_ids": (None, [other]),
    }  # fmt: skip
    assert back == {"deceased": (True, None), "deceased_date": ("2027-02-28", None)}


async def test_an_import_is_a_change_of_each_row_that_was_taken(desk: Desk) -> None:
    known = [{"system": "urn:old", "value": "1"}]
    rows = desk.told(identifiers=known), desk.told(identifiers=known), desk.told(birth_date=None)
    request_id = str(uuid4())
    taken, _, _ = await desk.import_rows(*rows, request_id=request_id)
    [change] = (await Records(desk).page(taken.patient_id)).changes
    assert (change.method, change.request_id) == (f"{SERVICE}.ImportPatients", request_id)
    assert fields_of(change)["identifiers"] == (None, known)
    assert await desk.service.count("patient_change") == 1


async def test_of_two_changes_to_one_version_that_no_lock_kept_apart_the_database_refuses_one(desk: Desk) -> None:
    created, both_have_read = await desk.create(), asyncio.Barrier(2)

    class Hesitant(PatientsStore):
        async def patient_to_change(self, patient_id: UUID) -> Patient:
            found = await super().patient(patient_id)
            await both_have_read.wait()
            return found

    told = Person(("Bea",), "Ruiz", None, None)
    command = ChangePatient(from_wire("patient", created.id), 1, told, frozenset({"given_names"}))
    answers = await asyncio.gather(
        *(once(desk, lambda store: records.change_patient(store, command), Hesitant) for _ in range(2)),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers if answer] == [StaleEtag]
    assert await desk.service.count("patient_change") == 2


async def test_a_repeated_request_and_a_refused_one_leave_no_change(desk: Desk) -> None:
    created = await desk.create()
    request_id = str(uuid4())
    for _ in range(2):
        await desk.update(created, request_id=request_id, prefix="Ms.")
    await refusal(desk.update(created, prefix="Dr."))
    await refusal(desk.update(await desk.get(created.id), birth_date=None))
    assert await desk.service.count("patient_change") == 2


async def test_changes_are_listed_in_pages_the_latest_first(desk: Desk) -> None:
    history, seen = Records(desk), await desk.create()
    for n in range(6):
        seen = await desk.update(seen, prefix=f"P{n}")
    versions, token = list[int](), ""
    for _ in range(4):
        page = await history.page(seen.id, page_size=2, page_token=token)
        versions += [change.version for change in page.changes]
        token = page.next_page_token
    assert (versions, token) == ([7, 6, 5, 4, 3, 2, 1], "")
    other = await desk.create()
    page = await history.page(seen.id, page_size=2)
    refused = await refusal(history.page(other.id, page_token=page.next_page_token))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_PAGE_TOKEN")


async def test_a_history_is_seen_where_the_record_is(desk: Desk) -> None:
    history = Records(desk)
    here = await desk.create()
    shared = await desk.create(site_ids=[to_wire("site", desk.other_site_id)])
    for patient_id, token in (
        (here.id, desk.at_other_site()), (here.id, desk.of_other_chain()), (to_wire("patient", new_id()), None)
    ):  # fmt: skip
        refused = await refusal(history.page(patient_id, token))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
        assert refused.metadata == {"patient_id": patient_id}
    assert len(await history.history(shared.id, desk.at_other_site())) == 1


async def test_the_database_itself_hides_a_history_from_other_sites_and_chains(desk: Desk) -> None:
    await desk.create()
    here = desk.service.inside("Test", sites=frozenset({desk.site_id}))
    elsewhere = desk.service.inside("Test", sites=frozenset({desk.other_site_id}))
    other_chain = replace(here, chain_id=new_id(), sites=None)
    for call, seen in ((here, 1), (elsewhere, 0), (other_chain, 0)):
        async with desk.service.db.transaction(call) as conn:
            assert await conn.fetchval("SELECT count(*) FROM patient_change") == seen


@pytest.mark.parametrize("change", ["UPDATE patient_change SET actor = 'x'", "DELETE FROM patient_change"])
async def test_no_role_of_the_service_rewrites_history(desk: Desk, change: str) -> None:
    await desk.create()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with desk.service.db.transaction(desk.service.inside("Test")) as conn:
            await conn.execute(change)


async def test_who_is_no_staff_that_treats_or_audits_reads_no_history(desk: Desk) -> None:
    history, created = Records(desk), await desk.create()
    for role in ("ROLE_BILLING", "ROLE_INTEGRATION", "ROLE_SERVICE"):
        refused = await refusal(history.page(created.id, desk.service.token(role)))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    patient = desk.service.token("ROLE_PATIENT", patient=created.id)
    assert (await refusal(history.page(created.id, patient))).reason == "ACCESS_DENIED"
    for role in ("ROLE_AUDITOR", "ROLE_CLINICIAN"):
        assert len(await history.history(created.id, desk.service.token(role))) == 1


async def test_reading_a_history_leaves_an_audit_row(desk: Desk) -> None:
    history, created = Records(desk), await desk.create()
    await history.page(created.id, desk.service.token("ROLE_AUDITOR", subject="aud"))
    row = await desk.service.admin.fetchrow("SELECT actor, kind, ids FROM audit ORDER BY position DESC LIMIT 1")
    assert row is not None
    assert (row["actor"], row["kind"], json.loads(row["ids"])["patient_id"]) == ("aud", "AUDIT_PHI_READ", created.id)


async def test_nothing_of_a_record_or_its_history_leaves_by_events_logs_or_audit(
    desk: Desk, capfd: pytest.CaptureFixture[str]
) -> None:
    canary, history = "zyxwvut", Records(desk)
    secrets: dict[str, Any] = {
        "preferred_name": canary,
        "former_names": [{"given_names": [canary], "family_name": canary}],
        "related_persons": [
            {"role": 3, "name": canary, "relationship": canary, "email": f"{canary}@example.org", "address": canary}
        ],
        "self_pay_declaration": {"basis": 1, "declare_date": {"year": 1999, "month": 1, "day": 1}},
    }
    created = await desk.create(**secrets)
    seen = await desk.update(created, **secrets | {"preferred_name": f"{canary}."})
    await history.add_site(seen.id, reason=canary)
    await history.remove_site(seen.id, reason=canary)
    await desk.import_rows(desk.told(**secrets, identifiers=[{"system": "urn:old", "value": "1"}]))
    assert canary in str(await history.history(created.id))
    refusals = [
        await refusal(desk.create(**secrets | {"related_persons": [{"role": 2, "name": canary, "phone": canary}]})),
        await refusal(history.add_site(seen.id, reason=f"{canary}\n")),
        await refusal(desk.update(seen, **secrets | {"self_pay_declaration": {"basis": 1}})),
    ]
    payloads = "SELECT encode(payload, 'escape') FROM outbox UNION ALL SELECT ids::text FROM audit"
    left = [row[0] for row in await desk.service.admin.fetch(payloads)]
    logs = "".join(capfd.readouterr())
    assert (len(left), logs.count("rpc.done"), logs.count("rpc.refused")) == (4 + 6, 6, 3)
    assert not [each for each in (logs, str(refusals), *left) if canary in each.lower() or "1999" in each]
