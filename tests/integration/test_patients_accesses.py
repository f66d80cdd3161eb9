"""A patient's access report: who saw and who changed their data, through the gRPC door and by the command."""

import asyncio
import csv
import os
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from grpc import StatusCode
from typer.testing import CliRunner, Result

from atoll.patients.v1 import access_service_pb2 as pb
from atoll.patients.v1 import screening_service_pb2 as screening_pb
from atoll.patients.v1.patient_service_pb2 import GetContactDetailsRequest
from chassis.ids import new_id, to_wire
from cli.app import build
from cli.patients import harmless
from deploy.local.home import Home, ProcessInfo, StackInfo
from services.patients.store.accesses import ACCESSES
from tests.integration.test_patients_screening_reviews import HIGH, protocol_of, to_review
from tests.integration.test_patients_speed import explained, most_rows, read_through, round_trips
from tests.support.patients import Desk, desk
from tests.support.patients_access import Retention, accesses, break_glass, glass_breaks, review, stranger
from tests.support.patients_parts import call_adverse_events, call_measures, phq_9, record_measure
from tests.support.patients_parts import report as report_event
from tests.support.service import refusal

__all__ = ["desk"]

MANY = """
    WITH noted AS (INSERT INTO audit (chain_id, actor, method, kind, cause, ids, at)
                   SELECT $1, 'user', 'GetPatient', 'AUDIT_PHI_READ', '', '{}', now() FROM generate_series(1, 100000)
                   RETURNING chain_id, position, at)
    INSERT INTO audit_subject SELECT chain_id, CASE WHEN position % 100 = 0 THEN $2 ELSE gen_random_uuid() END,
                                     position, at FROM noted
"""


async def kinds(desk: Desk, patient_id: str, token: str | None = None) -> list[str]:
    """The first one last, without the accesses to the report."""
    found = [pb.AccessKind.Name(each.kind) for each in (await accesses(desk, patient_id, token)).accesses]
    return [kind for kind in reversed(found) if kind != "ACCESS_KIND_READ_ACCESSES"]


async def test_the_report_names_every_access_whatever_it_asked_by_the_latest_first(desk: Desk) -> None:
    patient, other = await desk.create(given_names=["Ana"]), await desk.create(given_names=["Bea"])
    asked = await desk.screen(patient.id)
    await desk.get(patient.id)
    await desk.search(name="ruiz")
    await desk.search(name="bea ruiz")
    request = screening_pb.GetScreeningRequest(screening_id=asked.id)
    await desk.service.call(desk.screenings.GetScreening, request, desk.clinician())
    await desk.revoke((await desk.clear(patient.id)).id)
    service = desk.service.token("ROLE_SERVICE", chain="*", subject="notifications")
    details, chain = GetContactDetailsRequest(patient_id=patient.id), to_wire("chain", desk.service.chain_id)
    await desk.service.call(desk.patients.GetContactDetails, details, service, atoll_chain=chain)
    await break_glass(desk, patient.id)
    assert await kinds(desk, patient.id) == [
        f"ACCESS_KIND_{kind}"
        for kind in (
            "CHANGED", "CHANGED", "READ_RECORD", "SEARCHED", "READ_RECORD", "CHANGED", "CHANGED", "READ_CONTACTS",
            "BROKE_GLASS",
        )
    ]  # fmt: skip
    assert await kinds(desk, other.id) == ["ACCESS_KIND_CHANGED", "ACCESS_KIND_SEARCHED", "ACCESS_KIND_SEARCHED"]


async def test_an_access_says_who_when_as_what_and_from_where(desk: Desk) -> None:
    patient, request_id = await desk.create(), str(uuid4())
    nurse = desk.service.token("ROLE_NURSE", sites=[desk.site_id], subject="nina")
    desk.service.clock.now = desk.service.now.replace(hour=18)
    await desk.get(patient.id, nurse)
    await desk.screen(patient.id, nurse, request_id=request_id)
    changed, read = (await accesses(desk, patient.id)).accesses[:2]
    for each in (changed, read):
        assert (each.actor, list(each.roles), list(each.site_ids)) == (
            "nina",
            ["NURSE"],
            [to_wire("site", desk.site_id)],
        )
        assert each.access_time.ToDatetime(tzinfo=desk.service.now.tzinfo) == desk.service.now
    assert (read.method, read.cause) == ("atoll.patients.v1.PatientService.GetPatient", "")
    assert (changed.method, changed.cause) == ("atoll.patients.v1.ScreeningService.RecordScreening", request_id)


