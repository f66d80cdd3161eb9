"""The guards of patients."""

from tests.mutants.mutant import Mutant

I_PATIENTS = "tests/integration/test_patients.py"
I_PATIENTS_IMPORT = "tests/integration/test_patients_import.py"
I_PATIENTS_RACES = "tests/integration/test_patients_races.py"
I_PATIENTS_CLEARANCES = "tests/integration/test_patients_clearances.py"
I_PATIENTS_SEARCH = "tests/integration/test_patients_search.py"
I_PATIENTS_SPEED = "tests/integration/test_patients_speed.py"
P_PATIENTS_NAMES = "tests/property/test_patients_names.py"
U_PATIENTS_RULES = "tests/unit/test_patients_rules.py"
U_FHIR = "tests/unit/test_fhir.py"
I_IMPORT_FHIR = "tests/integration/test_import_fhir.py"
I_PATIENTS_GLASS = "tests/integration/test_patients_break_glass.py"
I_PATIENTS_ACCESSES = "tests/integration/test_patients_accesses.py"
I_PATIENTS_RETENTION = "tests/integration/test_patients_retention.py"
I_PATIENTS_CANARY = "tests/integration/test_patients_canary.py"
U_PATIENTS_ACCESS = "tests/unit/test_patients_access.py"

PATIENTS = [
    Mutant("services/patients/use_cases/records.py", 'if call.sites is not None and site_id not in call.sites:', 'if False:', I_PATIENTS),
    Mutant("services/patients/use_cases/records.py", '    if current.version != command.version:\n', '    if False:\n', I_PATIENTS),
    Mutant("services/patients/use_cases/records.py", 'refuse("patient.", (*examined.faults, *examined.left_out))\n    refuse_taken(command.identifiers,', 'refuse("patient.", examined.faults)\n    refuse_taken(command.identifiers,', I_PATIENTS),
    Mutant("services/patients/use_cases/records.py", '    if events.patient_updated(changed) != events.patient_updated(current):\n', '    if True:\n', I_PATIENTS),
    Mutant("services/patients/use_cases/imports.py", 'if found := [holders[each] for each in row.identifiers if each in holders and each.system != MRN_SYSTEM]:', 'if found := list[UUID]():', I_PATIENTS_IMPORT),
    Mutant("services/patients/use_cases/imports.py", '            holders |= dict.fromkeys((*patient.person.identifiers, patient.own_identifier), patient.id)\n', '', I_PATIENTS_IMPORT),
    Mutant("services/patients/use_cases/imports.py", '        except DomainError as refused:\n', '        except KeyError as refused:\n', I_PATIENTS_IMPORT),
    Mutant("services/patients/rpc/patients.py", 'locks = identity_locks(call.chain_id, (each for row in readable for each in row.identifiers))', 'locks = set[UUID]()', I_PATIENTS_IMPORT),
    Mutant("services/patients/store/records.py", '    .where(exists(select(patient_site.c.site_id).where(_of_patient(patient_site))))\n', '', I_PATIENTS),
    Mutant("services/patients/store/records.py", 'RECORD_TO_CHANGE = Statement(_record.with_for_update(of=patient))', 'RECORD_TO_CHANGE = Statement(_record)', I_PATIENTS_RACES),
    Mutant("services/patients/store/clearances.py", 'CLEARANCE_TO_CHANGE = Statement(_clearance.with_for_update())', 'CLEARANCE_TO_CHANGE = Statement(_clearance)', I_PATIENTS_RACES),
    Mutant("services/patients/store/__init__.py", '        "patient_identifier_pkey": IdentifierTaken,\n', '', I_PATIENTS_RACES),
    Mutant("services/patients/store/__init__.py", '        "clearance_chain_id_patient_id_site_id_fkey": PatientNotFound,\n', '', I_PATIENTS_CLEARANCES),
    Mutant("services/patients/store/search.py", ', ~_has_word_before(first)', '', I_PATIENTS_SEARCH),
    Mutant("services/patients/store/search.py", 'return select(true()).where(_of_patient(other), begins).limit(1).scalar_subquery()', 'return exists(select(other.c.word).where(_of_patient(other), begins))', I_PATIENTS_SPEED),
    Mutant("services/patients/migrations/versions/0001_the_tables_of_patients.py", 'sa.Text(collation="C")', 'sa.Text()', I_PATIENTS_SPEED),
    Mutant("services/patients/migrations/versions/0002_who_sees_a_record_sees_all_of_it.py", 'written_at_own_sites ON screening AS RESTRICTIVE', 'written_at_own_sites ON screening AS PERMISSIVE', I_PATIENTS_CLEARANCES),
    Mutant("services/patients/domain/names.py", 'unicodedata.normalize("NFKD", text).casefold()', 'text.casefold()', P_PATIENTS_NAMES),
    Mutant("services/patients/domain/contacts.py", 'verified=point.verified and phone.valid', 'verified=point.verified', U_PATIENTS_RULES),
    Mutant("services/patients/domain/patients.py", 'identifiers=tuple(each for each in person.identifiers if not never_kept(each)),', 'identifiers=person.identifiers,', U_PATIENTS_RULES),
    Mutant("services/patients/domain/patients.py", '    elif person.birth_date > today:\n', '    elif False:\n', U_PATIENTS_RULES),
    Mutant("services/patients/domain/patients.py", 'now.astimezone(ZoneInfo(zone)).date()', 'now.date()', U_PATIENTS_RULES),
    Mutant("services/patients/domain/clearances.py", '        if self.expire_date < today:\n', '        if False:\n', U_PATIENTS_RULES),
    Mutant("services/patients/domain/clearances.py", '        if self.revoked_at is not None:\n', '        if False:\n', U_PATIENTS_RULES),
    Mutant("cli/fhir.py", '    if len(found.patients) > 1 and document.get("type") in ONE_PATIENTS:\n', '    if False:\n', U_FHIR),
    Mutant("cli/fhir.py", 'next((NEVER_KEPT[code] for code in _codes(identifier.get("type")) if code in NEVER_KEPT), None)', '""', U_FHIR),
    Mutant("cli/importing/batches.py", ' or self._bytes + size > BATCH_BYTES_MAX', '', I_IMPORT_FHIR),
    Mutant("cli/importing/batches.py", '            waiting = [i for i in waiting if any(fault.rule == "NOT_YET_KNOWN" for fault in results[i].faults)]\n', '            waiting = []\n', I_IMPORT_FHIR),
    Mutant("services/patients/use_cases/break_glass.py", '    check_reason(command.reason)\n', '', I_PATIENTS_GLASS, "three_words"),
    Mutant("services/patients/use_cases/break_glass.py", '        raise GlassNotNeeded()\n', '        pass\n', I_PATIENTS_GLASS, "needs_no_breaking"),
    Mutant("services/patients/domain/break_glass.py", '        if review.reviewed_by == self.actor:\n', '        if False:\n', I_PATIENTS_GLASS, "reviews_their_own"),
    Mutant("services/patients/domain/break_glass.py", '        if self.review is not None:\n', '        if False:\n', U_PATIENTS_ACCESS),
    Mutant("services/patients/store/__init__.py", '        "glass_review_pkey": GlassBreakReviewed,\n', '', I_PATIENTS_GLASS, "at_once"),
    Mutant("services/patients/store/break_glass.py", 'or_(param("reviewed_too", Boolean), glass_review.c.glass_break_id.is_(None)),', '', I_PATIENTS_GLASS, "until_somebody"),
    Mutant("services/patients/migrations/versions/0010_who_saw_what.py", 'sa.CheckConstraint("reviewed_by <> broken_by", name=op.f("glass_review_another_check")),', '', I_PATIENTS_GLASS, "database_lets_nobody"),
    Mutant("services/patients/migrations/versions/0010_who_saw_what.py", 'op.execute(f"CREATE POLICY changed_by ON {table} AS RESTRICTIVE', 'op.execute(f"CREATE POLICY changed_by ON {table} AS PERMISSIVE', I_PATIENTS_GLASS, "change"),
    Mutant("services/patients/migrations/versions/0010_who_saw_what.py", 'op.execute(f"CREATE POLICY deleted_by ON {table} AS RESTRICTIVE', 'op.execute(f"CREATE POLICY deleted_by ON {table} AS PERMISSIVE', I_PATIENTS_GLASS, "delete"),
    Mutant("services/patients/migrations/versions/0002_who_sees_a_record_sees_all_of_it.py", "seen.patient_id = clearance.patient_id AND seen.actor = current_setting('app.actor', true) AND seen.expire_at > clock_timestamp()", "seen.patient_id = clearance.patient_id AND seen.actor = current_setting('app.actor', true)", I_PATIENTS_GLASS, "expired"),
    Mutant("services/patients/migrations/versions/0002_who_sees_a_record_sees_all_of_it.py", "seen.patient_id = clearance.patient_id AND seen.actor = current_setting('app.actor', true) AND seen.expire_at > clock_timestamp()", "seen.patient_id = clearance.patient_id AND seen.expire_at > clock_timestamp()", I_PATIENTS_GLASS, "nobody_else"),
    Mutant("services/patients/store/accesses.py", '        if await self.row(IS_SEEN, patient_id=patient_id) is None:\n', '        if False:\n', I_PATIENTS_ACCESSES, "only_those"),
    Mutant("services/patients/store/accesses.py", '        audit_subject.c.position < param("before", BigInteger),\n', '        param("before", BigInteger).is_not(None),\n', I_PATIENTS_ACCESSES, "in_pages"),
    Mutant("services/patients/store/accesses.py", '        audit_subject.c.subject_id == PATIENT,\n', '        PATIENT.is_not(None),\n', I_PATIENTS_ACCESSES, "names_every"),
    Mutant("services/patients/rpc/patients.py", '            return page.cut(found, key=lambda each: [each[1], str(each[0].id)])\n', '            store.saw(*(card.id for card, _ in found))\n            return page.cut(found, key=lambda each: [each[1], str(each[0].id)])\n', I_PATIENTS_SEARCH, "audit_row"),
    Mutant("services/patients/domain/patients.py", '    home_site_id: UUID\n\n    @property\n    def patient_id(self) -> UUID:\n        return self.id\n', '    home_site_id: UUID\n', I_PATIENTS_ACCESSES, "names_every"),
    Mutant("services/patients/rpc/patients.py", '                raise PatientRestricted()\n', '                pass\n', I_PATIENTS_RETENTION, "nothing_is_sent"),
    Mutant("services/patients/store/search.py", ', patient.c.restricted.is_(False))', ')', I_PATIENTS_RETENTION, "found_by_nobody"),
    Mutant("services/patients/migrations/versions/0010_who_saw_what.py", 'CREATE POLICY shown_if ON patient AS RESTRICTIVE', 'CREATE POLICY shown_if ON patient AS PERMISSIVE', I_PATIENTS_RETENTION, "read_by_few"),
    Mutant("services/patients/migrations/versions/0010_who_saw_what.py", 'op.execute(f"CREATE POLICY shown_if ON {table} AS RESTRICTIVE', 'op.execute(f"CREATE POLICY shown_if ON {table} AS PERMISSIVE', I_PATIENTS_RETENTION, "read_by_few"),
    Mutant("services/patients/migrations/versions/0010_who_saw_what.py", 'op.execute(f"CREATE POLICY written_if ON {table} AS RESTRICTIVE', 'op.execute(f"CREATE POLICY written_if ON {table} AS PERMISSIVE', I_PATIENTS_RETENTION, "nothing_is_added"),
    Mutant("services/patients/migrations/versions/0010_who_saw_what.py", '"CREATE POLICY changed_by ON patient AS RESTRICTIVE', '"CREATE POLICY changed_by ON patient AS PERMISSIVE', I_PATIENTS_RETENTION, "known_again"),
    Mutant("services/patients/migrations/versions/0010_who_saw_what.py", 'op.execute("REVOKE EXECUTE ON FUNCTION anonymise_patient FROM PUBLIC")', '', I_PATIENTS_RETENTION, "another_chain"),
    Mutant("services/patients/migrations/versions/0010_who_saw_what.py", "UPDATE idempotency AS part SET response = ''", "UPDATE idempotency AS part SET response = part.response", I_PATIENTS_RETENTION, "remembered_for_replays"),
    Mutant("services/patients/migrations/versions/0010_who_saw_what.py", "UPDATE glass_review AS part SET note = ''", "UPDATE glass_review AS part SET note = part.note", I_PATIENTS_CANARY, "forgotten"),
    Mutant("services/patients/migrations/versions/0010_who_saw_what.py", "UPDATE break_glass AS part SET reason = ''", "UPDATE break_glass AS part SET reason = part.reason", I_PATIENTS_CANARY, "forgotten"),
    Mutant("services/patients/use_cases/retention.py", '    found.check_anonymised(await store.retention_policy(), law, store.call.now)\n', '', I_PATIENTS_RETENTION, "nobody_is_forgotten"),
    Mutant("services/patients/use_cases/retention.py", '    if found.restricted == command.restricted:\n', '    if False:\n', I_PATIENTS_RETENTION, "lifted"),
    Mutant("services/patients/use_cases/retention.py", '        raise PatientAnonymised()\n', '        pass\n', I_PATIENTS_RETENTION, "known_again"),
    Mutant("services/patients/rpc/retention.py", ' for each in kept if not each.holds(policy, call.now)]', ' for each in kept]', I_PATIENTS_RETENTION, "proposed"),
    Mutant("services/patients/domain/retention.py", 'if not (law and hold.kind in OVERRULED_BY_LAW)]', 'if not law]', U_PATIENTS_ACCESS),
    Mutant("services/patients/domain/retention.py", 'hold.until is None or today < hold.until', 'hold.until is None or today <= hold.until', U_PATIENTS_ACCESS),
    Mutant("services/patients/domain/retention.py", '        if self.last_contact < of_age:\n', '        if self.last_contact <= of_age:\n', U_PATIENTS_ACCESS),
    Mutant("services/patients/domain/retention.py", '        return date(year, 3, 1)\n', '        return date(year, 2, 28)\n', U_PATIENTS_ACCESS),
    Mutant("chassis/logs.py", 'TELLING = (AssertionError,', 'TELLING = (ValueError,', I_PATIENTS_CANARY, "belong"),
    Mutant("chassis/ids.py", '        if value and ID.fullmatch(value):\n', '        if value:\n', I_PATIENTS_CANARY, "belong"),
    Mutant("chassis/endpoint.py", '                log.info("rpc.done", method=self._name,', '                log.info("rpc.done", raw=repr(raw), method=self._name,', I_PATIENTS_CANARY, "belong"),
    Mutant("services/patients/events.py", '        language=patient.person.language,\n    )\n\n\ndef patient_updated', '        language=patient.person.family_name,\n    )\n\n\ndef patient_updated', I_PATIENTS_CANARY, "belong"),
    Mutant("services/patients/rpc/retention.py", 'pb.RestrictPatientResponse, PatientsStore, work, locks=locks', 'pb.RestrictPatientResponse, PatientsStore, work', I_PATIENTS_RETENTION, "two_who"),
    Mutant("services/patients/rpc/retention.py", 'locks = [patient_id]\n', 'locks = list[UUID]()\n', I_PATIENTS_RETENTION, "two_who_forget"),
]  # fmt: skip
