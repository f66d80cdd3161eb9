"""Messages to commands and back, by noun. No rules, no SQL."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor

from atoll.billing.v1 import (
    account_service_pb2,
    billing_profile_service_pb2,
    charge_service_pb2,
    code_service_pb2,
    credit_note_service_pb2,
    document_service_pb2,
    estimate_service_pb2,
    invoice_service_pb2,
    ledger_service_pb2,
    package_sale_service_pb2,
    package_service_pb2,
    payment_service_pb2,
    price_book_service_pb2,
    settlement_service_pb2,
    tax_service_pb2,
)
from chassis.db import Database
from services.billing.printing.keys import KeyRing
from services.billing.rpc.accounts import AccountServicer
from services.billing.rpc.billing_profiles import BillingProfileServicer
from services.billing.rpc.charges import ChargeServicer
from services.billing.rpc.codes import CodeServicer
from services.billing.rpc.credit_notes import CreditNoteServicer
from services.billing.rpc.documents import DocumentServicer
from services.billing.rpc.estimates import EstimateServicer
from services.billing.rpc.invoices import InvoiceServicer
from services.billing.rpc.ledger import LedgerServicer
from services.billing.rpc.packages import PackageServicer
from services.billing.rpc.payments import PaymentServicer
from services.billing.rpc.price_books import PriceBookServicer
from services.billing.rpc.sales import PackageSaleServicer
from services.billing.rpc.settlements import SettlementServicer
from services.billing.rpc.tax import TaxServicer


def servicers(db: Database, keys: KeyRing | None = None) -> Mapping[ServiceDescriptor, object]:
    """`keys`: those of the environment, unless others are given."""
    return {
        price_book_service_pb2.DESCRIPTOR.services_by_name["PriceBookService"]: PriceBookServicer(db),
        estimate_service_pb2.DESCRIPTOR.services_by_name["EstimateService"]: EstimateServicer(db),
        payment_service_pb2.DESCRIPTOR.services_by_name["PaymentService"]: PaymentServicer(db),
        invoice_service_pb2.DESCRIPTOR.services_by_name["InvoiceService"]: InvoiceServicer(db),
        account_service_pb2.DESCRIPTOR.services_by_name["AccountService"]: AccountServicer(db),
        ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"]: LedgerServicer(db),
        billing_profile_service_pb2.DESCRIPTOR.services_by_name["BillingProfileService"]: BillingProfileServicer(db),
        code_service_pb2.DESCRIPTOR.services_by_name["CodeService"]: CodeServicer(db),
        package_service_pb2.DESCRIPTOR.services_by_name["PackageService"]: PackageServicer(db),
        package_sale_service_pb2.DESCRIPTOR.services_by_name["PackageSaleService"]: PackageSaleServicer(db),
        settlement_service_pb2.DESCRIPTOR.services_by_name["SettlementService"]: SettlementServicer(db),
        charge_service_pb2.DESCRIPTOR.services_by_name["ChargeService"]: ChargeServicer(db),
        credit_note_service_pb2.DESCRIPTOR.services_by_name["CreditNoteService"]: CreditNoteServicer(db),
        tax_service_pb2.DESCRIPTOR.services_by_name["TaxService"]: TaxServicer(db),
        document_service_pb2.DESCRIPTOR.services_by_name["DocumentService"]: DocumentServicer(
            db, keys or KeyRing.of_environment()
        ),
    }