async def test_the_patients_of_an_import_have_it_in_their_reports(desk: Desk) -> None:
    rows = [desk.told(identifiers=[{"system": "urn:old", "value": str(n)}]) for n in range(3)]
    patient_id = (await desk.import_rows(*rows))[2].patient_id
    await desk.import_rows(rows[2])  # Which finds them there already.
    assert await kinds(desk, patient_id) == ["ACCESS_KIND_IMPORTED", "ACCESS_KIND_IMPORTED"]


async def test_the_report_comes_in_pages_and_is_on_record_itself(desk: Desk) -> None:
    patient = await desk.create()
    for _ in range(3):
        await desk.get(patient.id)
    first = await accesses(desk, patient.id, page_size=3)
    second = await accesses(desk, patient.id, page_size=3, page_token=first.next_page_token)
    assert [each.kind for page in (first, second) for each in page.accesses] == [pb.ACCESS_KIND_READ_RECORD] * 3 + [
        pb.ACCESS_KIND_CHANGED
    ]
    assert second.next_page_token == ""
    assert (await accesses(desk, patient.id)).accesses[0].kind == pb.ACCESS_KIND_READ_ACCESSES
    wrong = await refusal(accesses(desk, to_wire("patient", new_id()), page_token=first.next_page_token))
    assert wrong.reason == "BAD_PAGE_TOKEN"


async def test_patients_read_their_own_report_and_nobody_elses(desk: Desk) -> None:
    mine, theirs = await desk.create(), await desk.create()
    token = desk.service.token("ROLE_PATIENT", patient=mine.id)
    await desk.search(name="ruiz")
    shown_as_a_duplicate = "ACCESS_KIND_SEARCHED"
    assert await kinds(desk, mine.id, token) == ["ACCESS_KIND_CHANGED", shown_as_a_duplicate, "ACCESS_KIND_SEARCHED"]
    refused = await refusal(accesses(desk, theirs.id, token))
    assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")


async def test_only_those_who_watch_read_reports_and_only_of_records_that_they_may_see(desk: Desk) -> None:
    patient = await desk.create()
    for role in ("CLINICIAN", "NURSE", "FRONT_DESK", "BILLING", "INTEGRATION", "SERVICE"):
        refused = await refusal(accesses(desk, patient.id, desk.service.token(f"ROLE_{role}")))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    manager = desk.service.token("ROLE_SITE_MANAGER", sites=[desk.site_id])
    for token in (None, manager, desk.service.token("ROLE_AUDITOR")):
        assert await kinds(desk, patient.id, token) == ["ACCESS_KIND_CHANGED"]
    await break_glass(desk, patient.id, stranger(desk, "ROLE_SITE_MANAGER"))
    for token in (stranger(desk, "ROLE_SITE_MANAGER"), desk.of_other_chain()):
        refused = await refusal(accesses(desk, patient.id, token))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
    assert (await refusal(accesses(desk, to_wire("patient", new_id())))).reason == "PATIENT_NOT_FOUND"


async def test_whoever_is_on_the_next_page_was_not_seen(desk: Desk) -> None:
    """A list reads one row more than it shows, to know whether there is another page."""
    protocol, patients = await protocol_of(desk), [await desk.create() for _ in range(2)]
    for patient in patients:
        await report_event(desk, patient.id)
        await record_measure(desk, patient.id, **phq_9(9, self_harm=1))
        await protocol.screen(patient, HIGH)
    asked: dict[str, Any] = {"site_id": to_wire("site", desk.site_id), "page_size": 1}
    [event] = (await call_adverse_events(desk, "ListOpenAdverseEvents", **asked)).adverse_events
    [flag] = (await call_measures(desk, "ListSafetyFlags", **asked)).safety_flags
    [screening] = (await to_review(desk, **asked)).screenings
    for patient in patients:
        found = [each.method.rpartition(".")[2] for each in (await accesses(desk, patient.id)).accesses]
        shown = [each.patient_id for each in (event, flag, screening)]
        assert len([method for method in found if method.startswith("List")]) == shown.count(patient.id)


async def test_what_was_refused_is_no_access(desk: Desk) -> None:
    patient = await desk.create()
    assert (await refusal(desk.get(patient.id, stranger(desk)))).reason == "PATIENT_NOT_FOUND"
    assert await kinds(desk, patient.id) == ["ACCESS_KIND_CHANGED"]


