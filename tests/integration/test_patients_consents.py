"""Signatures, withdrawals and where a patient stands, through the gRPC door."""

import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from grpc import StatusCode

from atoll.patients.v1 import consent_service_pb2 as pb
from atoll.scheduling.v1.events_pb2 import SiteRegistered
from chassis.ids import new_id, to_wire
from chassis.times import to_date, to_timestamp
from tests.support.patients_access import Retention
from tests.support.patients_consents import ConsentDesk, desk, text
from tests.support.service import refusal

__all__ = ["desk"]

STAFF = ("ROLE_CHAIN_ADMIN", "ROLE_SITE_MANAGER", "ROLE_FRONT_DESK", "ROLE_CLINICIAN", "ROLE_NURSE")
SIGNING = (*STAFF, "ROLE_INTEGRATION")
READING = (*SIGNING, "ROLE_BILLING", "ROLE_AUDITOR")
MAY = date(2027, 5, 1)
MINOR: dict[str, Any] = {"birth_date": {"year": 2009, "month": 3, "day": 2}}  # Of age on 2 March 2027.
SELF, PARENT, GUARANTOR = (
    pb.SIGNER_RELATIONSHIP_SELF,
    pb.SIGNER_RELATIONSHIP_PARENT,
    pb.SIGNER_RELATIONSHIP_GUARANTOR,
)
VERBAL, PAPER = pb.CONSENT_METHOD_VERBAL, pb.CONSENT_METHOD_PAPER


async def test_a_signature_is_kept_with_what_was_signed(desk: ConsentDesk) -> None:
    patient = await desk.create()
    version = await desk.publish_document((await desk.document()).id, texts=[text("en-US"), text("es-MX", "Acepto.")])
    signed = await desk.sign(
        patient.id,
        version.id,
        language_code="ES-mx",
        signer_name="  Ana Ruíz ",
        method=VERBAL,
        witness_name=" Bo ",
        sign_time=to_timestamp(desk.service.now),
    )
    assert (signed.patient_id, signed.site_id) == (patient.id, to_wire("site", desk.site_id))
    assert (signed.consent_document_id, signed.document_code) == (version.consent_document_id, "TREATMENT")
    assert (signed.consent_document_version_id, signed.version_number, signed.state_code) == (version.id, 1, "")
    assert (signed.language_code, signed.content_hash) == ("es-MX", hashlib.sha256(b"Acepto.").hexdigest())
    assert (signed.signer_name, signed.witness_name) == ("Ana Ruíz", "Bo")
    assert (signed.relationship, signed.method, signed.recorded_by) == (SELF, VERBAL, "user")
    assert signed.sign_time == signed.create_time == to_timestamp(desk.service.now)
    assert not signed.HasField("withdraw_time")
    assert list((await desk.list_consents(patient.id)).consents) == [signed]


async def test_a_signature_is_published_with_codes_and_ids_only(desk: ConsentDesk) -> None:
    patient, document = await desk.create(), await desk.document(state_code="CO")
    version = await desk.publish_document(document.id, earlier_signatures_stay_good=True)
    signed = await desk.sign(patient.id, version.id, signer_name="Zyxwv")
    subject, event = (await desk.service.published())[-1]
    assert (subject, event.consent_id, event.patient_id) == ("patients.v1.consent.signed", signed.id, patient.id)
    assert (event.site_id, event.consent_document_id) == (signed.site_id, document.id)
    assert (event.document_code, event.state_code) == ("TREATMENT", "CO")
    assert (event.consent_document_version_id, event.version_number) == (version.id, 1)
    assert (event.effective_date, event.earlier_signatures_stay_good) == (version.effective_date, True)
    assert (event.sign_time, event.meta.aggregate_version) == (signed.sign_time, 1)
    assert b"Zyxwv" not in event.SerializeToString()


