"""The job that writes documents: lease, look up who the patient is, render, encrypt, keep.

Nobody's name stands in billing's database but encrypted. A writer that dies leaves its work leased; whoever takes it up
then writes the document under the same id, and none is kept twice. Nothing is looked up or rendered in a transaction.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from chassis.call import Call
from chassis.client import connect
from chassis.clock import Clock
from chassis.db import Database
from chassis.ids import to_wire
from chassis.jobs import in_each, job_call, keep_looking
from chassis.keyring import KeyMissing, KeyRing
from chassis.tables import NO_CHAIN
from services.billing.clients import Patients, PatientsAway
from services.billing.domain.printing import Order, PrintedKind, Written, delay_after, kept_until
from services.billing.printing import dumps, pdf
from services.billing.settings import BillingSettings
from services.billing.store import BillingStore

log = structlog.get_logger()

TEMPLATES: Mapping[PrintedKind, str] = {
    PrintedKind.ESTIMATE: "estimate",
    PrintedKind.INVOICE: "invoice",
    PrintedKind.CREDIT_NOTE: "credit_note",
    PrintedKind.RECEIPT: "receipt",
    PrintedKind.REFUND_RECEIPT: "receipt",
}
"""The typst template of each kind, by the stem of its file."""
POLL_S = 0.5
FAILED = "documents.not_taken"
AT_ONCE_MAX = 5
LEASE = timedelta(seconds=60)


async def write_documents(db: Database, settings: BillingSettings, clock: Clock) -> None:
    """Until cancelled."""
    async with connect(settings.patients_address, settings.tls, settings.patients_tls_name) as channel:
        writer = Writer(db, Patients(settings, channel), KeyRing(settings.document_keys_file), clock)
        await keep_looking(writer.write_some, POLL_S, FAILED)


class Writer:
    def __init__(
        self,
        db: Database,
        patients: Patients,
        keys: KeyRing,
        clock: Clock,
        render: Callable[..., bytes] = pdf,
    ) -> None:
        self._db, self._patients, self._keys, self._clock, self._render = db, patients, keys, clock, render

    async def write_some(self) -> int:
        """A few documents of each chain; how many it saw to."""
        chains = await self._db.job(self._call(NO_CHAIN), BillingStore, BillingStore.served_chains)
        return await in_each(chains, self._of_chain, FAILED)

    async def _of_chain(self, chain_id: UUID) -> int:
        take = partial(BillingStore.take_work, limit=AT_ONCE_MAX, hold=LEASE)
        orders = await self._db.job(self._call(chain_id), BillingStore, take)
        for order in orders:
            await self.see_to(chain_id, order)
        return len(orders)

    async def see_to(self, chain_id: UUID, order: Order) -> None:
        """Written and kept, or put off."""
        call, document_id = self._call(chain_id), to_wire("document", order.id)
        try:
            written = await self._write(call, order)
        except PatientsAway as error:
            await self._put_off(call, order, error.code)
        except KeyMissing:
            log.error("document.no_key", document_id=document_id)
            await self._put_off(call, order, "KEY_MISSING")
        except Exception as error:
            log.exception("document.not_written", document_id=document_id)
            await self._put_off(call, order, type(error).__name__)
        else:
            await self._db.job(call, BillingStore, lambda store: store.keep_document(order, written))
            log.info("document.written", document_id=document_id)

    async def _write(self, call: Call, order: Order) -> Written:
        patient = await self._patients.on_paper(call.chain_id, order, call.traceparent)
        content = {**order.content, "patient": patient}
        made = await asyncio.to_thread(self._render, TEMPLATES[order.kind], content, order.ordered_at)
        return self._sealed(order, made, content)

    def _sealed(self, order: Order, made: bytes, content: Mapping[str, Any]) -> Written:
        sealed = self._keys.seal(made, "pdf", order.id)
        snapshot = self._keys.seal(dumps(content).encode(), "snapshot", order.id)
        if snapshot.key_id != sealed.key_id:
            raise KeyMissing("the key changed while a document was written")
        return Written(sealed.key_id, sealed.text, snapshot.text, kept_until(order.day))

    async def _put_off(self, call: Call, order: Order, error: str) -> None:
        hold = delay_after(order.attempts)
        await self._db.job(call, BillingStore, lambda store: store.put_off(order.id, hold, error))
        log.info("document.put_off", document_id=to_wire("document", order.id), error=error)

    def _call(self, chain_id: UUID) -> Call:
        return job_call("billing", "documents", chain_id, self._clock())
