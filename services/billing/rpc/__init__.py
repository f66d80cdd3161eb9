"""Messages to commands and back, by noun. No rules, no SQL."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor

from atoll.billing.v1 import (
    account_service_pb2,
    audit_service_pb2,
    billing_profile_service_pb2,
    card_service_pb2,
    cash_count_service_pb2,
    charge_service_pb2,
    code_service_pb2,
    credit_note_service_pb2,
    dispute_service_pb2,
    document_service_pb2,
    estimate_service_pb2,
    invoice_service_pb2,
    ledger_service_pb2,
    package_sale_service_pb2,
    package_service_pb2,
    payment_service_pb2,
    payout_service_pb2,
    price_book_service_pb2,
    refund_service_pb2,
    settlement_service_pb2,
    tax_service_pb2,
)
from chassis.db import Database
from chassis.keyring import KeyRing
from chassis.settings import read
from chassis.times import utc_now
from chassis.trail import AuditServicer
from services.billing.processor import Processors, ProcessorSettings
from services.billing.processor.listener import Listener
from services.billing.rpc.accounts import AccountServicer
from services.billing.rpc.billing_profiles import BillingProfileServicer
from services.billing.rpc.cards import CardServicer
from services.billing.rpc.cash import CashCountServicer
from services.billing.rpc.charges import ChargeServicer
from services.billing.rpc.codes import CodeServicer
from services.billing.rpc.credit_notes import CreditNoteServicer
from services.billing.rpc.documents import DocumentServicer
from services.billing.rpc.estimates import EstimateServicer
from services.billing.rpc.invoices import InvoiceServicer
from services.billing.rpc.ledger import LedgerServicer
from services.billing.rpc.packages import PackageServicer
from services.billing.rpc.payments import PaymentServicer
from services.billing.rpc.payouts import DisputeServicer, PayoutServicer
from services.billing.rpc.price_books import PriceBookServicer
from services.billing.rpc.refunds import RefundServicer
from services.billing.rpc.sales import PackageSaleServicer
from services.billing.rpc.settlements import SettlementServicer
from services.billing.rpc.tax import TaxServicer
from services.billing.settings import DOCUMENT_KEYS
from services.billing.store import BillingStore


def servicers(db: Database, keys: KeyRing | None = None) -> Mapping[ServiceDescriptor, object]:
    """With the card processors that the environment tells of; and the keys, unless others are given."""
    told = read(ProcessorSettings)
    processors = Processors.told(told)
    return servicers_with(db, processors, Listener(db, processors, utc_now, told.webhook_listen), keys)


def servicers_with(
    db: Database, processors: Processors, listener: Listener, keys: KeyRing | None = None
) -> Mapping[ServiceDescriptor, object]:
    audit = audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"]
    return {
        audit: AuditServicer(db, BillingStore, audit),
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
        refund_service_pb2.DESCRIPTOR.services_by_name["RefundService"]: RefundServicer(db),
        card_service_pb2.DESCRIPTOR.services_by_name["CardService"]: CardServicer(db, processors, listener),
        dispute_service_pb2.DESCRIPTOR.services_by_name["DisputeService"]: DisputeServicer(db),
        payout_service_pb2.DESCRIPTOR.services_by_name["PayoutService"]: PayoutServicer(db),
        cash_count_service_pb2.DESCRIPTOR.services_by_name["CashCountService"]: CashCountServicer(db),
        document_service_pb2.DESCRIPTOR.services_by_name["DocumentService"]: DocumentServicer(
            db, keys or KeyRing.of_environment(DOCUMENT_KEYS)
        ),
    }
