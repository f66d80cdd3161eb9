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
I_PATIENTS_QUESTIONNAIRES = "tests/integration/test_patients_questionnaires.py"
I_PATIENTS_SCREENINGS = "tests/integration/test_patients_screenings.py"
P_PATIENTS_ELIGIBILITY = "tests/property/test_patients_eligibility.py"
U_PATIENTS_ELIGIBILITY = "tests/unit/test_patients_eligibility.py"
U_PATIENTS_QUESTIONNAIRES = "tests/unit/test_patients_questionnaires.py"

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
    Mutant("services/patients/domain/questionnaires.py", '        if value in values[:n]:\n', '        if False:\n', U_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/domain/questionnaires.py", '    if question.code == AGE:\n', '    if False:\n', U_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/domain/questionnaires.py", 'if {each.language for each in texts} != languages:', 'if False:', U_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/domain/questionnaires.py", '        if value and question.type is not type:\n', '        if False:\n', U_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/domain/questionnaires.py", 'if question.type is QuestionType.INTEGER and question.min_value >= question.max_value:', 'if False:', U_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/domain/questionnaires.py", 'if question.type is QuestionType.CHOICE and not question.options:', 'if False:', U_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/domain/questionnaires.py", '    if depth > GROUPS_DEEP_MAX:\n', '    if False:\n', U_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/domain/questionnaires.py", '    if not group.conditions and not group.groups:\n', '    if False:\n', U_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/domain/questionnaires.py", ' and code not in question.option_codes:', ' and False:', U_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/domain/questionnaires.py", '    if condition.comparison not in allowed:\n', '    if False:\n', U_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/domain/questionnaires.py", '    if condition.value_name != wanted:\n', '    if False:\n', U_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/domain/questionnaires.py", 'if condition.int_value is not None and not least <= condition.int_value <= most:', 'if False:', U_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/domain/questionnaires.py", '        if self.retired_at is not None:\n', '        if False:\n', I_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/domain/eligibility.py", '((day.month, day.day) < (birth_date.month, birth_date.day))', '((day.month, day.day) <= (birth_date.month, birth_date.day))', U_PATIENTS_ELIGIBILITY),
    Mutant("services/patients/domain/eligibility.py", '        if not shown:\n', '        if False:\n', P_PATIENTS_ELIGIBILITY),
    Mutant("services/patients/domain/eligibility.py", '            if question.required and shown:\n', '            if question.required:\n', P_PATIENTS_ELIGIBILITY),
    Mutant("services/patients/domain/eligibility.py", '        if code not in known\n', '        if False\n', P_PATIENTS_ELIGIBILITY),
    Mutant("services/patients/domain/eligibility.py", 'if type(value) is not TYPES[question.type]:', 'if not isinstance(value, TYPES[question.type]):', U_PATIENTS_ELIGIBILITY),
    Mutant("services/patients/domain/eligibility.py", '        if value.code not in question.option_codes:\n', '        if False:\n', P_PATIENTS_ELIGIBILITY),
    Mutant("services/patients/domain/eligibility.py", '        if value > today:\n', '        if False:\n', P_PATIENTS_ELIGIBILITY),
    Mutant("services/patients/domain/eligibility.py", '        if len(value) > most:\n', '        if False:\n', P_PATIENTS_ELIGIBILITY),
    Mutant("services/patients/domain/eligibility.py", '        if not value.strip():\n', '        if not value:\n', P_PATIENTS_ELIGIBILITY),
    Mutant("services/patients/domain/eligibility.py", 'and not question.min_value <= value <= question.max_value:', 'and False:', P_PATIENTS_ELIGIBILITY),
    Mutant("services/patients/domain/eligibility.py", 'for each in (Outcome.EXCLUDED, Outcome.NEEDS_REVIEW) if', 'for each in (Outcome.NEEDS_REVIEW, Outcome.EXCLUDED) if', P_PATIENTS_ELIGIBILITY),
    Mutant("services/patients/domain/eligibility.py", 'return all(parts) if group.behavior is Behavior.ALL else any(parts)', 'return all(parts)', P_PATIENTS_ELIGIBILITY),
    Mutant("services/patients/domain/screenings.py", '        if self.version_id != self.current_version_id:\n', '        if False:\n', U_PATIENTS_ELIGIBILITY),
    Mutant("services/patients/domain/screenings.py", 'self.retired or self.questionnaire_id == self.assigned_id', 'self.questionnaire_id == self.assigned_id', U_PATIENTS_ELIGIBILITY),
    Mutant("services/patients/domain/screenings.py", 'now.astimezone(ZoneInfo(self.time_zone)).date()', 'now.date()', U_PATIENTS_ELIGIBILITY),
    Mutant("services/patients/domain/clearances.py", '        if self.expire_date > (latest := last_day(today)):\n', '        latest = today\n        if False:\n', I_PATIENTS_CLEARANCES),
    Mutant("services/patients/domain/clearances.py", 'if screening.outcome is not Outcome.ELIGIBLE and not self.override_reason:', 'if False:', I_PATIENTS_CLEARANCES),
    Mutant("services/patients/domain/clearances.py", 'year=today.year + MONTHS_MAX // 12, day=28', 'year=today.year + MONTHS_MAX // 12, month=3, day=1', U_PATIENTS_RULES),
    Mutant("services/patients/store/clearances.py", '    screening.c.protocol_id == param("protocol_id", Uuid),\n', '    param("protocol_id", Uuid).is_not(None),\n', I_PATIENTS_CLEARANCES),
    Mutant("services/patients/store/clearances.py", 'clearance.c.expire_date >= _day, clearance.c.revoked_at.is_(None)', 'clearance.c.expire_date >= _day', I_PATIENTS_CLEARANCES),
    Mutant("services/patients/store/screenings.py", 'patient.c.id == PATIENT, _seen)', 'patient.c.id == PATIENT)', I_PATIENTS_SCREENINGS),
    Mutant("services/patients/store/questionnaires.py", '        questionnaire.c.retired_at.is_(None),\n', '', I_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/store/__init__.py", '        "questionnaire_chain_id_code_key": QuestionnaireCodeTaken,\n', '', I_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/store/__init__.py", '        "screening_chain_id_patient_id_site_id_fkey": PatientNotFound,\n', '', I_PATIENTS_SCREENINGS),
    Mutant("services/patients/rpc/clearances.py", 'work, locks=[command.patient_id]', 'work', I_PATIENTS_CLEARANCES),
    Mutant("services/patients/rpc/screenings.py", 'work, locks=[command.patient_id]', 'work', I_PATIENTS_CLEARANCES),
    Mutant("services/patients/rpc/questionnaires.py", 'call, request, pb.PublishQuestionnaireVersionResponse, PatientsStore, work, locks=[questionnaire_id]', 'call, request, pb.PublishQuestionnaireVersionResponse, PatientsStore, work', I_PATIENTS_QUESTIONNAIRES),
    Mutant("services/patients/use_cases/clearances.py", 'if command.screening_id and all(', 'if False and all(', I_PATIENTS_CLEARANCES),
    Mutant("services/patients/migrations/versions/0006_questionnaires_and_the_limits_of_clearances.py", '"GRANT SELECT, INSERT ON questionnaire_version TO patients"', '"GRANT SELECT, INSERT, UPDATE, DELETE ON questionnaire_version TO patients"', I_PATIENTS_QUESTIONNAIRES),
]  # fmt: skip
