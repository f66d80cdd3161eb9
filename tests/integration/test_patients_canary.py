"""Nothing that a request holds of a patient is found where it does not belong, whatever becomes of the request.

Every RPC of patients is called, with a text in each field that occurs nowhere else, and is answered or refused in every
way. Then logs, metrics, outbox, NATS's own files, dead letters, audit rows and all that was answered to refusals are
searched.
"""

import io
import logging
import re
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import nats
import pytest
import pytest_asyncio
import structlog
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from prometheus_client import generate_latest

from atoll.common.v1.access_pb2 import Role
from atoll.patients.v1.patient_pb2 import Patient
from atoll.patients.v1.screening_service_pb2 import ReviewScreeningRequest
from chassis.consumer import Consumer, Letter
from chassis.ids import new_id, to_wire
from chassis.logs import configure_logs
from chassis.pool import open_pool
from chassis.relay import Relay
from chassis.service import ensure_stream
from deploy.local.nats import nats as nats_program
from deploy.local.nats import nats_url
from deploy.local.process import free_port, start
from services.patients.resealing import reseal_all
from services.patients.store import PatientsStore
from services.patients.tables import metadata
from tests.contract.found import rpcs
from tests.integration.test_patients_duplicates import Duplicates
from tests.integration.test_patients_sealing import keys, settings, under_keys
from tests.support.canaries import MARK, Canaries, marked, spoilt
from tests.support.patients import Desk
from tests.support.patients_access import Retention
from tests.support.patients_consents import ConsentDesk, desk, text
from tests.support.patients_merges import Merges
from tests.support.patients_parts import call_adverse_events, call_measures, phq_9, record_measure, report
from tests.support.patients_questionnaires import condition, content, question, rule
from tests.support.patients_record import Records
from tests.support.record_keys import write_keys
from tests.support.sealed import opened, sealed_columns

__all__ = ["desk", "keys"]

TURNS = range(4)
RPCS = [each for each in rpcs() if each.full_name.startswith("atoll.patients.v1.")]
BY_NAME = {each.name: each for each in RPCS}
LAST = ("Revoke", "Withdraw", "Merge", "Restrict", "Anonymise")
"""Beginnings of the names of RPCs that leave little for others to do."""
OF_THE_CHAIN = ("CreateConsent", "PublishConsent", "CreateQuestionnaire", "PublishQuestionnaire")
"""Beginnings of the names of RPCs that write texts of the chain's own, which outlast its patients."""
ANSWERED = {
    "CreatePatient", "GetPatient", "SearchPatients", "ImportPatients", "GetContactDetails", "ListScreenings",
    "ListClearances", "ReportAdverseEvent", "RecordDiagnosis", "BreakGlass",
    "ListGlassBreaks", "ReviewGlassBreak",
}  # fmt: skip
"""At least these must come through."""


IN_CLEAR: dict[str, set[str]] = {
    "patient": {"mrn", "given_names", "family_name", "prefix", "preferred_name", "former_names"},
    "patient_identifier": {"system", "value"},
    "patient_name": {"word", "line"},
    "name_spelling": {"word", "spelling"},
    "match_key": {"key"},
    "contact_point": {"value"},
    "related_person": {"name", "relationship", "phone", "email", "address"},
    "adverse_event": {"code"},
    "questionnaire": {"code", "display_name"},
    "consent_document": {"display_name"},
    "consent_text": {"content"},
}
"""Columns in which a text that somebody chose may stand for whoever has a copy of the database: names and contacts,
which are searched, codes, and texts of the chain's own. See docs/adr/0029."""
NUMBERED = re.compile(rf"Zq{MARK} of \d+", re.IGNORECASE)


@dataclass
class Heard:
    """What refusals said, and which RPCs were answered."""

    refusals: list[str] = field(default_factory=list)
    codes: set[grpc.StatusCode] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)


