"""The guards of billing."""

from tests.mutants.mutant import Mutant

PRICES = "services/billing/domain/prices"
PRICES_MIGRATION = "services/billing/migrations/versions/0006_prices.py"
U_BILLING_CODES = "tests/unit/test_billing_codes.py"
U_BILLING_FEES = "tests/unit/test_billing_fees.py"
U_BILLING_PRICE_ITEMS = "tests/unit/test_billing_price_items.py"
I_BILLING_CODES = "tests/integration/test_billing_codes.py"
I_BILLING_PRICE_DRAFTS = "tests/integration/test_billing_price_drafts.py"
I_BILLING_PROFILES = "tests/integration/test_billing_profiles.py"

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

BILLING = [
    Mutant("services/billing/domain/estimates.py", 'booked_day <= calendar.before(service_day, 3)', 'booked_day < calendar.before(service_day, 3)', U_BILLING_BUSINESS_DAYS),
    Mutant("services/billing/domain/estimates.py", 'if self.priced else None', 'if amounts else None', U_BILLING_ESTIMATES),
    Mutant("services/billing/domain/prices/items.py", 'return bool(self.route_code), bool(self.band_code)', 'return bool(self.band_code), bool(self.route_code)', U_BILLING_PRICES),
    Mutant("services/billing/domain/prices/books.py", ' and book.published_at <= known_at', '', U_BILLING_PRICES),
    Mutant("services/billing/domain/prices/books.py", 'draft.effective_date <= last.effective_date', 'draft.effective_date < last.effective_date', U_BILLING_PRICES),
    Mutant("services/billing/domain/prices/books.py", 'if book.id == draft.id), None)', 'if False), None)', U_BILLING_PRICES),
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
    Mutant("services/billing/use_cases/payments.py", 'if invoice.left == paid.get(invoice.id):', 'if invoice.id in paid:', I_BILLING_INVOICES),
    Mutant("services/billing/use_cases/invoices.py", '    await store.lock([course.patient_id])\n', '', I_BILLING_INVOICES),
    Mutant("services/billing/rpc/payments.py", 'locks = [command.patient_id]', 'locks = []', I_BILLING_INVOICES),
    Mutant("services/billing/consumers.py", '    await store.course(from_wire("course", course_id))\n', '', I_BILLING_CHARGES),
    Mutant("services/billing/store/estimates.py", 'and_(estimate.c.total_minor.is_(None), _latest)', 'estimate.c.total_minor.is_(None)', I_BILLING_ESTIMATES),
    Mutant("services/billing/store/documents.py", 'open_item.c.left_minor > literal_column("0")', 'open_item.c.left_minor >= literal_column("0")', I_BILLING_PLANS),
    Mutant("services/billing/migrations/versions/0001_initial.py", 'HAVING sum(amount_minor) <> 0', 'HAVING false', I_BILLING_ACCOUNTS),
    Mutant("services/billing/migrations/versions/0001_initial.py", 'IF NOT EXISTS (SELECT FROM posting WHERE', 'IF false AND NOT EXISTS (SELECT FROM posting WHERE', I_BILLING_ACCOUNTS),
    Mutant("services/billing/migrations/versions/0001_initial.py", 'GRANT SELECT, INSERT ON posting TO billing', 'GRANT SELECT, INSERT, UPDATE, DELETE ON posting TO billing', I_BILLING_ACCOUNTS),
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
    # Profiles, prices, fees, codes.
    Mutant("services/billing/domain/business_days.py", 'day in self.open or day not in federal_holidays(day.year)', 'day not in federal_holidays(day.year)', U_BILLING_BUSINESS_DAYS),
    Mutant("services/billing/domain/business_days.py", ' or day in self.closed:', ':', U_BILLING_BUSINESS_DAYS),
    Mutant("services/billing/domain/business_days.py", 'if day.weekday() < SATURDAY and any', 'if any', U_BILLING_BUSINESS_DAYS),
    Mutant("services/billing/store/copies.py", 'row["currency"], calendar_of(row))', 'row["currency"])', I_BILLING_PROFILES, "clock"),
    Mutant("services/billing/domain/profiles.py", 'if self.tax_id[:2] in NEVER_ASSIGNED:', 'if False:', I_BILLING_PROFILES, "tax_id"),
    Mutant("services/billing/domain/profiles.py", 'if npi and not _passes_luhn(NPI_PREFIX + npi):', 'if False:', I_BILLING_PROFILES, "npi"),
    Mutant("services/billing/domain/profiles.py", '_passes_luhn(NPI_PREFIX + npi)', '_passes_luhn(npi)', I_BILLING_PROFILES, "npi or field_by_field"),
    Mutant("services/billing/domain/profiles.py", '        if faults:\n            raise BusinessDaysContradict', '        if False:\n            raise BusinessDaysContradict', I_BILLING_PROFILES, "contradict"),
    Mutant("services/billing/use_cases/profiles.py", '    found = await store.legal_entity_billing(told.legal_entity_id)\n    if found.version != told.version:', '    found = await store.legal_entity_billing(told.legal_entity_id)\n    if False:', I_BILLING_PROFILES, "stale"),
    Mutant("services/billing/store/profiles.py", ', set_=changed, where=seen)', ', set_=changed, where=seen | True)', I_BILLING_PROFILES, "at_once"),
    Mutant("services/billing/rpc/billing_profiles.py", 'if call.sites is not None and told.site_id not in call.sites:', 'if False:', I_BILLING_PROFILES, "administrators"),
    Mutant("services/billing/store/__init__.py", '        "invoice_prefix_is_one_entitys": InvoicePrefixTaken,\n', '', I_BILLING_PROFILES, "prefixes"),
    Mutant(PRICES_MIGRATION, '"NOT closed_dates && open_dates"', '"true"', I_BILLING_PROFILES, "database"),
    Mutant(PRICES_MIGRATION, 'BEFORE INSERT OR UPDATE OR DELETE ON price_item', 'BEFORE UPDATE OR DELETE ON price_item', I_BILLING_PRICES, "database"),
    Mutant(PRICES_MIGRATION, 'BEFORE UPDATE OR DELETE ON price_book', 'BEFORE UPDATE ON price_book', I_BILLING_PRICES, "database"),
    Mutant(f"{PRICES}/items.py", 'if tier.from_number <= number), None)', 'if tier.from_number < number), None)', U_BILLING_PRICE_ITEMS),
    Mutant(f"{PRICES}/items.py", 'if next_start <= start', 'if next_start < start', U_BILLING_PRICE_ITEMS),
    Mutant(f"{PRICES}/items.py", '(2 * amount.minor * basis_points + unit)', '(2 * amount.minor * basis_points)', U_BILLING_PRICE_ITEMS),
    Mutant(f"{PRICES}/books.py", 'return 0 < self.item.unit_price_at(self.ordinal).minor < self.book.least.minor', 'return self.item.unit_price_at(self.ordinal).minor < self.book.least.minor', U_BILLING_PRICE_ITEMS),
    Mutant(f"{PRICES}/books.py", 'done[found.item.id] += alike', 'done[found.item.id] = alike', U_BILLING_PRICE_ITEMS),
    Mutant(f"{PRICES}/books.py", 'self.least > dearest', 'self.least >= dearest', U_BILLING_PRICE_ITEMS),
    Mutant(f"{PRICES}/books.py", '_repeated([item.code for item in self.items])', '_repeated([])', U_BILLING_PRICE_ITEMS),
    Mutant(f"{PRICES}/books.py", 'if visit_type_code in item.visit_type_codes]', 'if item.visit_type_codes]', U_BILLING_PRICE_ITEMS),
    Mutant(f"{PRICES}/changes.py", '        if not self.basis_points:\n            return amount\n', '', U_BILLING_PRICE_ITEMS),
    Mutant("services/billing/domain/estimates.py", 'counts[line.kind] += line.count', 'counts[line.kind] = line.count', U_BILLING_PRICE_ITEMS),
    Mutant("services/billing/domain/fees.py", 'or offences_before < found[1].grace_count', '', U_BILLING_FEES),
    Mutant("services/billing/domain/fees.py", 'is_first = offences_before == terms.grace_count', 'is_first = offences_before == 0', U_BILLING_FEES),
    Mutant("services/billing/domain/fees.py", 'if notice < timedelta', 'if notice <= timedelta', U_BILLING_FEES),
    Mutant("services/billing/domain/fees.py", 'if site.calendar.is_business_day(day):', 'if True:', U_BILLING_FEES),
    Mutant("services/billing/domain/fees.py", 'if amount.minor else None', '', U_BILLING_FEES),
    Mutant("services/billing/use_cases/charges.py", '1 + await store.charged_by(visit.course_id, found.item.id)', '1', I_BILLING_PRICE_DRAFTS, "tiers or number"),
    Mutant("services/billing/use_cases/prices.py", '    await store.lock([price_book_id])\n    draft = await store.price_book(price_book_id)\n    await store.lock', '    draft = await store.price_book(price_book_id)\n    await store.lock', I_BILLING_PRICE_DRAFTS, "publication_waits"),
    Mutant("services/billing/use_cases/prices.py", '    await store.lock([price_book_id])\n    draft = await store.price_book(price_book_id)\n    if draft.version', '    draft = await store.price_book(price_book_id)\n    if draft.version', I_BILLING_PRICE_DRAFTS, "edit_waits"),
    Mutant("services/billing/use_cases/prices.py", '    if draft.version:\n', '    if False:\n', I_BILLING_PRICE_DRAFTS, "is_published"),
    Mutant("services/billing/use_cases/prices.py", '    if draft.revision != revision:\n', '    if False:\n', I_BILLING_PRICE_DRAFTS, "stale"),
    Mutant("services/billing/use_cases/prices.py", 'if revision not in (None, draft.revision):', 'if False:', I_BILLING_PRICE_DRAFTS, "stale"),
    Mutant("services/billing/use_cases/prices.py", 'draft.check(site.currency or source.currency)', 'draft.check(source.currency)', I_BILLING_PRICE_DRAFTS, "currency"),
    Mutant("services/billing/use_cases/prices.py", 'changed.check(draft.currency)', '', I_BILLING_PRICE_DRAFTS, "contradicts"),
    Mutant("services/billing/store/prices.py", '            await self.rows(DELETE_ITEMS, id=changed.id)\n', '', I_BILLING_PRICE_DRAFTS, "field_by_field"),
    Mutant("services/billing/domain/codes.py", 'if row.effective_date <= longest:', 'if row.effective_date < longest:', U_BILLING_CODES),
    Mutant("services/billing/domain/codes.py", 'rows = [(row, -1) for row in known if place(row) not in replaced]', 'rows = [(row, -1) for row in known]', U_BILLING_CODES),
    Mutant("services/billing/domain/codes.py", 'if (row.end_date or date.max) > longest:', 'if True:', U_BILLING_CODES),
    Mutant("services/billing/domain/codes.py", 'if row.effective_date < first:', 'if False:', U_BILLING_CODES),
    Mutant("services/billing/domain/codes.py", 'if row.end_date is not None and row.end_date < row.effective_date:', 'if False:', I_BILLING_CODES, "cannot_be"),
    Mutant("services/billing/use_cases/codes.py", '    refuse_outlived(rows, "rows[{}]")\n    await store.lock([store.call.chain_id])\n', '    refuse_outlived(rows, "rows[{}]")\n', I_BILLING_CODES, "at_once"),
    Mutant("services/billing/use_cases/codes.py", 'was.values != row.values\n    ]\n    await store.add_service_codes', 'True\n    ]\n    await store.add_service_codes', I_BILLING_CODES, "twice"),
    Mutant("services/billing/use_cases/codes.py", 'if found.version != version:', 'if False:', I_BILLING_CODES, "cannot_be or at_once"),
    Mutant("services/billing/domain/codes.py", 'if code not in valid\n', 'if False\n', I_BILLING_CODES, "on_the_day"),
    Mutant(PRICES_MIGRATION, 'ADD CONSTRAINT service_code_one_at_a_time EXCLUDE', 'ADD CONSTRAINT service_code_one_at_a_time_not EXCLUDE', I_BILLING_CODES, "database"),
]  # fmt: skip
