"""Messages to commands and back, by noun. No rules, no SQL."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor

from atoll.billing.v1 import (
    account_service_pb2,
    document_service_pb2,
    estimate_service_pb2,
    invoice_service_pb2,
    ledger_service_pb2,
    payment_service_pb2,
    price_book_service_pb2,
)
from chassis.db import Database
from services.billing.printing.keys import KeyRing
from services.billing.rpc.accounts import AccountServicer
from services.billing.rpc.documents import DocumentServicer
from services.billing.rpc.estimates import EstimateServicer
from services.billing.rpc.invoices import InvoiceServicer
from services.billing.rpc.ledger import LedgerServicer
from services.billing.rpc.payments import PaymentServicer
from services.billing.rpc.price_books import PriceBookServicer


def servicers(db: Database, keys: KeyRing | None = None) -> Mapping[ServiceDescriptor, object]:
    """`keys`: those of the environment, unless others are given."""
    return {
        price_book_service_pb2.DESCRIPTOR.services_by_name["PriceBookService"]: PriceBookServicer(db),
        estimate_service_pb2.DESCRIPTOR.services_by_name["EstimateService"]: EstimateServicer(db),
        payment_service_pb2.DESCRIPTOR.services_by_name["PaymentService"]: PaymentServicer(db),
        invoice_service_pb2.DESCRIPTOR.services_by_name["InvoiceService"]: InvoiceServicer(db),
        account_service_pb2.DESCRIPTOR.services_by_name["AccountService"]: AccountServicer(db),
        ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"]: LedgerServicer(db),
        document_service_pb2.DESCRIPTOR.services_by_name["DocumentService"]: DocumentServicer(
            db, keys or KeyRing.of_environment()
        ),
    }