@dataclass
class Caller:
    desk: Desk
    canaries: Canaries
    heard: Heard

    async def send(self, rpc: MethodDescriptor, request: Message | bytes, token: str, **metadata: str) -> None:
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        answers: Any = GetMessageClass(rpc.output_type).FromString
        path = f"/{rpc.containing_service.full_name}/{rpc.name}"
        channel: Any = self.desk.service.channel
        ask = channel.unary_stream if rpc.server_streaming else channel.unary_unary
        pairs = [("authorization", f"Bearer {token}"), *metadata.items()]
        answering = ask(path, response_deserializer=answers)(raw, metadata=pairs, timeout=10)
        try:
            given = [each async for each in answering] if rpc.server_streaming else [await answering]
        except grpc.aio.AioRpcError as error:
            self.heard.codes.add(error.code())
            said = (error.details(), error.debug_error_string(), error.initial_metadata(), error.trailing_metadata())
            self.heard.refusals.append(f"{rpc.name} {said!r}")
        else:
            self.heard.answered.add(rpc.name)
            for answer in given:
                self.canaries.learn(answer)

    def filled(self, rpc: MethodDescriptor, turn: int = 0) -> Any:
        return self.canaries.fill(GetMessageClass(rpc.input_type)(), turn)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What a process of patients writes to its standard error."""
    before, text, stderr = structlog.get_config(), io.StringIO(), sys.stderr
    sys.stderr = text
    configure_logs("patients")
    sys.stderr = stderr
    structlog.configure(cache_logger_on_first_use=False)
    yield text
    structlog.configure(**before)


@pytest_asyncio.fixture
async def caller(desk: Desk, logged: io.StringIO) -> AsyncIterator[Caller]:
    canaries = Canaries()
    canaries.ids["site"] = to_wire("site", desk.site_id)
    canaries.ids["protocol"] = to_wire("protocol", new_id())
    asked = await desk.asks(canaries.ids["protocol"], content([question("free", "TEXT", max_length=2000)]))
    canaries.ids["questionnaireversion"] = asked.id
    canaries.codes["AssignQuestionnaireRequest.questionnaire_id"] = asked.questionnaire_id
    yield Caller(desk, canaries, Heard())


def everybody(desk: Desk, **changes: Any) -> str:
    """Somebody who has every role of staff, so that no RPC is refused for want of one."""
    roles = [each.name for each in Role.DESCRIPTOR.values if each.number and each.name != "ROLE_PATIENT"]
    return desk.service.token(grants={role: ["*"] for role in roles}, **changes)


def _late(rpc: MethodDescriptor) -> bool:
    """What rests on something that another RPC records."""
    return not rpc.name.startswith(("Record", "Add", "Publish"))


async def ask_everything(caller: Caller) -> None:
    ordered = sorted(RPCS, key=lambda rpc: (rpc.name.startswith(LAST), not rpc.name.startswith("Create"), _late(rpc)))
    for turn in TURNS:
        for rpc in ordered:
            await caller.send(rpc, caller.filled(rpc, turn), everybody(caller.desk))
    # At a site that may not see the record, and by somebody else who comes after.
    caller.canaries.ids["site"] = to_wire("site", caller.desk.other_site_id)
    for subject in ("user", "another"):
        for rpc in sorted(ordered, key=lambda rpc: not rpc.name.startswith("Break")):
            await caller.send(rpc, caller.filled(rpc), everybody(caller.desk, subject=subject))
    caller.canaries.ids["site"] = to_wire("site", caller.desk.site_id)


async def ask_sensibly(caller: Caller) -> str:
    """What requests that are filled blindly are refused: these are answered, with a canary wherever one can be."""
    desk, ids = caller.desk, caller.canaries.ids
    assert isinstance(desk, ConsentDesk)
    patient = await desk.create(given_names=[f"Zq{MARK}"], family_name=f"Za{MARK}", preferred_name=f"Zb{MARK}")
    about = {"protocol_id": ids["protocol"], "questionnaire_version_id": ids["questionnaireversion"]}
    answers = [{"question_code": "free", "text_value": f"I am {MARK}"}]
    screened = await desk.screen(patient.id, answers=answers, **about)
    cleared = {"protocol_id": screened.protocol_id, "screening_id": screened.id, "override_reason": f"knows {MARK}"}
    granted = await desk.clear(patient.id, conditions=[{"text": f"with {MARK}"}], **cleared)
    await desk.revoke(granted.id, reason=f"saw {MARK}")
    await look_at_one_and_do_not_clear(desk, patient)
    await record_measure(desk, patient.id, **phq_9(9, self_harm=2))
    [flag] = (await call_measures(desk, "ListSafetyFlags", site_id=to_wire("site", desk.site_id))).safety_flags
    await call_measures(desk, "AcknowledgeSafetyFlag", safety_flag_id=flag.id, note=f"called {MARK}")
    await report(desk, patient.id, description=f"{MARK} fell")
    document = await desk.document(code="CANARY", display_name="Treatment")
    version = await desk.publish_document(document.id, texts=[text(content=f"I, {MARK}, agree.")])
    signer = {"signer_name": f"Zc{MARK}", "witness_name": f"Zd{MARK}", "method": "CONSENT_METHOD_VERBAL"}
    signed = await desk.sign(patient.id, version.id, **signer)
    await desk.withdraw(signed, reason=f"{MARK} thought again")
    await merge_and_take_apart(caller, patient)
    return patient.id


async def look_at_one_and_do_not_clear(desk: Desk, patient: Patient) -> None:
    protocol_id = to_wire("protocol", new_id())
    review = rule("psychosis_history", "NEEDS_REVIEW", condition("psychosis", "EQUAL", True))
    asked = await desk.asks(protocol_id, content([question("psychosis")], review))
    answers = [{"question_code": "psychosis", "bool_value": True}]
    screened = await desk.screen(
        patient.id, protocol_id=protocol_id, questionnaire_version_id=asked.id, answers=answers
    )
    request = ReviewScreeningRequest(request_id=str(uuid4()), screening_id=screened.id, reason=f"heard {MARK}")
    await desk.service.call(desk.screenings.ReviewScreening, request, desk.clinician())


async def merge_and_take_apart(caller: Caller, patient: Patient) -> None:
    """One record for good, another for a while."""
    desk, merges = caller.desk, Merges(caller.desk)
    for taken_apart in (True, False):
        merged = await desk.create(given_names=[f"Ze{MARK}"], family_name=f"Zf{MARK}")
        done = await merges.merge(patient, merged, reason=f"{MARK} has two")
        if taken_apart:
            await merges.unmerge(merged.id, reason=f"{MARK} is two")
            await merges.written(done.id)
            await merges.of(merged.id)
            await Retention(desk).anonymise(merged.id, law="a law")


async def ask_in_every_wrong_way(caller: Caller) -> None:
    desk, good = caller.desk, everybody(caller.desk)
    for rpc in RPCS:
        request = caller.filled(rpc)
        for token in ("", MARK, desk.service.token(grants={}), everybody(desk, chain_id=new_id())):
            await caller.send(rpc, request, token)
        await caller.send(rpc, request, desk.service.token("ROLE_CLINICIAN", sites=[new_id()]))
        await caller.send(rpc, request.SerializeToString() + b"\xff" + MARK.encode(), good)
        await caller.send(rpc, MARK.encode(), good)
        await caller.send(rpc, request, good, **{"atoll-chain": MARK, "traceparent": MARK})
        for _, broken in spoilt(request, MARK):
            await caller.send(rpc, broken, good)
        if "request_id" in rpc.input_type.fields_by_name:  # Twice the same id, and another text.
            other = caller.filled(rpc)
            other.request_id = request.request_id
            await caller.send(rpc, other, good)


async def break_something(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug whose exception holds what it should not, and an error of PostgreSQL that quotes a row."""

    async def bug(*_: Any) -> None:
        raise ValueError(f"cannot read {MARK}")

    async def fault(store: PatientsStore, *_: Any) -> None:
        await store._conn.execute("SELECT ($1::text)::int", f"{MARK}")

    for way in (bug, fault):
        with monkeypatch.context() as patch:
            patch.setattr(PatientsStore, "settle", way)
            patch.setattr(PatientsStore, "note_read", way)
            for rpc in RPCS:
                await caller.send(rpc, caller.filled(rpc), everybody(caller.desk))


