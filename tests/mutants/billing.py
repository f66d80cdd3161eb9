"""The guards of billing."""

from tests.mutants.mutant import Mutant

U_BILLING_BUSINESS_DAYS = "tests/unit/test_billing_business_days.py"
U_BILLING_ESTIMATES = "tests/unit/test_billing_estimates.py"
U_BILLING_PRICES = "tests/unit/test_billing_prices.py"
U_BILLING_ACCOUNTS = "tests/unit/test_billing_accounts.py"
I_BILLING_CHARGES = "tests/integration/test_billing_charges.py"
I_BILLING_PRICES = "tests/integration/test_billing_prices.py"
I_BILLING_ESTIMATES = "tests/integration/test_billing_estimates.py"
I_BILLING_INVOICES = "tests/integration/test_billing_invoices.py"
I_BILLING_PLANS = "tests/integration/test_billing_plans.py"
I_BILLING_ACCOUNTS = "tests/integration/test_billing_accounts.py"
I_BILLING_MERGES = "tests/integration/test_billing_merges.py"
I_BILLING_REFUNDS = "tests/integration/test_billing_refunds.py"
I_BILLING_CARDS = "tests/integration/test_billing_cards.py"

BILLING = [
    Mutant("services/billing/domain/business_days.py", '{SATURDAY: -DAY, SUNDAY: DAY}', '{SUNDAY: DAY}', U_BILLING_BUSINESS_DAYS),
    Mutant("services/billing/domain/business_days.py", ' | federal_holidays(day.year + 1)', '', U_BILLING_BUSINESS_DAYS),
    Mutant("services/billing/domain/estimates.py", 'booked_day <= calendar.before(service_day, 3)', 'booked_day < calendar.before(service_day, 3)', U_BILLING_BUSINESS_DAYS),
    Mutant("services/billing/domain/estimates.py", 'if self.priced else None', 'if amounts else None', U_BILLING_ESTIMATES),
    Mutant("services/billing/domain/prices.py", 'return bool(self.route_code), bool(self.band_code)', 'return bool(self.band_code), bool(self.route_code)', U_BILLING_PRICES),
    Mutant("services/billing/domain/prices.py", ' and book.published_at <= known_at', '', U_BILLING_PRICES),
    Mutant("services/billing/domain/prices.py", 'draft.effective_date <= last.effective_date', 'draft.effective_date < last.effective_date', U_BILLING_PRICES),
    Mutant("services/billing/domain/prices.py", 'if book.id == draft.id), None)', 'if False), None)', U_BILLING_PRICES),
    Mutant("services/billing/domain/accounts.py", '[each for each in invoices if payment.course_id in (None, each.course_id)]', 'list(invoices)', U_BILLING_ACCOUNTS),
    Mutant("services/billing/domain/accounts.py", '[each for each in payments if each.course_id in (None, invoice.course_id)]', 'list(payments)', U_BILLING_ACCOUNTS),
    Mutant("services/billing/domain/accounts.py", '(payment.course_id is None, payment.since, payment.id)', '(payment.since, payment.id)', U_BILLING_ACCOUNTS),
    Mutant("services/billing/domain/accounts.py", 'return due is not None and paid_minor', 'return due is None or paid_minor', U_BILLING_ACCOUNTS),
    Mutant("services/billing/domain/ledger.py", 'or any(totals.values())', 'or sum(totals.values())', U_BILLING_ACCOUNTS),
    Mutant("services/billing/domain/sites.py", 'instant.astimezone(self.zone).date()', 'instant.date()', I_BILLING_CHARGES),
    Mutant("services/billing/use_cases/prices.py", '    await store.lock([draft.site_id])\n', '', I_BILLING_PRICES),
    Mutant("services/billing/use_cases/prices.py", 'store.uncharged(site_id, WAITING_MAX)', 'store.uncharged(site_id, 500)', I_BILLING_CHARGES),
    Mutant("services/billing/use_cases/estimates.py", 'if estimate.total is not None:', 'if True:', I_BILLING_ESTIMATES),
    Mutant("services/billing/use_cases/estimates.py", '    if better != estimate:\n', '    if True:\n', I_BILLING_ESTIMATES),
    Mutant("services/billing/use_cases/charges.py", '    if await store.keep_rendered(visit):\n', '    await store.keep_rendered(visit)\n    if True:\n', I_BILLING_CHARGES),
    Mutant("services/billing/use_cases/payments.py", 'if whose not in patient.ids or where != command.site_id:', 'if False:', I_BILLING_INVOICES),
    Mutant("services/billing/use_cases/payments.py", 'if invoice.left.minor == paid.get(invoice.id):', 'if invoice.id in paid:', I_BILLING_INVOICES),
    Mutant("services/billing/use_cases/invoices.py", '    await store.lock([course.patient_id])\n', '', I_BILLING_INVOICES),
    Mutant("services/billing/rpc/payments.py", 'locks = [command.patient_id]', 'locks = []', I_BILLING_INVOICES),
    Mutant("services/billing/consumers.py", '    await store.course(from_wire("course", course_id))\n', '', I_BILLING_CHARGES),
    Mutant("services/billing/store/estimates.py", 'and_(estimate.c.total_minor.is_(None), _latest)', 'estimate.c.total_minor.is_(None)', I_BILLING_ESTIMATES),
    Mutant("services/billing/store/documents.py", 'open_item.c.left_minor > literal_column("0")', 'open_item.c.left_minor >= literal_column("0")', I_BILLING_PLANS),
    Mutant("services/billing/migrations/versions/0001_initial.py", 'HAVING sum(amount_minor) <> 0', 'HAVING false', I_BILLING_ACCOUNTS),
    Mutant("services/billing/migrations/versions/0001_initial.py", 'IF NOT EXISTS (SELECT FROM posting WHERE', 'IF false AND NOT EXISTS (SELECT FROM posting WHERE', I_BILLING_ACCOUNTS),
    Mutant("services/billing/migrations/versions/0001_initial.py", 'GRANT SELECT, INSERT ON posting TO billing', 'GRANT SELECT, INSERT, UPDATE, DELETE ON posting TO billing', I_BILLING_ACCOUNTS),
    Mutant("services/billing/migrations/versions/0001_initial.py", 'CREATE TRIGGER published_price_book_stays BEFORE INSERT ON price_item', 'CREATE TRIGGER published_price_book_stays BEFORE DELETE ON price_item', I_BILLING_PRICES),
    Mutant("services/billing/migrations/versions/0001_initial.py", '"left_minor >= 0"', '"left_minor >= -100000"', I_BILLING_ACCOUNTS),
    Mutant("services/billing/migrations/versions/0001_initial.py", 'CREATE POLICY own_sites ON charge AS RESTRICTIVE USING (', 'CREATE POLICY own_sites ON charge AS RESTRICTIVE USING (true OR ', I_BILLING_ACCOUNTS),
    Mutant("services/billing/use_cases/charges.py", '(await store.whole(visit.patient_id)).end', 'visit.patient_id', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/estimates.py", 'patient_id=(await store.whole(course.patient_id)).end,', 'patient_id=course.patient_id,', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/estimates.py", 'patient_id, now = (await store.whole(course.patient_id)).end,', 'patient_id, now = course.patient_id,', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/estimates.py", '        patient_id=patient_id,\n        course_id=None,', '        patient_id=command.patient_id,\n        course_id=None,', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/invoices.py", 'store.lock_whole(course.patient_id, locked=course.patient_id)', 'store.whole(course.patient_id)', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/invoices.py", '        patient_id=patient_id,\n', '        patient_id=course.patient_id,\n', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/payments.py", 'store.locked_patient(command.patient_id)', 'store.patient(command.patient_id)', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/payments.py", 'if whose not in patient.ids or', 'if whose != command.patient_id or', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/payments.py", '        patient_id=patient.end,\n', '        patient_id=command.patient_id,\n', I_BILLING_MERGES),
    Mutant("services/billing/store/documents.py", 'open_item.c.patient_id == any_(PATIENTS.all_ids(PATIENT)),', 'open_item.c.patient_id == PATIENT,', I_BILLING_MERGES),
    Mutant("services/billing/store/copies.py", '(any_(PATIENTS.all_ids(ABOUT)) if column == "patient_id" else ABOUT)', 'ABOUT', I_BILLING_MERGES),
    Mutant("services/billing/store/copies.py", 'patient.c.id == PATIENTS.end(ID)', 'patient.c.id == ID', I_BILLING_MERGES),
    Mutant("services/billing/store/accounts.py", 'table.c.patient_id == any_(PATIENTS.all_ids(PATIENT)))', 'table.c.patient_id == PATIENT)', I_BILLING_MERGES),
    Mutant("services/billing/domain/accounts.py", 'if patient_id in (None, total.patient_id)]', 'if True]', I_BILLING_MERGES),
    Mutant("services/billing/consumers.py", 'from_wire("patient", event.merged_patient_id), None,', 'from_wire("patient", event.merged_patient_id), from_wire("patient", event.patient_id),', I_BILLING_MERGES),
    Mutant("chassis/aliases.py", '            await self.lock([locked])\n', '', I_BILLING_MERGES),
    # What becomes of payments.
    Mutant("services/billing/domain/payments.py", 'if payment.course_id in (None, each.course_id)}', 'if True}', I_BILLING_REFUNDS, "kept_for_another_course"),
    Mutant("services/billing/domain/payments.py", 'if payable[each.invoice_id] < 0:', 'if False:', I_BILLING_REFUNDS, "allocation"),
    Mutant("services/billing/domain/payments.py", 'if sum(each.amount.minor for each in allocations) > payment.left.minor:', 'if False:', I_BILLING_REFUNDS, "allocation"),
    Mutant("services/billing/domain/payments.py", 'if payment.tender is Tender.CARD:', 'if False:', I_BILLING_CARDS, "not_reversed"),
    Mutant("services/billing/domain/payments.py", '    if payment.gone.minor:\n', '    if False:\n', I_BILLING_REFUNDS, "partly"),
    Mutant("services/billing/domain/payments.py", 'if asked.minor > sum(credits.values()):', 'if False:', I_BILLING_REFUNDS, "credit"),
    Mutant("services/billing/use_cases/payments.py", 'payer = site.day(store.call.now), patient.end if command.check_number else NOBODY', 'payer = site.day(store.call.now), NOBODY', I_BILLING_REFUNDS, "cheque"),
    Mutant("services/billing/use_cases/payments.py", '    kept_for = command.course_id if lives else None\n', '    kept_for = command.course_id\n', I_BILLING_REFUNDS, "after_its_hold"),
    Mutant("services/billing/use_cases/payments.py", '    kept = [] if lives else await store.kept_for_course(course_id)\n', '    kept = await store.kept_for_course(course_id)\n', I_BILLING_REFUNDS, "stays_with"),
    Mutant("services/billing/use_cases/payments.py", '    found = await store.payment(payment_id)\n    await store.lock([found.patient_id])\n    await store.lock_whole(found.patient_id, locked=found.patient_id)\n', '', I_BILLING_REFUNDS, "at_once"),
    Mutant("services/billing/migrations/versions/0006_payments.py", 'sa.PrimaryKeyConstraint("chain_id", "payment_id", name=op.f("reversal_pkey"))', 'sa.PrimaryKeyConstraint("chain_id", "payment_id", "reversed_at", name=op.f("reversal_pkey"))', I_BILLING_REFUNDS, "database_refuses"),
    Mutant("services/billing/migrations/versions/0006_payments.py", '"credit_minor >= 0"', '"credit_minor >= -100000"', I_BILLING_REFUNDS, "database_refuses"),
    Mutant("services/billing/domain/refunds.py", 'if part.amount > payment.refundable:', 'if False:', I_BILLING_REFUNDS, "no_more_is_given"),
    Mutant("services/billing/domain/refunds.py", 'if tender not in GIVEN_BACK[payment.tender]:', 'if False:', I_BILLING_REFUNDS, "in_cash"),
    Mutant("services/billing/domain/refunds.py", '    if payment.disputed:\n', '    if False:\n', I_BILLING_CARDS, "disputed_payment"),
    Mutant("services/billing/use_cases/refunds.py", 'if astray or payment_id in named[:i]:', 'if astray:', I_BILLING_REFUNDS, "parts"),
    Mutant("services/billing/use_cases/refunds.py", 'payment.patient_id not in patient.ids or ', '', I_BILLING_REFUNDS, "parts"),
    Mutant("services/billing/use_cases/refunds.py", 'part.state in (state, RefundState.FAILED)', 'part.state in (RefundState.FAILED,)', I_BILLING_CARDS, "any_order"),
    Mutant("services/billing/use_cases/refunds.py", '        await store.change_items([_change(part, -1)])\n', '', I_BILLING_CARDS, "refund_that_fails"),
    Mutant("services/billing/use_cases/cards.py", '    if charge.state is CardChargeState.SUCCEEDED:\n        return charge\n', '', I_BILLING_CARDS, "any_order or paid_twice or made_once"),
    Mutant("services/billing/use_cases/cards.py", 'card.patient_id not in patient.ids or ', '', I_BILLING_CARDS, "nobody_else"),
    Mutant("services/billing/use_cases/cards.py", 'card.detached_at or ', '', I_BILLING_CARDS, "taken_off"),
    Mutant("services/billing/use_cases/cards.py", '    if dispute.state is DisputeState.OPEN and state is not', '    if state is not', I_BILLING_CARDS, "any_order"),
    Mutant("services/billing/use_cases/cards.py", '    if not await store.add_payout(payout, shares):\n        return\n', '    await store.add_payout(payout, shares)\n', I_BILLING_CARDS, "payout"),
    Mutant("services/billing/processor/asking.py", 'if charge.processor_id or charge.aged:', 'if charge.processor_id:', I_BILLING_CARDS, "a_day"),
    Mutant("services/billing/processor/asking.py", '            if id:  # Nobody is to pay it later.\n                await processor.cancel_intent(id)\n', '', I_BILLING_CARDS, "declined"),
    Mutant("services/billing/processor/asking.py", 'if part.tries and (found := await processor.find_refund(part.id, intent_id)):\n            return found\n', 'if False:\n            return found\n', I_BILLING_CARDS, "connection_breaks"),
    Mutant("services/billing/processor/asking.py", 'if dispute.status.startswith("warning_"):', 'if False:', I_BILLING_CARDS, "inquiry"),
    Mutant("services/billing/processor/stripe.py", 'return {"idempotency_key": f"{what}-{our_id}"}', 'return {}', I_BILLING_CARDS, "made_once"),
    Mutant("services/billing/processor/stripe.py", 'payload, signature, secret, TOLERANCE_S)', 'payload, signature, secret)', I_BILLING_CARDS, "proves"),
    Mutant("services/billing/processor/listener.py", 'if not self._processors[account].verified(payload, signature):', 'if False:', I_BILLING_CARDS, "proves"),
    Mutant("services/billing/processor/listener.py", 'if len(body) > BODY_MAX:', 'if False:', I_BILLING_CARDS, "too_large"),
    Mutant("services/billing/use_cases/cash.py", '    today = site.day(store.call.now)\n    await store.lock([drawer(site.id)])\n', '    today = site.day(store.call.now)\n', I_BILLING_REFUNDS, "while_the_drawer"),
    Mutant("services/billing/domain/cash.py", '    if day > today:\n', '    if False:\n', I_BILLING_REFUNDS, "counted_day"),
    Mutant("services/billing/store/cash.py", ' - _given_back.scalar_subquery()', '', I_BILLING_REFUNDS, "beside_what"),
    Mutant("services/billing/store/accounts.py", 'tuple_(_documents.c.at, _documents.c.id) < tuple_(param("before_at", Instant), param("before_id", Uuid))', 'tuple_(_documents.c.at, param("before_id", Uuid)) < tuple_(param("before_at", Instant), _documents.c.id)', I_BILLING_REFUNDS, "page_by_page"),
    Mutant("services/billing/store/documents.py", 'payment.c.course_id == COURSE, open_item.c.course_id == COURSE)', 'payment.c.course_id == COURSE)', I_BILLING_REFUNDS, "after_its_hold"),
    Mutant("services/billing/processor/__init__.py", 'mine = self._of_chain.get(chain_id, {})', 'mine = self._accounts', "tests/unit/test_billing_processors.py"),
]  # fmt: skip
