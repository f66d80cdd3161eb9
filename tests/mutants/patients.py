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
U_MEASURES = "tests/unit/test_patients_measures.py"
I_MEASURES = "tests/integration/test_patients_measures.py"
U_ADVERSE = "tests/unit/test_patients_adverse_events.py"
I_ADVERSE = "tests/integration/test_patients_adverse_events.py"
I_DIAGNOSES = "tests/integration/test_patients_diagnoses.py"

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
    Mutant("services/patients/migrations/versions/0002_who_sees_a_record_sees_all_of_it.py", 'ON clearance AS RESTRICTIVE USING (\'*\' = current_setting(\'app.sites\', true) OR (SELECT true FROM patient_site', 'ON clearance AS RESTRICTIVE USING (true OR (SELECT true FROM patient_site', I_PATIENTS_CLEARANCES),
    Mutant("services/patients/domain/measures.py", 'if len(self.item_scores) != scale.items:', 'if False:', U_MEASURES),
    Mutant("services/patients/domain/measures.py", 'if not 0 <= score <= scale.item_max:', 'if False:', U_MEASURES),
    Mutant("services/patients/domain/measures.py", 'low <= value <= high', 'low < value < high', U_MEASURES),
    Mutant("services/patients/domain/measures.py", 'for value, (low, high) in values if value)', 'for value, (low, high) in values)', U_MEASURES),
    Mutant("services/patients/domain/measures.py", 'if self.taken_at > self.recorded_at:', 'if False:', U_MEASURES),
    Mutant("services/patients/domain/measures.py", 'baseline > 0 and total * 2 <= baseline', 'total * 2 <= baseline', U_MEASURES),
    Mutant("services/patients/domain/measures.py", 'baseline - total >= PCL_5_RESPONSE', 'baseline - total > PCL_5_RESPONSE', U_MEASURES),
    Mutant("services/patients/domain/measures.py", 'if self.acknowledged_at is not None:', 'if False:', U_MEASURES),
    Mutant("services/patients/domain/measures.py", 'if self.retracted_at is not None:', 'if False:', U_MEASURES),
    Mutant("services/patients/store/measures.py", 'MEASURE_TO_CHANGE = Statement(_measure.with_for_update())', 'MEASURE_TO_CHANGE = Statement(_measure)', I_MEASURES),
    Mutant("services/patients/store/measures.py", 'FLAG_TO_CHANGE = Statement(_flag.with_for_update())', 'FLAG_TO_CHANGE = Statement(_flag)', I_MEASURES),
    Mutant("services/patients/store/measures.py", '        measure.c.retracted_at.is_(None),\n', '', I_MEASURES),
    Mutant("services/patients/store/measures.py", '        safety_flag.c.acknowledged_at.is_(None),\n', '', I_MEASURES),
    Mutant("services/patients/store/__init__.py", '        "measure_chain_id_patient_id_site_id_fkey": PatientNotFound,\n', '', I_MEASURES),
    Mutant("services/patients/domain/adverse_events.py", 'if allowed and outcome is Outcome.FATAL:', 'if False:', U_ADVERSE),
    Mutant("services/patients/domain/adverse_events.py", 'if self.outcome is Outcome.FATAL:', 'if False:', U_ADVERSE),
    Mutant("services/patients/domain/adverse_events.py", 'if self.allowed_at is not None:', 'if False:', U_ADVERSE),
    Mutant("services/patients/domain/adverse_events.py", 'if self.resolved_at is not None:', 'if False:', U_ADVERSE),
    Mutant("services/patients/domain/adverse_events.py", 'if version != self.version:', 'if False:', U_ADVERSE),
    Mutant("services/patients/domain/adverse_events.py", 'if allowed and not self.allowed_at else changed', 'if allowed else changed', U_ADVERSE),
    Mutant("services/patients/store/adverse_events.py", 'select(adverse_event).where(*_this).with_for_update()', 'select(adverse_event).where(*_this)', I_ADVERSE),
    Mutant("services/patients/store/adverse_events.py", '        text(OPEN),\n', '', I_ADVERSE),
    Mutant("services/patients/domain/diagnoses.py", 'if self.effective > today(self.recorded_at, time_zone):', 'if self.effective > self.recorded_at.date():', U_ADVERSE),
    Mutant("services/patients/domain/diagnoses.py", 'if self.retracted_at is not None:', 'if False:', U_ADVERSE),
    Mutant("services/patients/store/diagnoses.py", 'select(diagnosis).where(*_this).with_for_update()', 'select(diagnosis).where(*_this)', I_DIAGNOSES),
    Mutant("services/patients/store/diagnoses.py", '        diagnosis.c.effective <= param("day", Date),\n', '        param("day", Date).is_not(None),\n', I_DIAGNOSES),
    Mutant("services/patients/store/diagnoses.py", '        diagnosis.c.retracted_at.is_(None),\n', '', I_DIAGNOSES),
    Mutant("services/patients/store/__init__.py", '        "diagnosis_standing_key": DiagnosisRecorded,\n', '', I_DIAGNOSES),
    Mutant("services/patients/migrations/versions/0004_adverse_events_and_diagnoses.py", 'postgresql_nulls_not_distinct=True', 'postgresql_nulls_not_distinct=False', I_DIAGNOSES),
]  # fmt: skip