async def test_the_same_request_signs_and_withdraws_once(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    ids = [str(uuid4()), str(uuid4())]
    signed = await desk.sign(patient.id, version.id, request_id=ids[0])
    assert await desk.sign(patient.id, version.id, request_id=ids[0]) == signed
    withdrawn = await desk.withdraw(signed, request_id=ids[1])
    assert await desk.withdraw(signed, request_id=ids[1]) == withdrawn
    assert [await desk.service.count(table) for table in ("consent", "consent_withdrawal")] == [1, 1]


@pytest.mark.parametrize("role", SIGNING)
async def test_staff_record_signatures_and_withdrawals(desk: ConsentDesk, role: str) -> None:
    patient, version = await desk.create(), await desk.published()
    token = desk.service.token(role, sites=[desk.site_id], subject="staff")
    signed = await desk.sign(patient.id, version.id, token)
    assert signed.recorded_by == "staff"
    assert (await desk.withdraw(signed, token)).withdrawn_by == "staff"


async def test_who_only_reads_signs_and_withdraws_nothing(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    signed = await desk.sign(patient.id, version.id)
    for role in ("ROLE_BILLING", "ROLE_AUDITOR", "ROLE_SERVICE"):
        token = desk.service.token(role)
        for answer in (desk.sign(patient.id, version.id, token), desk.withdraw(signed, token)):
            assert (await refusal(answer)).reason == "ACCESS_DENIED"
    assert [await desk.service.count(table) for table in ("consent", "consent_withdrawal")] == [1, 0]


async def test_who_may_read_reads_and_is_audited(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    signed = await desk.sign(patient.id, version.id)
    reads = "SELECT count(*) FROM audit WHERE kind = 'AUDIT_PHI_READ'"
    for done, role in enumerate(READING):
        token = desk.service.token(role, sites=[desk.site_id])
        assert list((await desk.list_consents(patient.id, token)).consents) == [signed]
        assert (await desk.status(patient.id, token)).documents[0].consent == signed
        assert await desk.service.admin.fetchval(reads) == 2 * (done + 1)
    service = desk.service.token("ROLE_SERVICE")
    for answer in (desk.list_consents(patient.id, service), desk.status(patient.id, service)):
        assert (await refusal(answer)).reason == "ACCESS_DENIED"


async def test_a_patient_signs_reads_and_withdraws_for_themself(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    token = desk.as_patient(patient.id)
    signed = await desk.sign(patient.id, version.id, token)
    assert (signed.recorded_by, signed.sign_time) == ("the-patient", to_timestamp(desk.service.now))
    assert list((await desk.list_consents(patient.id, token)).consents) == [signed]
    assert (await desk.status(patient.id, token)).documents[0].status == pb.CONSENT_STATUS_CURRENT
    assert (await desk.withdraw(signed, token)).withdrawn_by == "the-patient"


async def test_a_patients_token_reaches_nobody_elses_consents(desk: ConsentDesk) -> None:
    patient, other, version = await desk.create(), await desk.create(), await desk.published()
    signed, token = await desk.sign(patient.id, version.id), desk.as_patient(other.id)
    for answer in (
        desk.sign(patient.id, version.id, token),
        desk.withdraw(signed, token),
        desk.list_consents(patient.id, token),
        desk.status(patient.id, token),
    ):
        assert (await refusal(answer)).reason == "ACCESS_DENIED"
    refused = await refusal(desk.withdraw(signed, token, patient_id=other.id))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "CONSENT_NOT_FOUND")
    assert [await desk.service.count(table) for table in ("consent", "consent_withdrawal")] == [1, 0]


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"relationship": PARENT}, [("relationship", "SIGNER_NOT_PATIENT")]),
        ({"method": PAPER}, [("method", "METHOD_NOT_PATIENTS")]),
        ({"witness_name": "Bo"}, [("witness_name", "WITNESS_NOT_PATIENTS")]),
        ({"sign_time": {"seconds": 1803916800}}, [("sign_time", "SIGN_TIME_NOT_PATIENTS")]),
    ],
)
async def test_a_patient_signs_electronically_now_and_alone(
    desk: ConsentDesk, changes: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    assert desk.service.now == datetime.fromtimestamp(1803916800, UTC)
    patient, version = await desk.create(), await desk.published()
    refused = await refusal(desk.sign(patient.id, version.id, desk.as_patient(patient.id), **changes))
    assert (refused.code, refused.reason, refused.faults) == (
        StatusCode.INVALID_ARGUMENT, "SIGNATURE_REFUSED", faults,
    )  # fmt: skip
    assert await desk.service.count("consent") == 0


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"method": VERBAL}, [("witness_name", "WITNESS_MISSING")]),
        ({"language_code": "es"}, [("language_code", "LANGUAGE_NOT_PUBLISHED")]),
        ({"relationship": GUARANTOR}, [("relationship", "GUARANTOR_MAY_NOT_SIGN")]),
        ({"sign_time": {"seconds": 1803916801}}, [("sign_time", "SIGN_TIME_IN_FUTURE")]),
        ({"sign_time": {"seconds": 1803916799}}, [("sign_time", "SIGN_TIME_BEFORE_PUBLISHED")]),
    ],
)
async def test_a_signature_that_cannot_be_is_refused(
    desk: ConsentDesk, changes: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    patient, version = await desk.create(), await desk.published()
    refused = await refusal(desk.sign(patient.id, version.id, **changes))
    assert (refused.code, refused.reason, refused.faults) == (
        StatusCode.INVALID_ARGUMENT, "SIGNATURE_REFUSED", faults,
    )  # fmt: skip
    assert await desk.service.count("consent") == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"signer_name": ""},
        {"signer_name": "  "},
        {"signer_name": "a\x00b"},
        {"signer_name": "x" * 201},
        {"witness_name": "a\nb"},
        {"relationship": 0},
        {"relationship": 9},
        {"method": 0},
        {"language_code": ""},
        {"sign_time": {"seconds": 2**40}},
    ],
)
async def test_a_signature_that_breaks_a_rule_is_refused(desk: ConsentDesk, changes: dict[str, Any]) -> None:
    patient, version = await desk.create(), await desk.published()
    refused = await refusal(desk.sign(patient.id, version.id, **changes))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    assert await desk.service.count("consent") == 0


