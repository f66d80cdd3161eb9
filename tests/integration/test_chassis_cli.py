"""`atoll events` and `atoll audit`, against a stack that is one service's database."""

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from typer.testing import CliRunner, Result

from chassis.backlog import show_backlog
from chassis.consumer import Consumer, Letter
from chassis.errors import NotYetKnown
from chassis.heads import Exporter
from chassis.ids import new_id, to_wire
from chassis.pool import open_pool
from chassis.sealer import Sealer
from cli.app import build
from deploy.local.home import Home, ProcessInfo, ServiceInfo, StackInfo
from deploy.local.process import LocalError
from deploy.local.stack import Options, Stack
from tests.support.notes import NoteNotFound, NoteStore, NoteTaken, create_request, file_note, pb_grpc
from tests.support.service import Running
from tests.support.webhooks import until

NO_NATS = "nats://127.0.0.1:1"


@pytest.fixture
def home(notes: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A stack as it describes itself."""
    monkeypatch.setenv("ATOLL_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "250")
    home, nowhere = Home.default(), "127.0.0.1:1"
    services = {"notes": ServiceInfo(nowhere, nowhere, nowhere, notes.urls)}
    described: dict[str, Any] = {name: "" for name in StackInfo.__dataclass_fields__}
    described |= {"supervisor": ProcessInfo.of(os.getpid()), "services": services, "processes": {}}
    home.record(StackInfo(**described))
    return home


async def atoll(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, build(), arguments)


async def bury(
    notes: Running,
    message_id: str,
    payload: bytes | None = None,
    error: Exception | None = None,
    consumer: str = "notes",
) -> None:
    chain = to_wire("chain", notes.chain_id)
    event = NoteTaken(note_id=to_wire("note", new_id()))
    event.meta.chain_id, event.meta.event_id = chain, str(uuid4())
    letter = Letter(
        message_id, f"notes.v1.note.taken.{chain}", event.SerializeToString() if payload is None else payload
    )
    reader = Consumer(notes.db, consumer, NoteStore, {NoteTaken: file_note}, notes.clock)
    await reader.bury(letter, error or NotYetKnown("shelf", new_id()))


async def look(notes: Running, times: int = 1) -> None:
    for _ in range(times):
        stub, token = notes.stub(pb_grpc.NoteServiceStub), notes.token("ROLE_FRONT_DESK")
        await notes.call(stub.CreateNote, create_request(new_id()), token)


async def seal(notes: Running) -> None:
    async with open_pool(notes.urls.sealer, size=1) as pool:
        await Sealer(pool).seal()


async def test_dead_letters_are_listed_with_what_they_wait_for(notes: Running, home: Home) -> None:
    assert "There are none." in (await atoll("events", "dead-letters", "list")).output
    await bury(notes, "letter-1")
    output = (await atoll("events", "dead-letters", "list")).output
    for word in ("notes", "letter-1", "notes.v1.note.taken", "NOT_YET_KNOWN", "shelf_"):
        assert word in output


async def test_a_dead_letter_is_shown_with_what_it_holds(notes: Running, home: Home) -> None:
    await bury(notes, "letter-1")
    await bury(notes, "letter-2", b"\xff")
    assert '"note_id": "note_' in (await atoll("events", "dead-letters", "show", "letter-1")).output
    assert (
        "1 bytes that are no atoll.notes.v1.NoteTaken"
        in (await atoll("events", "dead-letters", "show", "letter-2")).output
    )
    assert (await atoll("events", "dead-letters", "show", "letter-3")).exit_code == 1


async def asked_for(notes: Running) -> list[str]:
    rows = await notes.admin.fetch("SELECT message_id FROM dead_letter WHERE replay_at IS NOT NULL ORDER BY 1")
    return [row["message_id"] for row in rows]


async def test_a_named_dead_letter_or_all_of_them_are_asked_to_be_tried_again(notes: Running, home: Home) -> None:
    for n in (1, 2, 3):
        await bury(notes, f"letter-{n}", error=NoteNotFound())
    assert (await atoll("events", "dead-letters", "replay")).exit_code == 1
    assert (await atoll("events", "dead-letters", "replay", "letter-2", "--all")).exit_code == 1
    assert await asked_for(notes) == []
    assert (await atoll("events", "dead-letters", "replay", "letter-2")).exit_code == 0
    assert await asked_for(notes) == ["letter-2"]
    for consumer in ("notes", "shelves"):
        await bury(notes, "letter-0", error=NoteNotFound(), consumer=consumer)
    some = await atoll("events", "dead-letters", "replay", "letter-0", "letter-9", "letter-8")
    assert str(some.exception) == "2 letters are tried again; there is no letter letter-8, letter-9"
    await notes.admin.execute("DELETE FROM dead_letter WHERE message_id = 'letter-0'")
    assert "3 letters" in (await atoll("events", "dead-letters", "replay", "--all")).output
    assert await asked_for(notes) == ["letter-1", "letter-2", "letter-3"]


async def test_a_service_that_does_not_exist_is_named(notes: Running, home: Home) -> None:
    result = await atoll("events", "dead-letters", "list", "--service", "nots")
    assert str(result.exception) == "no service nots: there are notes"


async def test_dead_letters_of_a_deployment_are_seen_and_tried_again(notes: Running, home: Home) -> None:
    home.stack_file.unlink()  # No stack runs here.
    await bury(notes, "letter-1")
    of = "--database", f"notes={notes.urls.relay}"
    assert "letter-1" in (await atoll("events", "dead-letters", "list", *of)).output
    assert (await atoll("events", "dead-letters", "show", "letter-1", *of)).exit_code == 0
    assert "1 letters" in (await atoll("events", "dead-letters", "replay", "letter-1", *of)).output
    assert await asked_for(notes) == ["letter-1"]
    assert (await atoll("events", "replay", "--since", "2h", *of)).exit_code == 0
    assert "is NAME=URL" in str((await atoll("events", "dead-letters", "list", "--database", "notes")).exception)
    away = await atoll("events", "dead-letters", "list", "--database", "notes=postgresql://nobody@127.0.0.1:1/none")
    assert "the database of notes cannot be asked" in str(away.exception)


@pytest.mark.parametrize(
    "command", [("protocols", "list"), ("codes", "list"), ("patients", "access-report", "patient_1")]
)
async def test_what_asks_an_api_asks_the_one_that_is_named_and_waits_no_minute_for_one_that_never_answered(
    command: tuple[str, ...], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.client.FIRST_S", 0.5)
    home.stack_file.unlink()
    result = await asyncio.wait_for(atoll(*command, "--edge", "http://127.0.0.1:1", "--token", "theirs"), 30)
    assert isinstance(result.exception, LocalError)
    assert "UNAVAILABLE" in str(result.exception)


async def test_a_nats_that_no_service_can_use_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"ATOLL_NATS_URL names a server that cannot be used: .*Connect call failed"):
        async with Stack(replace(Options.anywhere(tmp_path), nats_url=NO_NATS)):
            pass


async def test_a_nats_elsewhere_that_is_away_ends_the_status_with_one(notes: Running, home: Home) -> None:
    described = json.loads(home.stack_file.read_text())
    home.stack_file.write_text(json.dumps(described | {"nats_url": NO_NATS}))
    result = await atoll("status")
    assert result.exit_code == 1
    assert "Connect call failed" in result.output


async def test_what_waits_is_in_the_metrics_of_whoever_is_elected(notes: Running) -> None:
    await look(notes, times=2)
    await notes.admin.execute("UPDATE outbox SET created_at = now() - interval '90 s' WHERE position = 1")
    await bury(notes, "letter-1")
    async with open_pool(notes.urls.relay, size=1) as pool:
        elected = asyncio.create_task(show_backlog(pool))
        await until(lambda: bool(REGISTRY.get_sample_value("atoll_dead_letters")))
        assert REGISTRY.get_sample_value("atoll_dead_letters") == 1
        assert REGISTRY.get_sample_value("atoll_outbox_backlog") == 2
        assert 90 <= (REGISTRY.get_sample_value("atoll_outbox_oldest_seconds") or 0) < 120
        elected.cancel()
        await asyncio.wait([elected])
    assert REGISTRY.get_sample_value("atoll_dead_letters") == 0  # Another process tells from now on.


@pytest.mark.parametrize(("since", "again"), [("2h", 1), ("1d", 2), ("30m", 0), ("2000-01-01", 2)])
async def test_events_recorded_since_then_are_published_again(
    notes: Running, home: Home, since: str, again: int
) -> None:
    await look(notes, times=2)
    await notes.admin.execute(
        "UPDATE outbox SET published_at = now(), created_at = now() - interval '1 hour' * position"
    )
    await notes.admin.execute("UPDATE outbox SET created_at = now() - interval '5 h' WHERE position = 2")
    result = await atoll("events", "replay", "--since", since)
    assert result.exit_code == 0
    assert await notes.admin.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NULL") == again


@pytest.mark.parametrize("command", ["audit verify", "audit heads", "events dead-letters list"])
async def test_a_database_that_is_away_is_named(home: Home, command: str) -> None:
    home.make_keys()
    away = await atoll(*command.split(), "--database", "notes=postgresql://notes@127.0.0.1:1/notes")
    assert isinstance(away.exception, LocalError)
    assert "the database of notes cannot be asked" in str(away.exception)


async def test_a_while_that_is_none_is_refused(home: Home) -> None:
    result = await atoll("events", "replay", "--since", "yesterday")
    assert str(result.exception) == "'yesterday' is neither an instant nor a while ago, as 2h or 3d"


async def test_an_intact_trail_is_said_to_be_so(notes: Running, home: Home) -> None:
    await look(notes, times=2)
    await seal(notes)
    await look(notes)
    result = await atoll("audit", "verify")
    assert result.exit_code == 0
    assert "intact" in result.output
    row = next(line for line in result.output.splitlines() if line.strip().startswith("notes")).split()
    assert row[2:4] == ["2", "1"]  # Sealed, and not yet.


async def test_a_trail_that_was_touched_ends_the_command_with_one(notes: Running, home: Home) -> None:
    await look(notes, times=3)
    await seal(notes)
    await notes.admin.execute("UPDATE audit SET actor = 'another' WHERE position = 2")
    result = await atoll("audit", "verify")
    assert result.exit_code == 1
    assert "row 2 was changed or moved" in result.output


async def test_a_row_that_the_sealer_leaves_alone_ends_the_command_with_one(
    notes: Running, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.audit.verify.LATE_S", 0.01)
    await look(notes, times=2)
    await notes.admin.execute("CREATE TABLE kept AS SELECT * FROM audit; DELETE FROM audit WHERE position = 1")
    await seal(notes)
    await notes.admin.execute("INSERT INTO audit OVERRIDING SYSTEM VALUE SELECT * FROM kept WHERE position = 1")
    result = await atoll("audit", "verify")
    assert result.exit_code == 1
    assert "1 rows were put in below the seals" in result.output


async def export(notes: Running, home: Home, file: Path) -> None:
    async with open_pool(notes.urls.sealer, size=1) as pool:
        await Exporter(pool, "notes", file, home.audit_key).export()


async def test_a_trail_whose_end_was_cut_off_is_found_by_what_the_stack_exported(notes: Running, home: Home) -> None:
    await look(notes, times=3)
    await seal(notes)
    home.make_keys()
    await export(notes, home, home.audit_heads / "notes.jsonl")
    result = await atoll("audit", "verify")
    assert result.exit_code == 0
    row = next(line for line in result.output.splitlines() if line.strip().startswith("notes")).split()
    assert row[2:4] == ["3", "3"]  # Sealed, and exported.
    await notes.admin.execute("DELETE FROM audit_seal; DELETE FROM audit")
    result = await atoll("audit", "verify")
    assert result.exit_code == 1
    assert "it ends at seal 0, before the exported 3" in result.output


async def test_heads_that_were_kept_elsewhere_and_their_keys_are_named(
    notes: Running, home: Home, tmp_path: Path
) -> None:
    await look(notes, times=3)
    await seal(notes)
    home.make_keys()
    kept, keys = tmp_path / "heads", tmp_path / "keys"
    kept.write_text((await atoll("audit", "heads")).output)
    [head] = map(json.loads, kept.read_text().splitlines())
    assert (head["service"], head["chain"], head["sequence"]) == ("notes", to_wire("chain", notes.chain_id), 3)
    home.audit_key.rename(keys)
    database = f"notes={notes.urls.sealer}"  # Of a deployment, where no stack runs here.
    home.stack_file.unlink()
    verify = "audit", "verify", "--heads", str(kept), "--keys", str(keys), "--database", database
    assert (await atoll(*verify)).exit_code == 0
    await notes.admin.execute("DELETE FROM audit_seal WHERE sequence = 3; DELETE FROM audit WHERE position = 3")
    result = await atoll(*verify)
    assert result.exit_code == 1
    assert "it ends at seal 2, before the exported 3" in result.output


async def test_heads_that_were_changed_end_the_command_with_one(notes: Running, home: Home, tmp_path: Path) -> None:
    home.make_keys()
    (tmp_path / "heads").write_text("nonsense\n")
    result = await atoll("audit", "verify", "--heads", str(tmp_path / "heads"))
    assert result.exit_code == 1
    assert "line 1 of heads is no head" in result.output
