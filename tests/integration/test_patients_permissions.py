"""Which channel may carry what, through the gRPC door."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from grpc import StatusCode

from atoll.notifications.v1.events_pb2 import ChannelOptedIn, ChannelOptedOut
from atoll.patients.v1 import patient_service_pb2 as patient_pb
from atoll.patients.v1 import permission_pb2 as shared_pb
from atoll.patients.v1 import permission_service_pb2 as pb
from atoll.patients.v1.patient_pb2 import CONTACT_USE_MOBILE, CONTACT_USE_UNSPECIFIED
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_timestamp
from services.patients.domain.patients import PatientNotFound
from services.patients.domain.permissions import Channel, Giver
from services.patients.store import PatientsStore
from services.patients.use_cases.permissions import OptOut, record_opt_out
from tests.support.patients_consents import ConsentDesk, desk
from tests.support.service import refusal

__all__ = ["desk"]

STAFF = (
    "ROLE_CHAIN_ADMIN",
    "ROLE_SITE_MANAGER",
    "ROLE_FRONT_DESK",
    "ROLE_CLINICIAN",
    "ROLE_NURSE",
    "ROLE_BILLING",
    "ROLE_INTEGRATION",
)
COMPANION: dict[str, Any] = {"purpose": "MESSAGE_PURPOSE_COMPANION", "method": "PERMISSION_METHOD_VERBAL"}
BY_COMPANION: dict[str, Any] = {**COMPANION, "giver": "PERMISSION_GIVER_COMPANION"}


async def details(desk: ConsentDesk, patient_id: str) -> patient_pb.ContactDetails:
    request = patient_pb.GetContactDetailsRequest(patient_id=patient_id)
    answer = await desk.service.call(desk.patients.GetContactDetails, request, desk.service.token("ROLE_SERVICE"))
    found: patient_pb.ContactDetails = answer.contact_details
    return found


async def present(desk: ConsentDesk, patient_id: str) -> list[tuple[str, str, int, bool]]:
    return [
        (
            shared_pb.MessageChannel.Name(each.channel).removeprefix("MESSAGE_CHANNEL_"),
            shared_pb.MessagePurpose.Name(each.purpose).removeprefix("MESSAGE_PURPOSE_"),
            each.use,
            each.permitted,
        )
        for each in (await details(desk, patient_id)).permissions
    ]


async def opt_out(desk: ConsentDesk, command: OptOut) -> None:
    async def work(store: PatientsStore) -> None:
        await record_opt_out(store, command)

    await desk.service.db.job(desk.service.inside("patients"), PatientsStore, work)


async def test_a_permission_is_kept_with_who_said_it_how_when_and_by_which_words(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published(code="PRIVACY_PRACTICES")
    told_at = to_timestamp(desk.service.now - timedelta(days=400))
    recorded = await desk.permit(
        patient.id,
        channel="MESSAGE_CHANNEL_EMAIL",
        purpose="MESSAGE_PURPOSE_TREATMENT_DETAIL",
        use=CONTACT_USE_MOBILE,
        giver="PERMISSION_GIVER_REPRESENTATIVE",
        method="PERMISSION_METHOD_PAPER",
        tell_time=told_at,
        wording_code="email_detail_2",
        consent_document_version_id=version.id,
    )
    assert (recorded.patient_id, recorded.site_id) == (patient.id, to_wire("site", desk.site_id))
    assert (recorded.channel, recorded.purpose, recorded.use, recorded.permitted) == (
        shared_pb.MESSAGE_CHANNEL_EMAIL, shared_pb.MESSAGE_PURPOSE_TREATMENT_DETAIL, CONTACT_USE_MOBILE, True,
    )  # fmt: skip
    assert (recorded.giver, recorded.method) == (shared_pb.PERMISSION_GIVER_REPRESENTATIVE, pb.PERMISSION_METHOD_PAPER)
    assert (recorded.tell_time, recorded.create_time) == (told_at, to_timestamp(desk.service.now))
    assert (recorded.wording_code, recorded.consent_document_version_id) == ("email_detail_2", version.id)
    assert recorded.recorded_by == "user"
    assert list((await desk.list_permissions(patient.id)).permissions) == [recorded]


async def test_a_permission_is_published_as_codes(desk: ConsentDesk) -> None:
    recorded = await desk.permit((await desk.create()).id, permitted=False, use=CONTACT_USE_MOBILE)
    subject, event = (await desk.service.published())[-1]
    assert (subject, event.permission_id) == ("patients.v1.permission.recorded", recorded.id)
    assert (event.patient_id, event.site_id) == (recorded.patient_id, recorded.site_id)
    assert (event.channel, event.purpose, event.use, event.permitted) == (
        shared_pb.MESSAGE_CHANNEL_SMS, shared_pb.MESSAGE_PURPOSE_APPOINTMENT, CONTACT_USE_MOBILE, False,
    )  # fmt: skip
    assert (event.giver, event.tell_time) == (shared_pb.PERMISSION_GIVER_PATIENT, recorded.tell_time)


async def test_the_same_request_records_once(desk: ConsentDesk) -> None:
    patient_id, request_id = (await desk.create()).id, str(uuid4())
    recorded = await desk.permit(patient_id, request_id=request_id)
    assert await desk.permit(patient_id, request_id=request_id) == recorded
    assert await desk.service.count("permission") == 1
    assert (await desk.facts()).count("patients.v1.permission.recorded") == 1


async def test_who_may_record_records_and_who_may_read_reads(desk: ConsentDesk) -> None:
    patient = await desk.create()
    for count, role in enumerate(STAFF, 1):
        token = desk.service.token(role, sites=[desk.site_id])
        await desk.permit(patient.id, token)
        assert len((await desk.list_permissions(patient.id, token)).permissions) == count
    auditor = desk.service.token("ROLE_AUDITOR")
    assert len((await desk.list_permissions(patient.id, auditor)).permissions) == len(STAFF)
    service = desk.service.token("ROLE_SERVICE")
    for answer in (
        desk.permit(patient.id, auditor),
        desk.permit(patient.id, service),
        desk.list_permissions(patient.id, service),
    ):
        assert (await refusal(answer)).reason == "ACCESS_DENIED"
    assert await desk.service.count("permission") == len(STAFF)


async def test_a_patient_speaks_for_themself_only(desk: ConsentDesk) -> None:
    patient, other = await desk.create(), await desk.create()
    token = desk.as_patient(patient.id)
    recorded = await desk.permit(patient.id, token)
    assert (recorded.recorded_by, recorded.tell_time) == ("the-patient", to_timestamp(desk.service.now))
    assert list((await desk.list_permissions(patient.id, token)).permissions) == [recorded]
    for answer in (desk.permit(other.id, token), desk.list_permissions(other.id, token)):
        assert (await refusal(answer)).reason == "ACCESS_DENIED"
    assert await desk.service.count("permission") == 1


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"giver": "PERMISSION_GIVER_REPRESENTATIVE"}, [("giver", "GIVER_NOT_PATIENT")]),
        ({"method": "PERMISSION_METHOD_REPLY"}, [("method", "METHOD_NOT_PATIENTS")]),
        ({"tell_time": {"seconds": 1803916800}}, [("tell_time", "TELL_TIME_NOT_PATIENTS")]),
    ],
)
async def test_a_patient_speaks_electronically_and_now(
    desk: ConsentDesk, changes: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    patient_id = (await desk.create()).id
    refused = await refusal(desk.permit(patient_id, desk.as_patient(patient_id), **changes))
    assert (refused.code, refused.reason, refused.faults) == (
        StatusCode.INVALID_ARGUMENT, "PERMISSION_REFUSED", faults,
    )  # fmt: skip
    assert await desk.service.count("permission") == 0


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"channel": "MESSAGE_CHANNEL_PORTAL", "use": CONTACT_USE_MOBILE}, [("use", "USE_OF_PORTAL")]),
        ({"giver": "PERMISSION_GIVER_COMPANION"}, [("giver", "GIVER_ONLY_FOR_COMPANION")]),
        ({"tell_time": {"seconds": 1803916801}}, [("tell_time", "TELL_TIME_IN_FUTURE")]),
    ],
)
async def test_a_permission_that_cannot_be_is_refused(
    desk: ConsentDesk, changes: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    refused = await refusal(desk.permit((await desk.create()).id, **changes))
    assert (refused.code, refused.reason, refused.faults) == (
        StatusCode.INVALID_ARGUMENT, "PERMISSION_REFUSED", faults,
    )  # fmt: skip
    assert await desk.service.count("permission") == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"channel": 0},
        {"purpose": 0},
        {"giver": 0},
        {"method": 0},
        {"channel": 77},
        {"use": 77},
        {"wording_code": "Two words"},
        {"wording_code": "a\x00"},
        {"wording_code": "x" * 65},
    ],
)
async def test_a_permission_that_breaks_a_rule_is_refused(desk: ConsentDesk, changes: dict[str, Any]) -> None:
    refused = await refusal(desk.permit((await desk.create()).id, **changes))
    assert (refused.reason, [field for field, _ in refused.faults]) == ("BAD_REQUEST", list(changes))
    assert await desk.service.count("permission") == 0


async def test_nothing_is_recorded_where_the_record_does_not_open_or_of_words_that_are_not_there(
    desk: ConsentDesk,
) -> None:
    patient, other = await desk.create(), desk.of_other_chain()
    elsewhere = await desk.publish_document((await desk.document(other)).id, other)
    for patient_id, changes, reason in (
        (patient.id, desk.there, "PATIENT_NOT_FOUND"),
        (to_wire("patient", new_id()), {}, "PATIENT_NOT_FOUND"),
        (patient.id, {"consent_document_version_id": elsewhere.id}, "CONSENT_DOCUMENT_NOT_FOUND"),
    ):
        refused = await refusal(desk.permit(patient_id, **changes))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, reason)
    assert (await refusal(desk.permit(patient.id, desk.at_other_site()))).reason == "ACCESS_DENIED"
    assert await desk.service.count("permission") == 0
    await desk.permit(patient.id)
    for token in (desk.at_other_site(), other):
        assert len((await desk.list_permissions(patient.id, token)).permissions) == 0


async def test_permissions_come_the_latest_recorded_first_in_pages(desk: ConsentDesk) -> None:
    patient = await desk.create()
    made = [await desk.permit(patient.id, permitted=permitted) for permitted in (True, False, True)]
    await desk.permit((await desk.create()).id)
    first = await desk.list_permissions(patient.id, page_size=2)
    second = await desk.list_permissions(patient.id, page_size=2, page_token=first.next_page_token)
    assert [*first.permissions, *second.permissions] == made[::-1]
    assert second.next_page_token == ""
    assert (await refusal(desk.list_permissions(patient.id, page_token="x"))).reason == "BAD_PAGE_TOKEN"


async def test_contact_details_hold_what_was_told_last(desk: ConsentDesk) -> None:
    patient, start = await desk.create(), desk.service.now
    assert await present(desk, patient.id) == []
    await desk.permit(patient.id)
    desk.service.clock.now += timedelta(hours=2)
    refused = await desk.permit(patient.id, permitted=False)
    assert await present(desk, patient.id) == [("SMS", "APPOINTMENT", CONTACT_USE_UNSPECIFIED, False)]
    assert (await details(desk, patient.id)).permissions[0].tell_time == refused.tell_time
    assert (await desk.list_permissions(patient.id)).present == (await details(desk, patient.id)).permissions
    await desk.permit(patient.id, tell_time=to_timestamp(start + timedelta(hours=1)))  # Written down late.
    assert await present(desk, patient.id) == [("SMS", "APPOINTMENT", CONTACT_USE_UNSPECIFIED, False)]
    await desk.permit(patient.id)
    assert await present(desk, patient.id) == [("SMS", "APPOINTMENT", CONTACT_USE_UNSPECIFIED, True)]


async def test_each_channel_purpose_and_use_stands_by_itself(desk: ConsentDesk) -> None:
    patient = await desk.create()
    await desk.permit(patient.id)
    await desk.permit(patient.id, use=CONTACT_USE_MOBILE, permitted=False)
    await desk.permit(patient.id, purpose="MESSAGE_PURPOSE_MARKETING", permitted=False)
    await desk.permit(patient.id, channel="MESSAGE_CHANNEL_EMAIL", purpose="MESSAGE_PURPOSE_TREATMENT_DETAIL")
    await desk.permit((await desk.create()).id, channel="MESSAGE_CHANNEL_VOICE")
    assert sorted(await present(desk, patient.id)) == [
        ("EMAIL", "TREATMENT_DETAIL", CONTACT_USE_UNSPECIFIED, True),
        ("SMS", "APPOINTMENT", CONTACT_USE_UNSPECIFIED, True),
        ("SMS", "APPOINTMENT", CONTACT_USE_MOBILE, False),
        ("SMS", "MARKETING", CONTACT_USE_UNSPECIFIED, False),
    ]


async def test_what_a_representative_says_is_the_patients_side(desk: ConsentDesk) -> None:
    patient = await desk.create()
    await desk.permit(patient.id)
    await desk.permit(patient.id, permitted=False, giver="PERMISSION_GIVER_REPRESENTATIVE")
    assert await present(desk, patient.id) == [("SMS", "APPOINTMENT", CONTACT_USE_UNSPECIFIED, False)]


@pytest.mark.parametrize(
    ("said", "permitted"),
    [
        ([COMPANION], False),
        ([BY_COMPANION], False),
        ([COMPANION, BY_COMPANION], True),
        ([BY_COMPANION, COMPANION], True),
        ([COMPANION, BY_COMPANION, {**BY_COMPANION, "permitted": False}], False),
        ([COMPANION, BY_COMPANION, {**COMPANION, "permitted": False}], False),
        ([COMPANION, BY_COMPANION, {**COMPANION, "permitted": False}, COMPANION], True),
    ],
)
async def test_a_companion_is_told_by_the_word_of_both(
    desk: ConsentDesk, said: list[dict[str, Any]], permitted: bool
) -> None:
    patient = await desk.create()
    for each in said:
        await desk.permit(patient.id, **each)
    assert await present(desk, patient.id) == [("SMS", "COMPANION", CONTACT_USE_UNSPECIFIED, permitted)]


async def test_an_opt_out_refuses_every_purpose_of_its_channel_at_the_home_site(desk: ConsentDesk) -> None:
    patient = await desk.create()
    await desk.permit(patient.id)
    await desk.permit(patient.id, channel="MESSAGE_CHANNEL_EMAIL")
    told_at = desk.service.now + timedelta(minutes=1)
    desk.service.clock.now += timedelta(minutes=2)
    command = OptOut(from_wire("patient", patient.id), Channel.SMS, Giver.PATIENT, told_at, "stop")
    await opt_out(desk, command)
    refused = (await desk.list_permissions(patient.id)).permissions[:4]
    assert {each.site_id for each in refused} == {patient.home_site_id}
    assert {(each.method, each.wording_code, each.tell_time.seconds) for each in refused} == {
        (pb.PERMISSION_METHOD_REPLY, "stop", int(told_at.timestamp()))
    }
    assert sorted(await present(desk, patient.id)) == [
        ("EMAIL", "APPOINTMENT", CONTACT_USE_UNSPECIFIED, True),
        ("SMS", "APPOINTMENT", CONTACT_USE_UNSPECIFIED, False),
        ("SMS", "BILLING", CONTACT_USE_UNSPECIFIED, False),
        ("SMS", "MARKETING", CONTACT_USE_UNSPECIFIED, False),
        ("SMS", "TREATMENT_DETAIL", CONTACT_USE_UNSPECIFIED, False),
    ]
    assert (await desk.facts()).count("patients.v1.permission.recorded") == 6


async def test_a_companion_opts_out_of_messages_to_themself_only(desk: ConsentDesk) -> None:
    patient = await desk.create()
    for said in ({}, COMPANION, BY_COMPANION):
        await desk.permit(patient.id, **said)
    await opt_out(
        desk, OptOut(from_wire("patient", patient.id), Channel.SMS, Giver.COMPANION, desk.service.now, "stop")
    )
    assert sorted(await present(desk, patient.id)) == [
        ("SMS", "APPOINTMENT", CONTACT_USE_UNSPECIFIED, True),
        ("SMS", "COMPANION", CONTACT_USE_UNSPECIFIED, False),
    ]


async def test_an_opt_out_of_nobody_is_refused_and_one_from_a_fast_clock_is_told_now(desk: ConsentDesk) -> None:
    fast = desk.service.now + timedelta(seconds=5)
    with pytest.raises(PatientNotFound):
        await opt_out(desk, OptOut(new_id(), Channel.SMS, Giver.PATIENT, fast))
    patient = await desk.create()
    await opt_out(desk, OptOut(from_wire("patient", patient.id), Channel.SMS, Giver.COMPANION, fast))
    [refused] = (await desk.list_permissions(patient.id)).permissions
    assert refused.tell_time == to_timestamp(desk.service.now)


async def test_one_chain_is_not_told_what_another_ones_patients_permit(desk: ConsentDesk) -> None:
    patient = await desk.create()
    await desk.permit(patient.id)
    request = patient_pb.GetContactDetailsRequest(patient_id=patient.id)
    service = desk.service.token("ROLE_SERVICE", chain_id=new_id())
    refused = await refusal(desk.service.call(desk.patients.GetContactDetails, request, service))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")


def asked(patient_id: str, event_type: Any, **changes: str) -> Any:
    """As notifications tells it."""
    fields = {"patient_id": patient_id, "channel": "SMS", "giver": "PATIENT", "method": "REPLY"} | changes
    return event_type(**fields)


async def test_who_opts_out_of_texts_is_recorded_to_have_refused_them_by_their_reply(desk: ConsentDesk) -> None:
    patient = await desk.create()
    await desk.permit(patient.id)
    desk.service.clock.now += timedelta(minutes=1)
    event = asked(patient.id, ChannelOptedOut)
    for _ in range(2):
        await desk.service.deliver(event)
    recorded = (await desk.list_permissions(patient.id)).permissions
    assert len(recorded) == 5
    assert {each.method for each in recorded[:4]} == {pb.PERMISSION_METHOD_REPLY}
    assert {each[1]: each[3] for each in await present(desk, patient.id)} == dict.fromkeys(
        ("APPOINTMENT", "BILLING", "MARKETING", "TREATMENT_DETAIL"), False
    )


async def test_who_opts_in_again_is_told_of_appointments_and_of_nothing_that_needs_its_own_yes(
    desk: ConsentDesk,
) -> None:
    patient = await desk.create()
    await desk.permit(patient.id, purpose="MESSAGE_PURPOSE_BILLING")
    for event_type in (ChannelOptedOut, ChannelOptedIn):
        desk.service.clock.now += timedelta(minutes=1)
        await desk.service.deliver(asked(patient.id, event_type, method="VERBAL"))
    assert {each[1]: each[3] for each in await present(desk, patient.id)} == {
        "APPOINTMENT": True,
        "BILLING": False,
        "MARKETING": False,
        "TREATMENT_DETAIL": False,
    }
    assert (await desk.list_permissions(patient.id)).permissions[0].method == pb.PERMISSION_METHOD_VERBAL


async def test_of_an_address_that_nobody_is_known_by_nothing_is_recorded(desk: ConsentDesk) -> None:
    before = len(await desk.facts())
    for event_type in (ChannelOptedOut, ChannelOptedIn):
        await desk.service.deliver(asked("", event_type))
    assert len(await desk.facts()) == before