async def bury_what_was_published(desk: Desk) -> None:
    """As a reader of every event would, that can handle none."""
    consumer = Consumer(desk.service.db, "reader", PatientsStore, {}, desk.service.clock)
    for row in await desk.service.admin.fetch("SELECT event_id, subject, payload FROM outbox"):
        letter = Letter(str(row["event_id"]), row["subject"], row["payload"])
        await consumer.bury(letter, ValueError(MARK))


async def published_to_files(desk: Desk, folder: Path) -> bytes:
    """What NATS keeps on its disk after everything was published."""
    port = free_port()
    process = start(nats_program(folder, port, free_port()), folder / "logs")
    try:
        connection = await nats.connect(nats_url(port))
        await ensure_stream(connection.jetstream(), "PATIENTS")
        async with open_pool(desk.service.urls.relay, size=1) as pool:
            while await Relay(pool, connection).drain():
                pass
        await connection.close()
    finally:
        process.stop()
    return _content(folder)


def _content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


async def found_in_tables(desk: Desk, *tables: str) -> list[str]:
    """Texts that stand there sealed are looked for, too."""
    found = list[str]()
    for table in tables:
        for row in await desk.service.admin.fetch(f"SELECT * FROM {table}"):
            found += [f"{table}: {each}" for value in opened(table, row).values() for each in _marked_value(value)]
    return found


