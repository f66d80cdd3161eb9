"""What was written into a record leaves with it: consents, permissions, measures, adverse events, diagnoses."""

import json
from typing import Any

import pytest

from chassis.ids import new_id, to_wire
from cli.exporting.command import patient_lines
from tests.integration.test_patients_export import client, exported
from tests.support.fhir import check_resource
from tests.support.patients_consents import ConsentDesk, desk
from tests.support.patients_parts import (
    CALM,
    GAD_7,
    PCL_5,
    call_adverse_events,
    call_diagnoses,
    call_measures,
    diagnose,
    of_patient,
    phq_9,
    record_measure,
    report,
    scores,
)

__all__ = ["desk"]

PATIENT_SAID: dict[str, Any] = {
    "channel": "MESSAGE_CHANNEL_EMAIL",
    "purpose": "MESSAGE_PURPOSE_BILLING",
    "permitted": False,
}


async def resources(desk: ConsentDesk, patient_id: str, type_: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) async for line in patient_lines(client(desk), patient_id)]
    for line in lines:
        check_resource(line)
        subject = line.get("subject") or line.get("patient") or {"reference": f"Patient/{line['id']}"}
        assert subject == {"reference": f"Patient/{patient_id.replace('_', '-')}"}
    return [line for line in lines if line["resourceType"] == type_]


def parts(resource: dict[str, Any], url: str) -> dict[str, Any]:
    """Of the one extension so called, the values of its parts."""
    [found] = [each for each in resource["extension"] if each["url"] == f"urn:atoll:fhir:{url}"]
    return {each["url"]: value for each in found["extension"] for name, value in each.items() if name != "url"}


def coded(concept: dict[str, Any]) -> str:
    [coding] = concept["coding"]
    code: str = coding["code"]
    return code


async def test_every_kind_of_entry_is_exported_as_it_is_shown(desk: ConsentDesk) -> None:
    patient, other = await desk.create(), await desk.create()
    signed = await desk.withdraw(await desk.sign(patient.id, (await desk.published()).id))
    permission = await desk.permit(patient.id)
    measured, reported = await record_measure(desk, patient.id, **phq_9(9)), await report(desk, patient.id)
    diagnosed = await diagnose(desk, patient.id)
    await diagnose(desk, other.id)
    [part] = await exported(desk, patient.id)
    assert list(part.consents) == [signed]
    assert [each.id for each in part.permissions] == [permission.id]
    assert (list(part.measures), list(part.diagnoses)) == ([measured], [diagnosed])
    assert list(part.adverse_events) == [reported]


