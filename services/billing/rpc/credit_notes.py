"""Credit notes."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from atoll.billing.v1 import credit_note_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.money import from_wire as money_from_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.billing.domain.credit_notes import Asked, CreditLine, CreditNote, CreditPurpose, CreditReason
from services.billing.rpc.common import PREFIXES, before_id
from services.billing.store import BillingStore
from services.billing.use_cases import credit_notes


class CreditNoteServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateCreditNote(self, request: pb.CreateCreditNoteRequest, call: Call) -> pb.CreateCreditNoteResponse:
        command = credit_notes.CreateCreditNote(
            invoice_id=from_wire("invoice", request.invoice_id),
            lines=tuple(_asked(line, i) for i, line in enumerate(request.lines)),
            reason=CreditReason(request.reason),
            note=request.note,
            purpose=CreditPurpose(request.purpose),
        )

        async def work(store: BillingStore) -> pb.CreateCreditNoteResponse:
            made = await credit_notes.create_credit_note(store, command)
            return pb.CreateCreditNoteResponse(credit_note=credit_note_to_wire(made))

        return await self._db.once(call, request, pb.CreateCreditNoteResponse, BillingStore, work)

    async def GetCreditNote(self, request: pb.GetCreditNoteRequest, call: Call) -> pb.GetCreditNoteResponse:
        credit_note_id = from_wire("creditnote", request.credit_note_id)
        found = await self._db.read(call, request, BillingStore, lambda store: store.credit_note(credit_note_id))
        return pb.GetCreditNoteResponse(credit_note=credit_note_to_wire(found))

    async def ListCreditNotes(self, request: pb.ListCreditNotesRequest, call: Call) -> pb.ListCreditNotesResponse:
        page = Page.of(request, call)
        found = await self._db.read(call, request, BillingStore, _listing(request, page))
        kept, token = page.cut(found, key=lambda note: [str(note.id)])
        return pb.ListCreditNotesResponse(
            credit_notes=[credit_note_to_wire(each) for each in kept], next_page_token=token
        )


def _listing(request: pb.ListCreditNotesRequest, page: Page) -> Callable[[BillingStore], Awaitable[list[CreditNote]]]:
    if request.display_number:
        return lambda store: store.credit_notes_by_number(request.display_number, before_id(page), page.limit)
    return lambda store: store.credit_notes(*_about(request), before_id(page), page.limit)


def _about(request: pb.ListCreditNotesRequest) -> tuple[str, UUID]:
    prefixes = PREFIXES | {"invoice_id": "invoice"}
    field = request.WhichOneof("about")
    assert field
    return field, from_wire(prefixes[field], getattr(request, field))


def _asked(line: pb.CreateCreditNoteRequest.Line, place: int) -> Asked:
    charge_id = from_wire("charge", line.charge_id)
    if line.WhichOneof("what") == "quantity":
        return Asked(charge_id, quantity=line.quantity)
    return Asked(charge_id, money_from_wire(line.amount, f"lines[{place}].amount"))


def credit_note_to_wire(note: CreditNote) -> pb.CreditNote:
    return pb.CreditNote(
        id=to_wire("creditnote", note.id),
        site_id=to_wire("site", note.site_id),
        legal_entity_id=to_wire("legalentity", note.legal_entity_id),
        number=note.number,
        display_number=note.display_number,
        invoice_id=to_wire("invoice", note.invoice_id),
        patient_id=to_wire("patient", note.patient_id),
        lines=map(_line, note.lines),
        total=money_to_wire(note.total),
        reason=pb.CreditReason.ValueType(note.reason),
        note=note.note,
        purpose=pb.CreditPurpose.ValueType(note.purpose),
        offset=money_to_wire(note.offset),
        returned=money_to_wire(note.returned),
        issue_time=to_timestamp(note.issued_at),
        made_by=note.made_by,
    )


def _line(line: CreditLine) -> pb.CreditNote.Line:
    return pb.CreditNote.Line(
        charge_id=to_wire("charge", line.charge_id),
        description=line.description,
        quantity=line.quantity,
        amount=money_to_wire(line.amount),
        tax=money_to_wire(line.tax),
        included_tax=money_to_wire(line.included_tax),
        total=money_to_wire(line.total),
    )