async def of_twins(desk: Desk) -> None:
    """What is written about two who are alike, and not forgotten afterwards."""
    one, other = [await desk.create(given_names=[f"Zg{MARK}"], family_name=f"Zh{MARK}") for _ in range(2)]
    await Merges(desk).merge(one, other, reason=f"{MARK} is one")
    await Merges(desk).unmerge(other.id, reason=f"{MARK} is two")
    await Duplicates(desk).dismiss(one.id, other.id, reason=f"{MARK} has a sister")
    await Retention(desk).restrict(one.id, reason=f"{MARK} asked for it")
    await Records(desk).add_site(one.id, reason=f"{MARK} moves")


async def columns_with_canaries(desk: Desk) -> tuple[dict[str, set[str]], set[tuple[str, str]]]:
    """In clear, by table; and sealed."""
    clear, sealed = dict[str, set[str]](), set[tuple[str, str]]()
    for table in metadata.sorted_tables:
        for row in await desk.service.admin.fetch(f"SELECT * FROM {table.name}"):
            if shown := {name for name, value in row.items() if _marked_value(value)}:
                clear[table.name] = clear.get(table.name, set()) | shown
            told = {name for name, value in opened(table.name, row).items() if _marked_value(value)}
            sealed |= {(table.name, name) for name in told - shown}
    return clear, sealed


async def told_in_sealed_columns(desk: Desk) -> dict[str, set[str]]:
    """By column, the numbered canaries that stand in no row in clear: each is of one field of one request."""
    clear, found = set[str](), dict[str, set[str]]()
    for table in metadata.sorted_tables:
        for row in await desk.service.admin.fetch(f"SELECT * FROM {table.name}"):
            clear |= _numbered(tuple(row.values()))
    for column in sealed_columns():
        rows = await desk.service.admin.fetch(f"SELECT * FROM {column.table.name}")
        told = set[str]().union(*(_numbered(opened(column.table.name, row)[column.name]) for row in rows))
        found[str(column)] = told - clear
    return found


def _numbered(value: Any) -> set[str]:
    return {text.lower() for text in NUMBERED.findall(str(value))}


async def everything(desk: Desk) -> dict[str, list[Any]]:
    """Every row of every table with a sealed column, as it was before it was sealed."""
    found = dict[str, list[Any]]()
    for table in {each.table.name for each in sealed_columns()}:
        rows = await desk.service.admin.fetch(f"SELECT * FROM {table}")
        found[table] = sorted((opened(table, row) for row in rows), key=str)
    return found


async def raw_bytes(desk: Desk) -> bytes:
    """The files of all tables and indexes, as a copy of the disk has them, once rows that are gone are: what history
    and remembered answers tell of names stood in some of those in clear."""
    await desk.service.admin.execute("VACUUM FULL")
    await desk.service.admin.execute("CHECKPOINT")
    files = await desk.service.admin.fetch(
        "SELECT pg_read_binary_file(pg_relation_filepath(oid)) AS file FROM pg_class "
        "WHERE relkind IN ('r', 't', 'i') AND relnamespace <> 'pg_catalog'::regnamespace AND relfilenode > 0"
    )
    return b"".join(row["file"] for row in files)