async def test_a_signature_and_its_withdrawal_are_a_consent_under_a_policy(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    await desk.withdraw(await desk.sign(patient.id, version.id))
    await desk.sign(patient.id, version.id)
    withdrawn, active = await resources(desk, patient.id, "Consent")
    assert (withdrawn["status"], active["status"]) == ("inactive", "active")
    assert coded(active["scope"]) == "treatment"
    assert active["policy"] == [{"uri": f"urn:atoll:consentdocumentversion:{version.id.replace('_', '-')}"}]
    signature = parts(active, "signed")
    assert (signature["signer"], signature["relationship"], signature["method"]) == ("Ana Ruiz", "self", "electronic")
    assert (signature["document"], signature["version"], signature["language"]) == ("TREATMENT", 1, "en-US")
    assert parts(withdrawn, "withdrawn")["reason"] == "changed their mind"


async def test_a_clearance_leaves_with_its_limits_conditions_and_reasons(desk: ConsentDesk) -> None:
    patient = await desk.create()
    screened = await desk.screen(patient.id, answers=[{"question_code": "psychosis", "bool_value": True}])
    granted = await desk.clear(
        patient.id,
        protocol_id=screened.protocol_id,
        band_codes=["low", "middle"],
        session_minutes_max=40,
        conditions=[{"code": "ecg_first"}, {"code": "no_driving", "text": "until the morning after"}],
        override_reason="the psychosis was a fever's",
    )
    await desk.revoke(granted.id, reason="a new diagnosis")
    [found] = await resources(desk, patient.id, "Basic")
    told = [(each["url"].rpartition(":")[2], each) for each in found["extension"]]
    assert [each["valueCode"] for url, each in told if url == "dose-band"] == ["low", "middle"]
    assert [each["valuePositiveInt"] for url, each in told if url == "session-minutes-max"] == [40]
    assert [each["extension"] for url, each in told if url == "condition"] == [
        [{"url": "code", "valueCode": "ecg_first"}],
        [{"url": "code", "valueCode": "no_driving"}, {"url": "text", "valueString": "until the morning after"}],
    ]
    assert [each["valueString"] for url, each in told if url == "override-reason"] == ["the psychosis was a fever's"]
    assert parts(found, "revoked")["reason"] == "a new diagnosis"


async def test_a_screening_leaves_with_the_version_that_was_asked_and_what_came_of_it(desk: ConsentDesk) -> None:
    patient = await desk.create()
    screened = await desk.screen(patient.id, answers=[{"question_code": "psychosis", "bool_value": True}])
    [found] = await resources(desk, patient.id, "QuestionnaireResponse")
    version = screened.questionnaire_version_id.replace("_", "-")
    assert found["questionnaire"] == f"urn:atoll:questionnaireversion:{version}"
    told = [(each["url"].rpartition(":")[2], each) for each in found["extension"]]
    assert [url for url, _ in told] == ["site", "protocol", "outcome", "reason"]
    assert dict(told)["protocol"]["valueIdentifier"] == {"system": "urn:atoll:protocol", "value": screened.protocol_id}
    assert dict(told)["outcome"]["valueCode"] == "excluded"
    assert dict(told)["reason"]["valueCode"] == "psychosis_history"


async def test_what_was_decided_of_a_screening_leaves_with_it(desk: ConsentDesk) -> None:
    patient, protocol_id = await desk.create(), to_wire("protocol", new_id())
    asked = {"protocol_id": protocol_id, "questionnaire_version_id": (await desk.asks(protocol_id)).id}
    await desk.clear(patient.id, protocol_id=protocol_id)
    for _ in range(2):
        await desk.screen(patient.id, **asked, answers=[{"question_code": "psychosis", "bool_value": True}])
        granted = await desk.clear(patient.id, protocol_id=protocol_id, override_reason="a fever's")
    waits = await desk.screen(patient.id, **asked, answers=[{"question_code": "psychosis", "bool_value": True}])
    [part] = await exported(desk, patient.id)
    assert [each.review.decide_time == each.create_time for each in part.screenings] == [True, True, False]
    assert part.screenings[2] == waits
    _, cleared, waiting = await resources(desk, patient.id, "QuestionnaireResponse")
    told = parts(cleared, "reviewed")
    assert (told["decision"], told["clearance"]) == (
        "cleared", {"reference": f"Basic/{granted.id.replace('_', '-')}"},
    )  # fmt: skip
    assert "urn:atoll:fhir:reviewed" not in [each["url"] for each in waiting["extension"]]


async def test_who_wrote_is_called_staff_only_where_no_patient_may(desk: ConsentDesk) -> None:
    patient = await desk.create()
    await desk.sign(patient.id, (await desk.published()).id)
    await record_measure(desk, patient.id, **phq_9(9))
    await desk.screen(patient.id)
    await diagnose(desk, patient.id)
    [consent] = await resources(desk, patient.id, "Consent")
    [measure] = await resources(desk, patient.id, "Observation")
    [screening] = await resources(desk, patient.id, "QuestionnaireResponse")
    [condition] = await resources(desk, patient.id, "Condition")
    open_to_patients = parts(consent, "signed")["recordedBy"], measure["performer"][0], screening["author"]
    assert [set(each) for each in open_to_patients] == [{"identifier"}] * 3
    assert condition["recorder"]["type"] == "Practitioner"


async def test_a_permission_leaves_with_the_version_of_the_document_that_was_agreed_to(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    await desk.permit(patient.id, consent_document_version_id=version.id)
    await desk.permit(patient.id)
    under, by_word = await resources(desk, patient.id, "Consent")
    assert under["policy"] == [{"uri": f"urn:atoll:consentdocumentversion:{version.id.replace('_', '-')}"}]
    assert "policy" not in by_word


async def test_what_was_said_of_channels_is_a_consent_that_permits_or_denies(desk: ConsentDesk) -> None:
    patient = await desk.create()
    await desk.permit(patient.id)
    await desk.permit(patient.id, **PATIENT_SAID)
    permitted, denied = await resources(desk, patient.id, "Consent")
    assert [each["provision"] for each in (permitted, denied)] == [{"type": "permit"}, {"type": "deny"}]
    told = parts(denied, "permitted")
    assert (told["channel"], told["purpose"], told["giver"]) == ("email", "billing", "patient")
    assert coded(denied["scope"]) == "patient-privacy"


@pytest.mark.parametrize(
    ("content", "code", "total"),
    [
        (phq_9(9), "44261-6", 9),
        (scores(GAD_7, *[1] * 7), "70274-6", 7),
        (scores(PCL_5, *[2] * 20), "101698-9", 40),
    ],
)
async def test_a_questionnaire_is_an_observation_of_its_total(
    desk: ConsentDesk, content: dict[str, Any], code: str, total: int
) -> None:
    patient = await desk.create()
    await record_measure(desk, patient.id, course_id=to_wire("course", new_id()), **content)
    [found] = await resources(desk, patient.id, "Observation")
    assert (coded(found["code"]), found["valueInteger"], found["status"]) == (code, total, "final")
    assert sum(each["valueInteger"] for each in found["component"]) == total
    assert [coded(each["code"]) for each in found["component"]][-1] == str(len(found["component"]))
    assert [each["url"].rpartition(":")[2] for each in found["extension"]] == ["site", "course"]


async def test_vital_signs_have_the_units_of_ucum(desk: ConsentDesk) -> None:
    patient = await desk.create()
    told = CALM | {"temperature_tenths_celsius": 368, "weight_grams": 70500}
    await record_measure(desk, patient.id, vital_signs=told)
    [found] = await resources(desk, patient.id, "Observation")
    quantities = {coded(each["code"]): each["valueQuantity"] for each in found["component"]}
    assert {code: (each["value"], each["code"]) for code, each in quantities.items()} == {
        "8480-6": (120, "mm[Hg]"), "8462-4": (80, "mm[Hg]"), "8867-4": (70, "/min"), "59408-5": (98, "%"),
        "8310-5": (36.8, "Cel"), "29463-7": (70.5, "kg"),
    }  # fmt: skip
    assert (coded(found["code"]), coded(found["category"][0])) == ("85353-1", "vital-signs")


async def test_a_safety_flag_leaves_with_its_measure_and_with_the_note_once_it_is_acknowledged(
    desk: ConsentDesk,
) -> None:
    patient = await desk.create()
    asked, other = [await record_measure(desk, patient.id, **phq_9(9, self_harm=2)) for _ in range(2)]
    raised = list((await call_measures(desk, "ListSafetyFlags", site_id=asked.site_id)).safety_flags)
    done = await call_measures(desk, "AcknowledgeSafetyFlag", safety_flag_id=raised[0].id, note="called at home")
    [part] = await exported(desk, patient.id, of_patient(desk, patient.id))
    assert list(part.safety_flags) == [done.safety_flag, raised[1]]
    inactive, active = await resources(desk, patient.id, "Flag")
    assert [(each["status"], "end" in each["period"]) for each in (inactive, active)] == [
        ("inactive", True), ("active", False),
    ]  # fmt: skip
    assert (coded(active["code"]), coded(active["category"][0])) == ("self-harm", "safety")
    measures = [each["valueReference"] for flag in (inactive, active) for each in flag["extension"][1:2]]
    assert measures == [{"reference": f"Observation/{each.id.replace('_', '-')}"} for each in (asked, other)]
    assert parts(inactive, "acknowledged")["note"] == "called at home"


async def test_side_effects_have_a_severity_and_a_retracted_measure_is_entered_in_error(desk: ConsentDesk) -> None:
    patient = await desk.create()
    effects = {"side_effects": [{"code": "nausea", "severity": "SEVERITY_MODERATE"}]}
    recorded = await record_measure(desk, patient.id, side_effects=effects)
    await call_measures(desk, "RetractMeasure", measure_id=recorded.id)
    [found] = await resources(desk, patient.id, "Observation")
    [effect] = found["component"]
    assert (coded(effect["code"]), coded(effect["valueCodeableConcept"])) == ("nausea", "moderate")
    assert (found["status"], "by" in parts(found, "retracted")) == ("entered-in-error", True)


async def test_an_adverse_event_keeps_its_grades_and_how_it_ended(desk: ConsentDesk) -> None:
    patient = await desk.create()
    reported = await report(desk, patient.id, grade="GRADE_LIFE_THREATENING", description="blood pressure")
    changed = {"adverse_event_id": reported.id, "etag": reported.etag, "outcome": "OUTCOME_RECOVERED"}
    await call_adverse_events(desk, "ResolveAdverseEvent", **changed, treatment_allowed=True)
    [found] = await resources(desk, patient.id, "AdverseEvent")
    assert (coded(found["event"]), found["event"]["text"]) == ("hypertension", "blood pressure")
    assert (coded(found["severity"]), coded(found["outcome"])) == ("severe", "resolved")
    assert parts(found, "grade")["grade"] == "life-threatening"
    assert {"time", "by"} == parts(found, "resolved").keys() == parts(found, "treatment-allowed").keys()


async def test_a_diagnosis_is_a_condition_that_is_active_until_it_is_retracted(desk: ConsentDesk) -> None:
    patient = await desk.create()
    first = await diagnose(desk, patient.id)
    await diagnose(desk, patient.id, code="F43.10", rank="DIAGNOSIS_RANK_SECONDARY")
    await call_diagnoses(desk, "RetractDiagnosis", diagnosis_id=first.id)
    retracted, stands = await resources(desk, patient.id, "Condition")
    assert coded(retracted["verificationStatus"]) == "entered-in-error"
    assert "clinicalStatus" not in retracted
    assert (coded(stands["clinicalStatus"]), coded(stands["code"])) == ("active", "F43.10")
    assert stands["code"]["coding"][0]["system"] == "http://hl7.org/fhir/sid/icd-10-cm"
