"""What the database itself refuses in each table of billing, were the code to let it through."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from chassis.ids import new_id
from services.billing.tables import metadata
from tests.support.billing import Billing, open_billing, open_chain
from tests.support.billing_rows import fill

SOME = "00000000-0000-0000-0000-000000000001"
# The table, what is changed of a row of it (one that is so already, if there is one), and the constraint that refuses
# the copy. Its id is always new.
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    # Charges and the books.
    ("charge", {"quantity": 0}, "charge_quantity_check"),
    ("charge", {"kind": 1, "visit_id": None}, "charge_visit_check"),
    ("charge", {"kind": 1, "price_item_id": None}, "charge_visit_check"),
    ("charge", {"kind": 2, "corrects_id": SOME}, "charge_correction_check"),
    ("charge", {"kind": 4, "amount_minor": -1}, "charge_amount_check"),
    ("charge", {"kind": 4, "reason": 1}, "charge_reason_check"),
    ("charge", {"kind": 1}, "charge_of_visit_idx"),
    ("charge", {"kind": 2}, "charge_fee_of_visit_idx"),
    ("charge", {"kind": 3, "replaces_id": SOME}, "charge_first_check"),
    ("charge", {"kind": 6, "replaces_id": SOME, "first_id": SOME}, "charge_replaces_check"),
    ("entry", {}, "entry_chain_id_source_source_id_legal_entity_id_key"),
    ("entry", {"source": 19, "patient_id": SOME}, "entry_adjustment_check"),
    ("period", {}, "period_chain_id_legal_entity_id_last_date_key"),
    ("period_balance", {"debit_minor": -1}, "period_balance_sides_check"),
    ("open_item", {"gone_minor": -1}, "open_item_gone_check"),
    # Prices and who bills.
    ("price_book", {"deposit_minor": -1}, "price_book_deposit_check"),
    ("price_item", {"unit_price_minor": -1}, "price_item_unit_price_check"),
    ("publication", {"version": 0, "price_book_id": SOME}, "publication_version_check"),
    ("service_code", {"units": 0}, "service_code_units_check"),
    ("service_code", {"effective_date": "2026-01-02", "end_date": "2026-01-01"}, "service_code_dates_check"),
    ("diagnosis_code", {"effective_date": "2026-01-02", "end_date": "2026-01-01"}, "diagnosis_code_dates_check"),
    ("legal_entity_billing", {"npi": "3123456789"}, "legal_entity_billing_npi_check"),
    ("legal_entity_billing", {"tax_id": "123456789"}, "legal_entity_billing_tax_id_check"),
    ("legal_entity_billing", {"payment_terms_days": 366}, "legal_entity_billing_payment_terms_check"),
    ("site_billing", {"npi": "12"}, "site_billing_npi_check"),
    ("tax_rule", {"rate_ppm": 0}, "tax_rule_rate_check"),
    ("tax_rule", {"effective_date": "2026-01-02", "end_date": "2026-01-01"}, "tax_rule_dates_check"),
    ("tax_rule", {}, "tax_rule_chain_id_site_id_name_effective_date_key"),
    # Packages.
    ("package", {"valid_days": 0}, "package_days_check"),
    ("package", {"freeze_days": -1}, "package_days_check"),
    ("package", {"stop_fee_percent": 101}, "package_fee_check"),
    ("package", {"price_minor": 0}, "package_price_check"),
    ("package", {"version": 0}, "package_published_check"),
    ("package", {"version": 0, "published_at": None}, "package_retired_check"),
    ("package_price", {"price_minor": 0}, "package_price_price_check"),
    ("package_sale", {"price_minor": 0}, "package_sale_price_check"),
    ("package_sale", {"frozen_days": -1}, "package_sale_frozen_days_check"),
    ("package_sale", {"expires_on": None}, "package_sale_expires_check"),
    ("package_sale", {}, "package_sale_chain_id_charge_id_key"),
    ("package_end", {"left_minor": 1}, "package_end_whole_check"),
    ("package_end", {"invoice_id": None}, "package_end_forgiven_check"),
    ("package_end", {"fee_minor": -1, "left_minor": 1}, "package_end_parts_check"),
    ("package_end", {"tax_minor": 1}, "package_end_whole_check"),
    ("package_end", {"included_tax_minor": -1}, "package_end_parts_check"),
    ("redemption", {"value_minor": -1}, "redemption_amounts_check"),
    ("redemption", {"undone_at": None, "undo_reason": "x"}, "redemption_undone_check"),
    ("settlement_item", {"creditor_id": SOME, "debtor_id": SOME}, "settlement_item_two_check"),
    ("forfeiture", {"tax_minor": -1}, "forfeiture_tax_check"),
    # Invoices and credit notes.
    ("invoice_draft", {"discount_minor": -1}, "invoice_draft_discount_check"),
    ("invoice", {"total_minor": 1_000}, "invoice_total_check"),
    ("invoice_line", {"tax_minor": -1}, "invoice_line_tax_check"),
    ("invoice_line", {"discount_minor": -1}, "invoice_line_discount_check"),
    ("invoice_line", {"included_tax_minor": -1}, "invoice_line_included_tax_check"),
    ("credit_note", {"total_minor": -1, "reason": 6}, "credit_note_total_check"),
    ("credit_note", {"total_minor": 0, "offset_minor": 0, "reason": 1}, "credit_note_of_nothing_check"),
    ("credit_note_line", {"amount_minor": -1}, "credit_note_line_amounts_check"),
    # Estimates.
    ("estimate", {}, "estimate_chain_id_course_id_version_key"),
    ("estimate_line", {"unit_price_minor": None}, "estimate_line_priced_check"),
    ("estimate_approval", {"up_to_minor": 0}, "estimate_approval_up_to_check"),
    ("estimate_dispute", {"closed_at": "2000-01-01"}, "estimate_dispute_closed_check"),
    ("estimate_duty", {}, "estimate_duty_chain_id_estimate_id_key"),
    # Money that came and went.
    ("payment", {"tender": 4}, "payment_card_check"),
    ("refund_part", {"state": 1, "look_at": None}, "refund_part_looked_at_check"),
    ("refund_part", {"credit_minor": 1_000}, "refund_part_credit_check"),
    ("refund_part", {"payment_id": None}, "refund_part_source_check"),
    ("dispute", {}, "dispute_chain_id_account_processor_id_key"),
    ("card_charge", {}, "card_charge_chain_id_account_processor_id_key"),
    ("card", {}, "card_chain_id_account_payment_method_key"),
    ("payout", {}, "payout_chain_id_account_processor_id_key"),
    ("payout_line", {"site_id": None}, "payout_line_matched_check"),
    ("payout_line", {}, "payout_line_chain_id_transaction_key"),
    ("payout_share", {}, "payout_share_chain_id_payout_id_site_id_key"),
    ("cash_count", {}, "cash_is_counted_once"),
]


@pytest_asyncio.fixture(scope="module")
async def billing(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Billing]:
    """With some rows in each table, of which only what the constraints ask for is right."""
    async with open_billing(postgres_url, issuer_folder) as svc:
        billing = await open_chain(svc)
        await fill(billing, 20)
        await svc.admin.execute("SET session_replication_role = replica")  # No foreign keys, no triggers.
        yield billing


@pytest.mark.parametrize(
    ("table", "changes", "constraint"), REFUSED, ids=[f"{row[2]}-{n}" for n, row in enumerate(REFUSED)]
)
async def test_the_database_refuses(billing: Billing, table: str, changes: dict[str, Any], constraint: str) -> None:
    columns = [column.name for column in metadata.tables[table].c if column.computed is None]
    fresh = {"id": str(new_id())} if "id" in columns else {}
    copy = f"""
        INSERT INTO {table} ({", ".join(columns)}) SELECT {", ".join(columns)} FROM (
            SELECT (jsonb_populate_record(given_row, $1::jsonb)).* FROM {table} AS given_row
            ORDER BY to_jsonb(given_row) @> $2::jsonb DESC LIMIT 1
        ) AS copied
    """
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await billing.svc.admin.execute(copy, json.dumps(fresh | changes), json.dumps(changes))
    assert refused.value.constraint_name == constraint
