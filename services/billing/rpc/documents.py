"""Documents as they are given to patients."""

import structlog

from atoll.billing.v1 import document_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.keyring import KeyMissing, KeyRing, Sealed, TextRefused
from chassis.times import to_date, to_timestamp
from services.billing.domain.printing import DocumentKeysMissing, DocumentRefused, Kept, PrintedKind
from services.billing.store import BillingStore

log = structlog.get_logger()

SHOWN = {
    "estimate_id": ("estimate", PrintedKind.ESTIMATE),
    "invoice_id": ("invoice", PrintedKind.INVOICE),
    "credit_note_id": ("creditnote", PrintedKind.CREDIT_NOTE),
    "payment_id": ("payment", PrintedKind.RECEIPT),
    "refund_id": ("refund", PrintedKind.REFUND_RECEIPT),
}
"""What a field of GetDocumentRequest is the id of, and the kind of document that shows it."""


class DocumentServicer:
    def __init__(self, db: Database, keys: KeyRing) -> None:
        self._db, self._keys = db, keys

    async def GetDocument(self, request: pb.GetDocumentRequest, call: Call) -> pb.GetDocumentResponse:
        field = str(request.WhichOneof("about"))
        name, kind = SHOWN[field]
        subject_id = from_wire(name, getattr(request, field))
        kept = await self._db.read(call, request, BillingStore, lambda store: store.document(kind, subject_id))
        order, written = kept.order, kept.written
        document = pb.PrintedDocument(
            kind=pb.PrintedKind.ValueType(order.kind),
            subject_id=to_wire(name, order.subject_id),
            version=order.version,
            patient_id=to_wire("patient", order.patient_id),
            site_id=to_wire("site", order.site_id),
            pdf=self._opened(kept),
            create_time=to_timestamp(kept.written_at),
            keep_date=to_date(written.keep_until),
            voided=kept.voided,
        )
        return pb.GetDocumentResponse(document=document)

    def _opened(self, kept: Kept) -> bytes:
        written = kept.written
        try:
            return self._keys.open(Sealed(written.key_id, written.pdf), "pdf", kept.order.id)
        except KeyMissing as error:
            refused = isinstance(error, TextRefused)
            log.error("document.refused", document_id=to_wire("document", kept.order.id), moved=refused)
            raise DocumentRefused() if refused else DocumentKeysMissing() from error
