"""What somebody wrote about a patient stands in the database sealed, and opens only where it was written."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from grpc import StatusCode
from structlog.testing import capture_logs

from atoll.patients.v1.clearance_service_pb2 import GetClearanceRequest
from chassis.ids import from_wire, new_id, to_wire
from chassis.migrate import migrate
from chassis.provision import provision
from deploy.local.process import ROOT
from services.patients import resealing
from services.patients.resealing import count_by_key, reseal_all
from services.patients.settings import RECORD_KEYS, ResealSettings
from services.patients.store.resealing import Batch, ResealStore
from tests.integration.test_patients_screenings import get_screening
from tests.support.patients import Desk, desk
from tests.support.patients_parts import call_adverse_events, report
from tests.support.patients_record import Records
from tests.support.record_keys import write_keys
from tests.support.servers import as_administrator, drop, password_of
from tests.support.service import Refusal, refusal

__all__ = ["desk"]


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of this test alone."""
    path = tmp_path / "record-keys.json"
    write_keys(path, "1")
    monkeypatch.setenv(RECORD_KEYS, str(path))
    return path


def settings(desk: Desk, keys: Path) -> ResealSettings:
    urls = desk.service.urls
    return ResealSettings(owner_database_url=urls.owner, sealer_database_url=urls.sealer, record_keys_file=keys)


async def under_keys(desk: Desk, keys: Path) -> dict[str, int]:
    return dict(await count_by_key(settings(desk, keys)))


async def get_clearance(desk: Desk, id: str) -> Any:
    request = GetClearanceRequest(clearance_id=id)
    return (await desk.service.call(desk.clearances.GetClearance, request, desk.clinician())).clearance


def does_not_open(refused: Refusal, column: str) -> bool:
    told = (refused.code, refused.reason, refused.metadata, refused.retry)
    return told == (StatusCode.FAILED_PRECONDITION, "RECORD_TEXT_REFUSED", {"column": column}, False)


async def test_answers_that_were_moved_to_another_screening_do_not_open(desk: Desk) -> None:
    patient = await desk.create()
    mine, theirs = await desk.screen(patient.id), await desk.screen(patient.id)
    moved = "UPDATE screening SET answers = (SELECT answers FROM screening WHERE id = $2) WHERE id = $1"
    await desk.service.admin.execute(moved, *(from_wire("screening", each.id) for each in (mine, theirs)))
    with capture_logs() as logged:
        refused = await refusal(get_screening(desk, mine.id, desk.clinician()))
    assert does_not_open(refused, "screening.answers")
    [told] = [each for each in logged if each["event"] == "texts.refused"]
    assert (told["column"], told["chain_id"]) == ("screening.answers", to_wire("chain", desk.service.chain_id))
    assert told["row"] == str(from_wire("screening", mine.id))
    assert await get_screening(desk, theirs.id, desk.clinician()) == theirs


async def test_a_reason_that_was_moved_to_another_column_does_not_open(desk: Desk) -> None:
    granted = await desk.clear((await desk.create()).id, override_reason="she knows")
    revoked = await desk.revoke(granted.id)
    assert await get_clearance(desk, granted.id) == revoked
    await desk.service.admin.execute("UPDATE clearance SET override_reason = revoke_reason")
    assert does_not_open(await refusal(get_clearance(desk, granted.id)), "clearance.override_reason")


async def test_a_record_that_was_moved_to_another_chain_does_not_open(desk: Desk) -> None:
    """With all that it refers to, under the same ids."""
    patient, other = await desk.create(), new_id()
    await report(desk, patient.id, description="fell")
    await desk.service.admin.execute("SET session_replication_role = replica")  # Without foreign keys.
    for table in ("site", "patient", "patient_site", "adverse_event"):
        await desk.service.admin.execute(f"UPDATE {table} SET chain_id = $1", other)
    token = desk.service.token("ROLE_CLINICIAN", chain_id=other)
    refused = await refusal(call_adverse_events(desk, "ListAdverseEvents", token, patient_id=patient.id))
    assert does_not_open(refused, "adverse_event.description")
    assert (await desk.get(patient.id, token)).family_name == "Ruiz"