async def test_each_call_about_access_keeps_its_budget_of_round_trips(desk: Desk) -> None:
    patient, retention = await desk.create(), Retention(desk)
    await break_glass(desk, patient.id)  # Types are introspected once for each connection.
    await accesses(desk, patient.id)
    await retention.of(patient.id)
    broken = await break_glass(desk, patient.id)
    budget = {
        "accesses": (accesses(desk, patient.id), 5),
        "break glass": (break_glass(desk, patient.id), 7),
        "glass breaks": (glass_breaks(desk), 4),
        "review": (review(desk, broken.id), 5),
        "retention": (retention.of(patient.id), 5),
        "restrict": (retention.restrict(patient.id), 5),
        "due": (retention.due(), 5),
    }
    taken = {name: await round_trips(desk, answer) for name, (answer, _) in budget.items()}
    assert taken == {name: trips for name, (_, trips) in budget.items()}


@pytest.mark.timeout(120)
async def test_a_report_is_found_by_index_among_100_000_accesses(desk: Desk) -> None:
    patient_id = UUID(str(new_id()))
    await desk.service.admin.execute(MANY, desk.service.chain_id, patient_id)
    await desk.service.admin.execute("ANALYZE")
    plan = await explained(desk, ACCESSES, {"patient_id": patient_id, "before": 2**63 - 1, "limit": 51})
    assert plan["Actual Rows"] == 51
    assert "audit_subject_pkey" in str(plan)
    assert read_through(plan) <= {"patient"}  # Of whom there are none in this test.
    assert most_rows(plan) <= 60


@pytest.fixture
def home(desk: Desk, issuer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A stack as it describes itself, whose edge is the service."""
    monkeypatch.setenv("ATOLL_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "issuer").symlink_to(issuer_folder)
    described: dict[str, Any] = {name: "" for name in StackInfo.__dataclass_fields__}
    described |= {"supervisor": ProcessInfo.of(os.getpid()), "services": {}, "processes": {}}
    described["edge_url"] = f"http://127.0.0.1:{desk.service.ports[0]}"
    home = Home.default()
    home.record(StackInfo(**described))
    return home


async def report(desk: Desk, patient_id: str, *options: str) -> Result:
    """Of the command, and of the service in this process, which logs to the same place."""
    chain = to_wire("chain", desk.service.chain_id)
    arguments = ["patients", "access-report", patient_id, "--chain", chain, "--subject", "auditor", *options]
    return await asyncio.to_thread(CliRunner().invoke, build(), arguments)


def printed(result: Result) -> list[str]:
    return [line for line in result.output.splitlines() if "rpc.done" not in line]


async def test_the_command_shows_a_report_that_people_can_read(desk: Desk, home: Home) -> None:
    patient = await desk.create()
    await desk.get(patient.id, desk.service.token("ROLE_NURSE", sites=[desk.site_id], subject="nina"))
    lines = printed(await report(desk, patient.id))
    assert lines[0].split() == ["Time", "Who", "As", "At", "Did", "What", "Request"]
    site = to_wire("site", desk.site_id)
    assert lines[1].split() == ["2027-03-01", "16:00:00", "nina", "nurse", site, "read", "get", "patient"]
    assert "changed" in lines[2]
    assert len(lines) == 3


async def test_the_command_writes_all_pages_for_a_spreadsheet(
    desk: Desk, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.patients.PAGE", 2)
    patient = await desk.create()
    for _ in range(3):
        await desk.get(patient.id, desk.service.token("ROLE_NURSE", subject="=1+1"))
    rows = list(csv.DictReader(printed(await report(desk, patient.id, "--csv"))))
    assert [row["who"] for row in rows] == ["'=1+1"] * 3 + ["user"]
    assert [row["did"] for row in rows] == ["read"] * 3 + ["changed"]
    assert (await accesses(desk, patient.id)).accesses[0].actor == "auditor"


async def test_the_command_says_in_a_line_what_was_refused(desk: Desk, home: Home) -> None:
    answer = await report(desk, to_wire("patient", new_id()))
    assert "PATIENT_NOT_FOUND" in str(answer.exception)
    assert "Nobody" not in answer.output


def test_a_cell_that_a_spreadsheet_would_reckon_is_made_harmless() -> None:
    assert harmless(["=x", "+x", "-x", "@x", "x=", ""]) == ["'=x", "'+x", "'-x", "'@x", "x=", ""]