async def test_whoever_pays_signs_what_says_so(desk: ConsentDesk) -> None:
    patient = await desk.create()
    version = await desk.published(code="FINANCIAL_POLICY", guarantor_may_sign=True)
    assert (await desk.sign(patient.id, version.id, relationship=GUARANTOR)).relationship == GUARANTOR
    minor = await desk.create(**MINOR)
    refused = await refusal(desk.sign(minor.id, version.id, relationship=GUARANTOR))
    assert refused.faults == [("relationship", "SIGNER_UNDER_AGE")]


async def test_for_a_minor_somebody_else_signs_until_the_birthday_at_the_site(desk: ConsentDesk) -> None:
    """At 6:59 on 2 March in UTC it is still the day before in Denver."""
    minor, version = await desk.create(**MINOR), await desk.published()
    desk.service.clock.now = datetime(2027, 3, 2, 6, 59, tzinfo=UTC)
    for token in (None, desk.as_patient(minor.id)):
        refused = await refusal(desk.sign(minor.id, version.id, token))
        assert (refused.reason, refused.faults) == (
            "SIGNATURE_REFUSED", [("relationship", "SIGNER_UNDER_AGE")],
        )  # fmt: skip
    assert await desk.service.count("consent") == 0
    by_parent = await desk.sign(minor.id, version.id, relationship=PARENT)
    desk.service.clock.now = datetime(2027, 3, 2, 7, tzinfo=UTC)
    by_patient = await desk.sign(minor.id, version.id, desk.as_patient(minor.id))
    assert (await desk.status(minor.id)).documents[0].consent == by_patient
    assert [each.id for each in (await desk.list_consents(minor.id)).consents] == [by_patient.id, by_parent.id]