async def test_a_text_that_is_no_sealed_one_is_not_shown(desk: Desk) -> None:
    patient = await desk.create()
    await report(desk, patient.id, description="fell")
    for text in ("s1.1.AAAA", "s1.1.A", "s1.1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"):
        await desk.service.admin.execute("UPDATE adverse_event SET description = $1", text)
        refused = await refusal(call_adverse_events(desk, "ListAdverseEvents", patient_id=patient.id))
        assert does_not_open(refused, "adverse_event.description")
    for text in ("fell", "s1.fell", "s1..fell"):
        with pytest.raises(asyncpg.CheckViolationError):
            await desk.service.admin.execute("UPDATE adverse_event SET description = $1", text)


async def test_an_answer_that_is_remembered_is_sealed_and_the_same_bytes_when_it_is_asked_for_again(desk: Desk) -> None:
    request_id = str(uuid4())
    first = await desk.create(request_id=request_id)
    [kept] = await desk.service.admin.fetch("SELECT response FROM idempotency")
    assert kept["response"].startswith(b"s1.1.")
    assert await desk.create(request_id=request_id) == first
    await desk.create(request_id=str(uuid4()), given_names=["Eva"])
    moved = "UPDATE idempotency SET response = (SELECT response FROM idempotency WHERE request_id <> $1)"
    await desk.service.admin.execute(f"{moved} WHERE request_id = $1", request_id)
    with capture_logs() as logged:
        assert does_not_open(await refusal(desk.create(request_id=request_id)), "idempotency.response")
    assert [each["row"] for each in logged if each["event"] == "texts.refused"] == [request_id]


async def test_the_database_remembers_no_answer_that_is_not_sealed_and_none_is_given_again(desk: Desk) -> None:
    request_id = str(uuid4())
    await desk.create(request_id=request_id)
    for answer in (b"Ana", b"s1.Ana", b"\x0a\x03Ana", b"s1.1.\xff"):
        with pytest.raises((asyncpg.CheckViolationError, asyncpg.CharacterNotInRepertoireError)):
            await desk.service.admin.execute("UPDATE idempotency SET response = $1", answer)
    await desk.service.admin.execute("ALTER TABLE idempotency DROP CONSTRAINT idempotency_response_sealed_check")
    for answer in (b"Ana", b"s1.1.\xff"):
        await desk.service.admin.execute("UPDATE idempotency SET response = $1", answer)
        assert does_not_open(await refusal(desk.create(request_id=request_id)), "idempotency.response")


async def test_two_texts_that_are_alike_do_not_look_alike_and_nothing_looks_like_nothing(desk: Desk) -> None:
    patient = await desk.create()
    for description in ("fell", "fell", ""):
        await report(desk, patient.id, description=description)
    found = await desk.service.admin.fetch("SELECT description FROM adverse_event ORDER BY id")
    first, second, third = (row["description"] for row in found)
    assert (first != second, third) == (True, "")


def lose(keys: Path, lost: str) -> None:
    if lost == "gone":
        keys.unlink()
    elif lost == "empty":
        keys.write_text("")
    else:
        write_keys(keys, "2")


@pytest.mark.parametrize("lost", ["gone", "empty", "without the key"])
async def test_without_its_keys_the_service_says_so_and_writes_nothing(desk: Desk, keys: Path, lost: str) -> None:
    patient = await desk.create()
    screened, protocol_id = await desk.screen(patient.id), to_wire("protocol", new_id())
    asked = {"protocol_id": protocol_id, "questionnaire_version_id": (await desk.asks(protocol_id)).id}
    lose(keys, lost)
    with capture_logs() as logged:
        refused = await refusal(get_screening(desk, screened.id, desk.clinician()))
    assert (refused.code, refused.reason, refused.retry) == (StatusCode.UNAVAILABLE, "RECORD_KEYS_MISSING", True)
    assert "texts.no_key" in {each["event"] for each in logged}
    if lost != "without the key":
        tables = ("screening", "patient", "patient_change", "idempotency", "outbox")
        before = [await desk.service.count(table) for table in tables]
        for answer in (desk.screen(patient.id, **asked), desk.create(), desk.update(patient, prefix="Dr.")):
            assert (await refusal(answer)).reason == "RECORD_KEYS_MISSING"
        assert [await desk.service.count(table) for table in tables] == before
    assert await desk.found("ruiz") == ["Ana"]
    write_keys(keys, "1")
    assert await get_screening(desk, screened.id, desk.clinician()) == screened


