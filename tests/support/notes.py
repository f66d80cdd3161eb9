"""A service of no clinical meaning, with which the chassis is tested: notes, which it takes, and files on shelves.

Its protos stand under tests/support/protos and are compiled when this module is imported. It reads events of its own
stream and of another one, SHELVES.
"""

import asyncio
import atexit
import importlib
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID, uuid4

import asyncpg
import grpc_tools
from google.protobuf.descriptor import ServiceDescriptor
from grpc_tools import protoc
from sqlalchemy import Column, Index, MetaData, Text, UniqueConstraint, Uuid, func, insert, or_, select
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.call import Call
from chassis.db import Database
from chassis.errors import DomainError, Kind, NotYetKnown
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.provision import provision
from chassis.service import Service
from chassis.sql import Statement, param, params
from chassis.store import Apart, NotedRead, Settling, Store
from chassis.tables import chain_table, security, service_metadata
from chassis.trail import AuditServicer
from tests.support.servers import password_of

ROOT = Path(__file__).parents[2]


def _compile(folder: Path) -> None:
    protos = Path(__file__).with_name("protos")
    files = sorted(str(path.relative_to(protos)) for path in protos.glob("**/*.proto"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    inputs = [f"--descriptor_set_in={ROOT / 'gen' / 'validate.binpb'}", f"-I{protos}", f"-I{ROOT / 'protos'}"]
    outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    if protoc.main(["protoc", *inputs, f"-I{well_known}", *outputs, *files]) != 0:
        raise RuntimeError("protoc failed")


_generated = Path(tempfile.mkdtemp(prefix="atoll-notes-"))
atexit.register(shutil.rmtree, _generated, ignore_errors=True)
_compile(_generated)
sys.path.append(str(_generated))

pb: Any = importlib.import_module("atoll.notes.v1.note_service_pb2")
pb_grpc: Any = importlib.import_module("atoll.notes.v1.note_service_pb2_grpc")
audit_pb: Any = importlib.import_module("atoll.notes.v1.audit_service_pb2")
audit_pb_grpc: Any = importlib.import_module("atoll.notes.v1.audit_service_pb2_grpc")
_notes_events: Any = importlib.import_module("atoll.notes.v1.events_pb2")
_shelves_events: Any = importlib.import_module("atoll.shelves.v1.events_pb2")
NoteTaken, NoteFiled = _notes_events.NoteTaken, _notes_events.NoteFiled
ShelvesOpened = _shelves_events.ShelvesOpened
DESCRIPTOR: ServiceDescriptor = pb.DESCRIPTOR.services_by_name["NoteService"]
AUDIT: ServiceDescriptor = audit_pb.DESCRIPTOR.services_by_name["AuditService"]


class TitleTaken(DomainError):
    kind, reason, message = Kind.CONFLICT, "TITLE_TAKEN", "another note has this title"


class NoteNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "NOTE_NOT_FOUND", "no such note"


metadata: MetaData = service_metadata()
note = chain_table(
    "note",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("site_id", Uuid, nullable=False),
    Column("patient_id", Uuid),
    Column("title", Text, nullable=False),
    UniqueConstraint("chain_id", "title"),
)
Index("note_by_title", note.c.chain_id, note.c.title, note.c.id)
shelf = chain_table("shelf", metadata, Column("id", Uuid, primary_key=True))
# Each has an id of its own, so that no natural key hides that an event had its effect twice.
filing = chain_table(
    "filing",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("note_id", Uuid, nullable=False),
    append_only=True,
)

_NOTE = ("chain_id", "id", "site_id", "patient_id", "title")
_new_note = insert(note).values(params(*_NOTE))
ADD_LAST = Settling(_new_note.cte("new_note"))
ADD = Statement(_new_note)
_get = select(note).where(note.c.chain_id == param("chain_id"), note.c.id == param("id"))
GET = Statement(_get)
GET_APART = Apart(_get)
GET_NOTED = NotedRead(_get, shown=lambda found: func.array_remove(array([found.c.patient_id]), None))
_after = func.row(note.c.title, note.c.id) > func.row(param("title"), param("id"))
LIST = Statement(
    select(note)
    .where(note.c.chain_id == param("chain_id"))
    .where(or_(param("title", Text).is_(None), _after))
    .order_by(note.c.title, note.c.id)
    .limit(param("limit"))
)
OPEN = Statement(pg_insert(shelf).values(params("chain_id", "id")).on_conflict_do_nothing())
SHELF = Statement(select(shelf.c.id).where(shelf.c.chain_id == param("chain_id"), shelf.c.id == param("id")))
FILE = Statement(insert(filing).values(params("chain_id", "id", "note_id")))


class NoteStore(Store):
    subject_kind = "patient"
    refusals: ClassVar[Mapping[str, type[DomainError]]] = {"note_chain_id_title_key": TitleTaken}

    async def note(self, id: UUID) -> Any:
        row = await self.row(GET, id=id)
        if row is None:
            raise NoteNotFound()
        return row


def to_note(row: Any) -> Any:
    patient = to_wire("patient", row["patient_id"]) if row["patient_id"] else ""
    return pb.Note(
        id=to_wire("note", row["id"]), site_id=to_wire("site", row["site_id"]), patient_id=patient, title=row["title"]
    )


def new_note(request: Any) -> dict[str, Any]:
    patient = from_wire("patient", request.patient_id) if request.patient_id else None
    return {
        "id": new_id(),
        "site_id": from_wire("site", request.site_id),
        "patient_id": patient,
        "title": request.title,
    }


def add(store: NoteStore, row: dict[str, Any]) -> Any:
    """Written with the settling of the change, in one round trip."""
    store.write_last(ADD_LAST, **row)
    taken = NoteTaken(note_id=to_wire("note", row["id"]), site_id=to_wire("site", row["site_id"]))
    store.emit(taken, about=row["id"], version=1)
    return pb.CreateNoteResponse(note=to_note(row))


class NoteServicer:
    closed: ClassVar[list[str]] = []
    """Sites whose stream has ended, in their order."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateNote(self, request: Any, call: Call) -> Any:
        async def work(store: NoteStore) -> Any:
            return add(store, new_note(request))

        return await self._db.once(call, request, pb.CreateNoteResponse, NoteStore, work)

    async def GetNote(self, request: Any, call: Call) -> Any:
        async def work(store: NoteStore) -> Any:
            return pb.GetNoteResponse(note=to_note(await store.note(from_wire("note", request.note_id))))

        return await self._db.read(call, request, NoteStore, work)

    async def ListNotes(self, request: Any, call: Call) -> Any:
        page = Page.of(request, call)
        title, id = (page.after[0], UUID(page.after[1])) if page.after else (None, None)

        async def work(store: NoteStore) -> Any:
            found = await store.rows(LIST, title=title, id=id, limit=page.limit)
            rows, token = page.cut(found, key=lambda row: [row["title"], str(row["id"])])
            return pb.ListNotesResponse(notes=map(to_note, rows), next_page_token=token)

        return await self._db.read(call, request, NoteStore, work)

    async def WatchNotes(self, request: Any, call: Call) -> AsyncGenerator[Any, None]:
        try:
            for n in range(request.count):
                title = str(n).rjust(request.title_size, ".")
                yield pb.WatchNotesResponse(note=pb.Note(title=title, site_id=request.site_id, remark="for staff"))
                await asyncio.sleep(request.pause_ms / 1e3)
            if request.ending == pb.ENDING_REFUSAL:
                raise NoteNotFound()
            if request.ending == pb.ENDING_BUG:
                raise ZeroDivisionError("of which nobody outside hears")
        finally:
            self.closed.append(request.site_id)


async def open_shelves(store: NoteStore, event: Any) -> None:
    for each in event.shelves:
        await store.rows(OPEN, id=from_wire("shelf", each.id))


async def file_note(store: NoteStore, event: Any) -> None:
    if event.shelf_id:
        shelf_id = from_wire("shelf", event.shelf_id)
        if not await store.row(SHELF, id=shelf_id):
            raise NotYetKnown("shelf", shelf_id)
    note_id = from_wire("note", event.note_id)
    await store.rows(FILE, id=new_id(), note_id=note_id)
    store.emit(NoteFiled(note_id=event.note_id), about=note_id, version=2)


SERVICE = Service(
    name="notes",
    store_type=NoteStore,
    servicers=lambda db: {DESCRIPTOR: NoteServicer(db), AUDIT: AuditServicer(db, NoteStore, AUDIT)},
    reads={"NOTES": {NoteTaken: file_note}, "SHELVES": {ShelvesOpened: open_shelves}},
)


async def create_notes_template(server_url: str) -> None:
    """Roles, and a database with the tables as a migration would make them, to be cloned for each test."""
    admin = await asyncpg.connect(server_url)
    await admin.execute("DROP DATABASE IF EXISTS notes_template WITH (FORCE)")
    await admin.close()
    urls = await provision(server_url, "notes", database="notes_template", password=password_of(server_url))
    engine = create_async_engine(urls.owner.replace("postgresql://", "postgresql+asyncpg://", 1))
    async with engine.begin() as conn:
        await conn.run_sync(metadata.create_all)
        for table in metadata.sorted_tables:
            for statement in security(table, "notes"):
                await conn.exec_driver_sql(statement)
    await engine.dispose()


def create_request(site_id: UUID, **changes: Any) -> Any:
    fields = {"request_id": str(uuid4()), "site_id": to_wire("site", site_id), "title": str(uuid4())}
    return pb.CreateNoteRequest(**fields | changes)