async def test_a_version_is_signed_once_while_the_signature_stands(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    signed = await desk.sign(patient.id, version.id)
    refused = await refusal(desk.sign(patient.id, version.id, signer_name="Another"))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CONSENT_ALREADY_GIVEN")
    assert refused.metadata == {"consent_id": signed.id}
    assert await desk.service.count("consent") == 1


async def test_names_that_do_not_open_keep_nobody_from_signing_the_next_version(desk: ConsentDesk) -> None:
    patient, first = await desk.create(), await desk.published()
    await desk.sign(patient.id, first.id)
    second = await desk.publish_document(first.consent_document_id)
    spoil = "UPDATE consent SET signer_name = 's1.1.' || repeat('A', 60), witness_name = 's1.lost.' || repeat('A', 60)"
    await desk.service.admin.execute(spoil)
    assert (await desk.sign(patient.id, second.id)).version_number == 2


async def test_a_withdrawn_consent_can_be_given_again(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    first = await desk.sign(patient.id, version.id)
    desk.service.clock.now += timedelta(hours=1)
    withdrawn = await desk.withdraw(first, reason=" no longer ")
    assert (withdrawn.withdraw_reason, withdrawn.withdrawn_by) == ("no longer", "user")
    assert withdrawn.withdraw_time == to_timestamp(desk.service.now)
    assert withdrawn.withdraw_site_id == to_wire("site", desk.site_id)
    assert (await desk.status(patient.id)).documents[0].consent == withdrawn
    assert await desk.stands(patient.id) == {"TREATMENT": "WITHDRAWN"}
    second = await desk.sign(patient.id, version.id)
    assert await desk.stands(patient.id) == {"TREATMENT": "CURRENT"}
    assert (await desk.status(patient.id)).documents[0].consent == second
    assert list((await desk.list_consents(patient.id)).consents) == [second, withdrawn]


async def test_a_withdrawal_is_published_without_its_reason(desk: ConsentDesk) -> None:
    patient, version = await desk.create(site_ids=[to_wire("site", desk.other_site_id)]), await desk.published()
    withdrawn = await desk.withdraw(await desk.sign(patient.id, version.id), reason="Zyxwv", **desk.there)
    subject, event = (await desk.service.published())[-1]
    assert (subject, event.consent_id) == ("patients.v1.consent.withdrawn", withdrawn.id)
    assert (event.patient_id, event.site_id) == (patient.id, to_wire("site", desk.other_site_id))
    assert (event.consent_document_id, event.document_code) == (version.consent_document_id, "TREATMENT")
    assert (event.state_code, event.consent_document_version_id, event.version_number) == ("", version.id, 1)
    assert (event.withdraw_time, event.meta.aggregate_version) == (withdrawn.withdraw_time, 2)
    assert b"Zyxwv" not in event.SerializeToString()


async def test_what_does_not_stand_cannot_be_withdrawn(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    first = await desk.sign(patient.id, version.id)
    newer = await desk.publish_document(version.consent_document_id, earlier_signatures_stay_good=True)
    second = await desk.sign(patient.id, newer.id)
    superseded = await refusal(desk.withdraw(first))
    assert (superseded.code, superseded.reason) == (StatusCode.FAILED_PRECONDITION, "CONSENT_NOT_STANDING")
    assert (superseded.faults, superseded.metadata) == ([("consent_id", "SUPERSEDED")], {"consent_id": second.id})
    await desk.withdraw(second)
    before = await refusal(desk.withdraw(second))
    assert (before.reason, before.faults) == ("CONSENT_NOT_STANDING", [("consent_id", "WITHDRAWN")])
    assert await desk.stands(patient.id) == {"TREATMENT": "WITHDRAWN"}
    assert await desk.service.count("consent_withdrawal") == 1


async def test_a_consent_of_another_patient_site_or_chain_is_not_found(desk: ConsentDesk) -> None:
    patient, other, version = await desk.create(), await desk.create(), await desk.published()
    signed = await desk.sign(patient.id, version.id)
    for token, changes in (
        (None, {"patient_id": other.id}),
        (None, {"consent_id": to_wire("consent", new_id())}),
        (desk.at_other_site(), desk.there),
        (desk.of_other_chain(), {}),
    ):
        refused = await refusal(desk.withdraw(signed, token, **changes))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "CONSENT_NOT_FOUND")
    assert (await refusal(desk.withdraw(signed, desk.at_other_site()))).reason == "ACCESS_DENIED"
    refused = await refusal(desk.withdraw(signed, **desk.there))  # Which may not see the record.
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
    assert await desk.service.count("consent_withdrawal") == 0
    for token in (desk.at_other_site(), desk.of_other_chain()):
        assert len((await desk.list_consents(patient.id, token)).consents) == 0


async def test_nobody_signs_where_their_record_does_not_open(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    for patient_id, token, changes in (
        (to_wire("patient", new_id()), None, {}),
        (patient.id, None, desk.there),
        (patient.id, desk.at_other_site(), desk.there),
        (patient.id, desk.as_patient(patient.id), desk.there),
    ):
        refused = await refusal(desk.sign(patient_id, version.id, token, **changes))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
    assert await desk.service.count("consent") == 0
    for answer in (
        desk.status(to_wire("patient", new_id())),
        desk.status(patient.id, desk.at_other_site(), **desk.there),
    ):
        assert (await refusal(answer)).reason == "PATIENT_NOT_FOUND"


async def test_a_version_of_another_chain_or_of_none_is_not_found(desk: ConsentDesk) -> None:
    patient, other = await desk.create(), desk.of_other_chain()
    elsewhere = await desk.publish_document((await desk.document(other)).id, other)
    for version_id in (elsewhere.id, to_wire("consentdocumentversion", new_id())):
        refused = await refusal(desk.sign(patient.id, version_id))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "CONSENT_DOCUMENT_NOT_FOUND")
    assert await desk.service.count("consent") == 0


async def test_a_site_without_a_state_is_not_yet_known_until_it_is_told_again(desk: ConsentDesk) -> None:
    """As one that was heard of before its state was kept."""
    patient, version = await desk.create(), await desk.published()
    await desk.service.admin.execute("UPDATE site SET state = DEFAULT")
    unheard: dict[str, Any] = {"site_id": to_wire("site", new_id())}
    for answer in (
        desk.sign(patient.id, version.id),
        desk.status(patient.id),
        desk.sign(patient.id, version.id, **unheard),
        desk.status(patient.id, **unheard),
    ):
        refused = await refusal(answer)
        assert (refused.code, refused.reason, refused.retry) == (
            StatusCode.FAILED_PRECONDITION, "NOT_YET_KNOWN", True,
        )  # fmt: skip
    told = SiteRegistered(site_id=to_wire("site", desk.site_id), time_zone="America/Denver", state="CO")
    await desk.service.deliver(told)
    await desk.sign(patient.id, version.id)


async def test_an_outdated_version_is_refused_and_the_current_one_named(desk: ConsentDesk) -> None:
    patient, first = await desk.create(), await desk.published()
    second = await desk.publish_document(first.consent_document_id)
    refused = await refusal(desk.sign(patient.id, first.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CONSENT_VERSION_NOT_CURRENT")
    assert refused.faults == [("consent_document_version_id", "OUTDATED")]
    assert refused.metadata == {"current_version_id": second.id}
    assert await desk.service.count("consent") == 0


async def test_a_version_is_signed_from_midnight_at_the_site(desk: ConsentDesk) -> None:
    """1 May begins at 6:00 UTC in Denver, and at 7:00 in Phoenix."""
    patient = await desk.create(site_ids=[to_wire("site", desk.other_site_id)])
    first = await desk.published()
    second = await desk.publish_document(first.consent_document_id, from_day=MAY)
    desk.service.clock.now = datetime(2027, 5, 1, 5, 59, 59, tzinfo=UTC)
    early = await refusal(desk.sign(patient.id, second.id))
    assert early.faults == [("consent_document_version_id", "NOT_YET_IN_EFFECT")]
    assert early.metadata == {"current_version_id": first.id}
    desk.service.clock.now = datetime(2027, 5, 1, 6, tzinfo=UTC)
    assert (await refusal(desk.sign(patient.id, second.id, **desk.there))).metadata == {"current_version_id": first.id}
    assert (await desk.status(patient.id)).documents[0].consent_document_version_id == second.id
    assert (await desk.status(patient.id, **desk.there)).documents[0].consent_document_version_id == first.id
    late = await refusal(desk.sign(patient.id, first.id))
    assert late.metadata == {"current_version_id": second.id}
    await desk.sign(patient.id, second.id)


async def test_before_a_documents_first_day_nothing_is_to_be_signed(desk: ConsentDesk) -> None:
    patient, document = await desk.create(), await desk.document()
    assert await desk.stands(patient.id) == {}
    version = await desk.publish_document(document.id, from_day=MAY)
    refused = await refusal(desk.sign(patient.id, version.id))
    assert refused.faults == [("consent_document_version_id", "NOT_YET_IN_EFFECT")]
    assert refused.metadata == {}
    assert await desk.stands(patient.id) == {}
    assert await desk.stands(patient.id, day=MAY) == {"TREATMENT": "MISSING"}


async def test_a_retired_document_is_signed_no_more_and_no_longer_asked_for(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    of_state = await desk.published(state_code="CO")
    await desk.sign(patient.id, of_state.id)
    desk.service.clock.now += timedelta(days=1)
    await desk.retire(of_state.consent_document_id)
    refused = await refusal(desk.sign(patient.id, of_state.id))
    assert (refused.reason, refused.faults) == (
        "CONSENT_VERSION_NOT_CURRENT", [("consent_document_version_id", "RETIRED")],
    )  # fmt: skip
    assert refused.metadata == {"current_version_id": version.id}
    assert await desk.stands(patient.id) == {"TREATMENT": "MISSING"}
    assert await desk.stands(patient.id, day=date(2027, 3, 1)) == {"TREATMENT": "CURRENT"}
    await desk.retire(version.consent_document_id)
    assert (await refusal(desk.sign(patient.id, version.id))).metadata == {}
    assert await desk.stands(patient.id) == {}


async def test_a_states_own_document_comes_before_the_one_of_every_state(desk: ConsentDesk) -> None:
    patient = await desk.create(site_ids=[to_wire("site", desk.other_site_id)])
    everywhere = await desk.published()
    of_state = await desk.published(state_code="CO")
    refused = await refusal(desk.sign(patient.id, everywhere.id))
    assert refused.faults == [("consent_document_version_id", "STATE_HAS_ITS_OWN")]
    assert refused.metadata == {"current_version_id": of_state.id}
    elsewhere = await refusal(desk.sign(patient.id, of_state.id, **desk.there))
    assert (elsewhere.reason, elsewhere.faults) == (
        "CONSENT_VERSION_NOT_CURRENT", [("consent_document_version_id", "OTHER_STATE")],
    )  # fmt: skip
    assert elsewhere.metadata == {"current_version_id": everywhere.id}
    await desk.sign(patient.id, everywhere.id, **desk.there)
    [here], [there] = (
        (await desk.status(patient.id)).documents,
        (await desk.status(patient.id, **desk.there)).documents,
    )
    assert (here.consent_document_version_id, here.state_code, here.status) == (
        of_state.id, "CO", pb.CONSENT_STATUS_MISSING,
    )  # fmt: skip
    assert (there.consent_document_version_id, there.state_code, there.status) == (
        everywhere.id, "", pb.CONSENT_STATUS_CURRENT,
    )  # fmt: skip


async def test_a_states_document_stands_in_only_once_it_is_in_effect(desk: ConsentDesk) -> None:
    patient, everywhere = await desk.create(), await desk.published()
    of_state = await desk.publish_document((await desk.document(state_code="CO")).id, from_day=MAY)
    await desk.sign(patient.id, everywhere.id)
    assert await desk.stands(patient.id, day=date(2027, 4, 30)) == {"TREATMENT": "CURRENT"}
    assert await desk.stands(patient.id, day=MAY) == {"TREATMENT": "MISSING"}
    assert (await desk.status(patient.id, day=MAY)).documents[0].consent_document_version_id == of_state.id


async def test_a_status_names_each_document_by_code_with_what_it_rests_on(desk: ConsentDesk) -> None:
    patient, day = await desk.create(), date(2027, 3, 1)
    treatment, privacy = await desk.published(), await desk.published(code="PRIVACY_PRACTICES", display_name="Privacy")
    await desk.published(code="TELEHEALTH", state_code="TX")
    signed = await desk.sign(patient.id, treatment.id)
    answer = await desk.status(patient.id)
    assert answer.date == to_date(day)
    assert [each.document_code for each in answer.documents] == ["PRIVACY_PRACTICES", "TREATMENT"]
    first, second = answer.documents
    assert (first.consent_document_id, first.display_name) == (privacy.consent_document_id, "Privacy")
    assert (first.status, first.HasField("consent")) == (pb.CONSENT_STATUS_MISSING, False)
    assert (second.status, second.consent) == (pb.CONSENT_STATUS_CURRENT, signed)
    assert (second.consent_document_version_id, second.version_number) == (treatment.id, 1)
    assert second.effective_date == to_date(day)


async def test_a_newer_version_outdates_a_signature_unless_it_stays_good(desk: ConsentDesk) -> None:
    patient, first = await desk.create(), await desk.published()
    document_id = first.consent_document_id
    signed = await desk.sign(patient.id, first.id)
    await desk.publish_document(document_id, from_day=date(2027, 4, 1), earlier_signatures_stay_good=True)
    await desk.publish_document(document_id, from_day=date(2027, 5, 1))
    last = await desk.publish_document(document_id, from_day=date(2027, 6, 1), earlier_signatures_stay_good=True)
    for day, status in (
        (date(2027, 3, 31), "CURRENT"),
        (date(2027, 4, 1), "CURRENT"),
        (date(2027, 4, 30), "CURRENT"),
        (date(2027, 5, 1), "OUTDATED"),
        (date(2027, 6, 1), "OUTDATED"),
        (date(9998, 12, 31), "OUTDATED"),
    ):
        assert await desk.stands(patient.id, day=day) == {"TREATMENT": status}, day
    in_june = (await desk.status(patient.id, day=date(2027, 6, 1))).documents[0]
    assert (in_june.consent, in_june.consent_document_version_id) == (signed, last.id)
    desk.service.clock.now = datetime(2027, 6, 1, 12, tzinfo=UTC)
    await desk.sign(patient.id, last.id)
    assert await desk.stands(patient.id) == {"TREATMENT": "CURRENT"}


async def test_a_status_of_a_past_day_counts_what_was_done_by_its_end(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    desk.service.clock.now = datetime(2027, 3, 3, 6, 59, 59, tzinfo=UTC)  # Late on 2 March in Denver.
    signed = await desk.sign(patient.id, version.id)
    desk.service.clock.now = datetime(2027, 3, 15, 6, tzinfo=UTC)  # Midnight, after the clocks changed.
    await desk.withdraw(signed)
    for day, status in ((1, "MISSING"), (2, "CURRENT"), (14, "CURRENT"), (15, "WITHDRAWN")):
        assert await desk.stands(patient.id, day=date(2027, 3, day)) == {"TREATMENT": status}, day
    yesterday = (await desk.status(patient.id, day=date(2027, 3, 14))).documents[0].consent
    assert not yesterday.HasField("withdraw_time")


async def test_a_day_that_no_calendar_has_is_refused(desk: ConsentDesk) -> None:
    patient = await desk.create()
    request = pb.GetConsentStatusRequest(
        patient_id=patient.id, site_id=to_wire("site", desk.site_id), date={"year": 2027, "month": 2, "day": 29}
    )
    refused = await refusal(desk.service.call(desk.consents.GetConsentStatus, request))
    assert (refused.code, refused.faults) == (StatusCode.INVALID_ARGUMENT, [("date", "date.exists")])


async def test_paper_is_recorded_with_the_instant_of_signing(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    signed_at, desk.service.clock.now = desk.service.now, desk.service.now + timedelta(days=3)
    signed = await desk.sign(patient.id, version.id, method=PAPER, sign_time=to_timestamp(signed_at))
    assert (signed.sign_time, signed.create_time) == (to_timestamp(signed_at), to_timestamp(desk.service.now))
    assert await desk.stands(patient.id, day=date(2027, 3, 1)) == {"TREATMENT": "CURRENT"}


async def test_paper_of_a_version_since_replaced_is_taken_if_it_is_still_good(desk: ConsentDesk) -> None:
    document, patient, other = await desk.document(), await desk.create(), await desk.create()
    first, signed_at = await desk.publish_document(document.id), to_timestamp(desk.service.now)
    await desk.publish_document(document.id, from_day=date(2027, 3, 2), earlier_signatures_stay_good=True)
    desk.service.clock.now += timedelta(days=1)
    await desk.sign(patient.id, first.id, method=PAPER, sign_time=signed_at)
    assert await desk.stands(patient.id) == {"TREATMENT": "CURRENT"}
    third = await desk.publish_document(document.id, from_day=date(2027, 3, 2))
    refused = await refusal(desk.sign(other.id, first.id, method=PAPER, sign_time=signed_at))
    assert refused.faults == [("consent_document_version_id", "OUTDATED")]
    assert refused.metadata == {"current_version_id": third.id}


async def test_nothing_is_signed_before_what_was_signed_or_withdrawn_last(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    start = desk.service.now
    desk.service.clock.now += timedelta(hours=1)
    signed = await desk.sign(patient.id, version.id)
    desk.service.clock.now += timedelta(hours=1)
    await desk.withdraw(signed)
    late: dict[str, Any] = {"method": PAPER, "sign_time": to_timestamp(start + timedelta(hours=1, minutes=59))}
    refused = await refusal(desk.sign(patient.id, version.id, **late))
    assert (refused.reason, refused.faults) == ("SIGNATURE_REFUSED", [("sign_time", "SIGN_TIME_BEFORE_LAST")])
    assert await desk.stands(patient.id) == {"TREATMENT": "WITHDRAWN"}


async def test_consents_come_the_latest_first_in_pages(desk: ConsentDesk) -> None:
    patient = await desk.create()
    made = [await desk.sign(patient.id, (await desk.published(code=code)).id) for code in ("A", "B", "C")]
    await desk.sign((await desk.create()).id, made[0].consent_document_version_id)
    made[1] = await desk.withdraw(made[1])
    first = await desk.list_consents(patient.id, page_size=2)
    second = await desk.list_consents(patient.id, page_size=2, page_token=first.next_page_token)
    assert [*first.consents, *second.consents] == made[::-1]
    assert second.next_page_token == ""
    assert (await refusal(desk.list_consents(patient.id, page_token="x"))).reason == "BAD_PAGE_TOKEN"


async def test_every_site_of_a_record_sees_its_consents_and_no_other_site_does(desk: ConsentDesk) -> None:
    both = await desk.create(site_ids=[to_wire("site", desk.other_site_id)])
    alone, version = await desk.create(), await desk.published()
    signed = await desk.sign(both.id, version.id)
    await desk.sign(alone.id, version.id)
    token = desk.at_other_site()
    assert list((await desk.list_consents(both.id, token)).consents) == [signed]
    assert (await desk.status(both.id, token, **desk.there)).documents[0].consent == signed
    assert (await desk.withdraw(signed, token, **desk.there)).withdraw_site_id == to_wire("site", desk.other_site_id)
    assert len((await desk.list_consents(alone.id, token)).consents) == 0


async def test_a_signature_and_its_withdrawal_are_contacts_from_which_the_record_is_kept(desk: ConsentDesk) -> None:
    patient, version, retention = await desk.create(), await desk.published(), Retention(desk)
    desk.service.clock.now = desk.service.now.replace(year=2029)
    signed = await desk.sign(patient.id, version.id)
    assert await retention.holds(patient.id) == [("PERIOD", (2036, 3, 1))]
    desk.service.clock.now = desk.service.now.replace(year=2031)
    await desk.withdraw(signed)
    assert await retention.holds(patient.id) == [("PERIOD", (2038, 3, 1))]