async def test_a_key_is_replaced_while_the_service_runs_and_nothing_but_the_seals_changes(
    desk: Desk, keys: Path
) -> None:
    history, request_id = Records(desk), str(uuid4())
    patient = await desk.create(request_id=request_id)
    old = await desk.clear(patient.id, override_reason="she knows")
    write_keys(keys, "1", "2")
    assert await get_clearance(desk, old.id) == old
    new = await desk.clear(patient.id, override_reason="she still knows")
    before, counted = await desk.get(patient.id), await under_keys(desk, keys)
    changes = await history.page(patient.id)
    assert set(counted) == {"1", "2"}
    assert await reseal_all(settings(desk, keys)) == 0
    assert await under_keys(desk, keys) == {"2": sum(counted.values())}
    write_keys(keys, "2")
    assert (await get_clearance(desk, old.id), await get_clearance(desk, new.id)) == (old, new)
    assert (await desk.get(patient.id), await history.page(patient.id)) == (before, changes)
    assert await desk.create(request_id=request_id) == patient
    sealed = "SELECT override_reason FROM clearance ORDER BY id"
    once = await desk.service.admin.fetch(sealed)
    assert await reseal_all(settings(desk, keys)) == 0
    assert await desk.service.admin.fetch(sealed) == once  # There was nothing left to do.