async def tables_with_canaries(desk: Desk, *tables: str) -> set[str]:
    return {line.partition(":")[0] for line in await found_in_tables(desk, *tables)}


def _marked_value(value: Any) -> list[str]:
    return marked(value if isinstance(value, bytes) else str(value))


@pytest.mark.timeout(240)
async def test_nothing_that_a_request_holds_is_found_where_it_does_not_belong(
    caller: Caller,
    logged: io.StringIO,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk, heard = caller.desk, caller.heard
    caplog.set_level(logging.DEBUG)
    await ask_sensibly(caller)
    await ask_everything(caller)
    unanswered = ANSWERED - heard.answered
    assert not unanswered, [said for said in heard.refusals if said.partition(" ")[0] in unanswered]
    assert await desk.service.count("outbox") >= len(TURNS)
    await ask_in_every_wrong_way(caller)
    await break_something(caller, monkeypatch)
    await bury_what_was_published(desk)
    assert heard.codes >= {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INTERNAL,
    }
    files = await published_to_files(desk, tmp_path / "nats")
    assert b"patients.v1.patient.registered" in files
    assert "rpc.bug" in logged.getvalue()
    assert await desk.service.count("dead_letter") == await desk.service.count("outbox")
    assert marked(logged.getvalue()) == []
    assert marked(caplog.text) == []
    assert marked(generate_latest()) == []
    assert marked(files) == []
    assert [each for said in heard.refusals for each in marked(said)] == []
    assert await found_in_tables(desk, "outbox", "dead_letter", "audit", "audit_subject", "inbox") == []


async def test_the_canaries_are_where_they_belong_and_in_clear_only_where_that_is_decided(
    caller: Caller, keys: Path
) -> None:
    """Else the test above would find nothing for want of any. Each sealed text is sealed anew, too."""
    await ask_everything(caller)
    asked = "patient", "patient_identifier", "contact_point"
    assert await tables_with_canaries(caller.desk, *asked) == set(asked)
    await ask_sensibly(caller)
    written = "screening", "clearance", "safety_flag", "adverse_event", "consent", "consent_withdrawal", "patient_merge"
    assert await tables_with_canaries(caller.desk, *written) == set(written)
    await of_twins(caller.desk)
    clear, sealed = await columns_with_canaries(caller.desk)
    assert {(table, each) for table, names in clear.items() for each in names - IN_CLEAR.get(table, set())} == set()
    assert sealed == {(each.table.name, each.name) for each in sealed_columns()} - {("screening", "answers")}
    answers = await caller.desk.service.admin.fetch("SELECT answers FROM screening")  # All that are no texts.
    assert {row["answers"][:5] for row in answers} == {"s1.1."}
    told, raw = await told_in_sealed_columns(caller.desk), await raw_bytes(caller.desk)
    assert len([column for column, texts in told.items() if texts]) > 5
    assert all(told[column] for column in ("patient_change.changes", "idempotency.response"))
    assert f"Zq{MARK}".encode() in raw  # A name.
    in_raw = _numbered(raw.decode("latin-1"))
    assert {column: texts & in_raw for column, texts in told.items() if texts & in_raw} == {}
    before = await everything(caller.desk)
    write_keys(keys, "1", "2")
    assert await reseal_all(settings(caller.desk, keys)) == 0
    write_keys(keys, "2")
    assert set(await under_keys(caller.desk, keys)) == {"2"}
    assert await everything(caller.desk) == before


async def test_nothing_is_left_of_a_patient_who_is_forgotten(caller: Caller) -> None:
    """Of one to whom everything was done that an RPC can do."""
    desk, token = caller.desk, everybody(caller.desk)
    caller.canaries.codes |= {"law": "a law", "AdverseEvent.code": "x", "ReportAdverseEventRequest.code": "nausea"}
    caller.canaries.codes |= {"SideEffect.code": "nausea", "wording_code": "w1"}  # Codes stay, and so does the law.
    others = ("CreatePatient", "Import", "BreakGlass", "ReviewGlass", "AnonymisePatient", *OF_THE_CHAIN)
    await caller.send(BY_NAME["CreatePatient"], caller.filled(BY_NAME["CreatePatient"]), token)
    caller.canaries.ids["site"] = to_wire("site", desk.other_site_id)
    await caller.send(BY_NAME["BreakGlass"], caller.filled(BY_NAME["BreakGlass"]), token)
    reviewer = everybody(desk, subject="another")
    await caller.send(BY_NAME["ReviewGlassBreak"], caller.filled(BY_NAME["ReviewGlassBreak"]), reviewer)
    caller.canaries.ids["site"] = to_wire("site", desk.site_id)
    for rpc in sorted(RPCS, key=lambda rpc: rpc.name.startswith(LAST)):
        if not rpc.name.startswith(others):
            for turn in range(3):
                await caller.send(rpc, caller.filled(rpc, turn), token)
    assert await desk.service.count("patient") == 1
    before = await tables_with_canaries(desk, *await tables_of_patients(desk))
    assert before >= {"patient", "patient_change", "screening", "break_glass", "glass_review"}
    assert "idempotency" in before
    await resolve_adverse_events(desk)
    await caller.send(BY_NAME["AnonymisePatient"], caller.filled(BY_NAME["AnonymisePatient"]), token)
    assert "AnonymisePatient" in caller.heard.answered, caller.heard.refusals[-1]
    assert await found_in_tables(desk, *await tables_of_patients(desk)) == []


async def test_nothing_is_left_of_what_was_written_into_a_record(caller: Caller) -> None:
    caller.canaries.codes["law"] = "a law"
    caller.canaries.ids["patient"] = await ask_sensibly(caller)
    tables = await tables_of_patients(caller.desk)
    before = await tables_with_canaries(caller.desk, *tables)
    assert before >= {"patient", "patient_name", "screening", "clearance", "consent", "safety_flag", "adverse_event"}
    assert "patient_merge" in before
    await resolve_adverse_events(caller.desk)
    rpc = BY_NAME["AnonymisePatient"]
    await caller.send(rpc, caller.filled(rpc), everybody(caller.desk))
    assert "AnonymisePatient" in caller.heard.answered, caller.heard.refusals
    assert await found_in_tables(caller.desk, *tables, "name_spelling") == []


async def resolve_adverse_events(desk: Desk) -> None:
    """Nobody is forgotten before."""
    open_ones = await desk.service.admin.fetch("SELECT id FROM adverse_event WHERE outcome IS NULL")
    for row in open_ones:
        named = {"adverse_event_id": to_wire("adverseevent", row["id"])}
        event = (await call_adverse_events(desk, "GetAdverseEvent", **named)).adverse_event
        await call_adverse_events(desk, "ResolveAdverseEvent", **named, etag=event.etag, outcome="OUTCOME_RECOVERED")


async def tables_of_patients(desk: Desk) -> list[str]:
    """With whatever was remembered of answers."""
    column = "SELECT table_name FROM information_schema.columns WHERE column_name = 'patient_id' ORDER BY table_name"
    found = [row["table_name"] for row in await desk.service.admin.fetch(column)]
    return ["patient", "patient_merge", "glass_review", "idempotency", *found]


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.name)
def test_every_text_that_a_caller_may_choose_gets_a_canary(rpc: MethodDescriptor) -> None:
    """A field whose rules no canary passes would go unwatched."""
    request = Canaries(etag=str(uuid4())).fill(GetMessageClass(rpc.input_type)(), 1)
    nested = "content.rules.when.groups.groups."  # Conditions as deep as they go.
    known = ("page_token", "etag")
    empty = [path for path in _empty_texts(request) if not path.endswith(known) and not path.startswith(nested)]
    assert empty == []


def _empty_texts(message: Any, above: str = "") -> Iterator[str]:
    for each in message.DESCRIPTOR.fields:
        value = getattr(message, each.name)
        if each.message_type:
            for part in value if each.is_repeated else ([value] if message.HasField(each.name) else []):
                yield from _empty_texts(part, f"{above}{each.name}.")
        elif each.type == each.TYPE_STRING and not value and each.containing_oneof is None:
            yield above + each.name