async def test_sealing_anew_goes_on_where_it_was_stopped(
    desk: Desk, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = await desk.create()
    reported = [await report(desk, patient.id, description=f"fell {n}") for n in range(5)]
    write_keys(keys, "1", "2")
    whole, batches = await under_keys(desk, keys), list[Batch]()
    some = ResealStore.reseal_some

    async def killed(store: ResealStore, *given: Any, **named: Any) -> Batch:
        batch = await some(store, *given, **named)
        if sum(each.resealed for each in batches) >= 4:
            raise KeyboardInterrupt
        batches.append(batch)
        return batch

    monkeypatch.setattr(resealing, "AT_ONCE", 2)
    with monkeypatch.context() as patch:
        patch.setattr(ResealStore, "reseal_some", killed)
        with pytest.raises(KeyboardInterrupt):
            await reseal_all(settings(desk, keys))
    halfway = await under_keys(desk, keys)
    assert (halfway["2"], sum(halfway.values())) == (4, sum(whole.values()))
    listed = await call_adverse_events(desk, "ListAdverseEvents", patient_id=patient.id)
    assert list(listed.adverse_events) == reported[::-1]
    assert await reseal_all(settings(desk, keys)) == 0
    assert await under_keys(desk, keys) == {"2": sum(whole.values())}


async def test_what_is_written_while_it_is_sealed_anew_stays(
    desk: Desk, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the reading of a text and its replacement somebody erases it."""
    await report(desk, (await desk.create()).id, description="fell")
    write_keys(keys, "1", "2")
    rows = ResealStore.rows

    async def rows_after(store: ResealStore, statement: Any, **values: Any) -> Any:
        if "UPDATE adverse_event" in statement.text:
            await desk.service.admin.execute("UPDATE adverse_event SET description = ''")
        return await rows(store, statement, **values)

    monkeypatch.setattr(ResealStore, "rows", rows_after)
    assert await reseal_all(settings(desk, keys)) == 0
    assert await desk.service.admin.fetchval("SELECT description FROM adverse_event") == ""


@pytest.mark.parametrize("key", ["1", "lost"])
async def test_a_text_that_does_not_open_is_left_and_counted_and_the_others_are_sealed_anew(
    desk: Desk, keys: Path, key: str
) -> None:
    patient = await desk.create()
    spoilt, kept = [await report(desk, patient.id, description="fell") for _ in range(2)]
    text = f"s1.{key}." + "A" * 60
    id = from_wire("adverseevent", spoilt.id)
    await desk.service.admin.execute("UPDATE adverse_event SET description = $1 WHERE id = $2", text, id)
    write_keys(keys, "1", "2")
    assert await reseal_all(settings(desk, keys)) == 1
    assert (await under_keys(desk, keys))[key] == 1
    assert await desk.service.admin.fetchval("SELECT description FROM adverse_event WHERE id = $1", id) == text
    listed = "SELECT description FROM adverse_event WHERE id = $1"
    assert (await desk.service.admin.fetchval(listed, from_wire("adverseevent", kept.id))).startswith("s1.2.")


@pytest.fixture
def told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator sets before the command."""
    monkeypatch.setenv("ATOLL_OWNER_DATABASE_URL", desk.service.urls.owner)
    monkeypatch.setenv("ATOLL_SEALER_DATABASE_URL", desk.service.urls.sealer)


async def test_the_command_ends_with_why_if_a_text_is_left(
    desk: Desk, keys: Path, told: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.maintenance.configure_process", lambda _: None)  # It lasts.
    await report(desk, (await desk.create()).id, description="fell")
    write_keys(keys, "1", "2")
    rows = ResealStore.rows

    async def rows_and_lose(store: ResealStore, statement: Any, **values: Any) -> Any:
        lose(keys, "empty")
        return await rows(store, statement, **values)

    with monkeypatch.context() as patch:
        patch.setattr(ResealStore, "rows", rows_and_lose)
        with pytest.raises(SystemExit, match="stopped, and may be run again: the service has not the keys"):
            await asyncio.to_thread(resealing.reseal)
    write_keys(keys, "1", "2")
    await desk.service.admin.execute("UPDATE adverse_event SET description = 's1.1.' || repeat('A', 60)")
    with pytest.raises(SystemExit, match="1 texts do not open; the log names them"):
        await asyncio.to_thread(resealing.reseal)


def test_a_process_that_serves_does_not_load_what_the_commands_need() -> None:
    program = "import sys, services.patients.__main__; print('services.patients.resealing' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert told.stdout.strip() == "False"


@pytest.mark.long
async def test_the_command_says_how_many_texts_are_under_which_key(desk: Desk, keys: Path, told: None) -> None:
    """In a process of its own, as an operator runs it."""
    await desk.create()
    write_keys(keys, "1", "2")
    for command, key in (("keys", "1"), ("reseal", "2"), ("keys", "2")):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.patients", command, cwd=ROOT, stderr=asyncio.subprocess.PIPE
        )
        _, stderr = await process.communicate()
        assert process.returncode == 0, stderr.decode()
        last = json.loads(stderr.decode().splitlines()[-1])
        assert (last["event"], last["key"], last["count"]) == ("texts.under_key", key, 2)


async def test_texts_in_clear_from_before_keep_the_migration_from_losing_them(postgres_url: str) -> None:
    urls = await provision(
        postgres_url, "patients", database=f"clear_{uuid4().hex[:12]}", password=password_of(postgres_url)
    )
    admin = await asyncpg.connect(as_administrator(postgres_url, urls))
    await migrate(urls.owner, "patients", "0013")
    await admin.execute("SET session_replication_role = replica")  # Without foreign keys.
    told = "INSERT INTO restriction VALUES ($1, $1, $1, 'asked for it', 'dr', now())"
    await admin.execute(told, new_id())
    with pytest.raises(RuntimeError, match="restriction holds texts in clear"):
        await migrate(urls.owner, "patients", "0014")
    assert await admin.fetchval("SELECT reason FROM restriction") == "asked for it"
    await admin.execute("UPDATE restriction SET reason = ''")
    await migrate(urls.owner, "patients", "0014")
    await admin.close()
    await drop(postgres_url, urls)
