"""The Python client against a server that answers as it is told: retries, refusals, pages, streams, tokens, values."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, date, datetime
from datetime import time as clock
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import grpc
import pytest
import pytest_asyncio
from google.rpc.error_details_pb2 import BadRequest, PreconditionFailure
from google.type.date_pb2 import Date
from google.type.money_pb2 import Money

from atoll.patients.v1 import export_service_pb2
from atoll.patients.v1.export_service_pb2 import ExportPatientsResponse
from atoll.scheduling.v1 import board_service_pb2, course_service_pb2, site_service_pb2
from atoll.scheduling.v1.board_service_pb2 import VisitChange, WatchSiteResponse
from atoll.scheduling.v1.course_service_pb2 import ReleaseHoldResponse
from atoll.scheduling.v1.site_service_pb2 import GetSiteResponse, ListSitesResponse, Site
from atoll_client import (
    Atoll,
    AtollError,
    ClientCredentials,
    Conflict,
    InvalidArgument,
    NotYet,
    OutOfRange,
    Reason,
    Retry,
    ServerFault,
    TooLate,
    TryAgain,
    Unauthenticated,
    from_minor,
    from_timestamp,
    request_id_for,
    scheduling,
    to_decimal,
    to_minor,
    to_money,
    to_timestamp,
)
from atoll_client.atoll import _target
from atoll_client.tokens import renew_at
from tests.support.stand_in import Refusal, Script, StandIn, stand_in

COURSE, SITE = "course_01h455vb4pex5vsknk084sn02q", "site_01h455vb4pex5vsknk084sn02q"
PATIENT = "patient_01h455vb4pex5vsknk084sn02q"
AWAY = Refusal(grpc.StatusCode.UNAVAILABLE)
RELEASED = ReleaseHoldResponse()
QUICK = Retry(first_s=0.001, longest_s=0.005)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[StandIn]:
    modules = site_service_pb2, course_service_pb2, board_service_pb2, export_service_pb2
    async with stand_in(*modules) as there:
        yield there


@pytest_asyncio.fixture
async def atoll(server: StandIn) -> AsyncIterator[Atoll]:
    async with Atoll(server.url, "a-token", retry=QUICK) as atoll:
        yield atoll


async def test_what_is_away_is_asked_again_with_the_same_request_id(server: StandIn, atoll: Atoll) -> None:
    server.answers["ReleaseHold"] = [AWAY, AWAY, RELEASED]
    await atoll.scheduling.courses.release_hold(course_id=COURSE)
    sent = [each.request_id for each in server.asked["ReleaseHold"]]
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert UUID(sent[0]).version == 4


async def test_each_change_gets_a_request_id_of_its_own(server: StandIn, atoll: Atoll) -> None:
    server.answers["ReleaseHold"] = [RELEASED]
    for _ in range(2):
        await atoll.scheduling.courses.release_hold(course_id=COURSE)
    assert len({each.request_id for each in server.asked["ReleaseHold"]}) == 2


async def test_a_request_id_of_the_callers_own_is_sent_as_it_is(server: StandIn, atoll: Atoll) -> None:
    server.answers["ReleaseHold"] = [RELEASED]
    await atoll.scheduling.courses.release_hold(course_id=COURSE, request_id=request_id_for("release", 7))
    assert server.asked["ReleaseHold"][0].request_id == request_id_for("release", 7) != request_id_for("release", 8)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0] not in (0, 14)])
async def test_nothing_but_unavailable_is_asked_again(server: StandIn, atoll: Atoll, code: grpc.StatusCode) -> None:
    server.answers["ReleaseHold"] = [Refusal(code, "NOT_YET_KNOWN", retry_s=0.001), RELEASED]
    with pytest.raises(AtollError):
        await atoll.scheduling.courses.release_hold(course_id=COURSE)
    assert len(server.asked["ReleaseHold"]) == 1


async def test_attempts_are_bounded_and_the_error_keeps_the_request_id(server: StandIn, atoll: Atoll) -> None:
    server.answers["ReleaseHold"] = [AWAY]
    with pytest.raises(TryAgain) as caught:
        await atoll.scheduling.courses.release_hold(course_id=COURSE)
    sent = server.asked["ReleaseHold"]
    assert (len(sent), sent[0].request_id) == (6, caught.value.request_id)


async def test_what_the_service_says_to_wait_is_waited(server: StandIn, atoll: Atoll) -> None:
    server.answers["GetSite"] = [Refusal(grpc.StatusCode.UNAVAILABLE, "TRY_AGAIN", retry_s=0.2), GetSiteResponse()]
    began = time.monotonic()
    await atoll.scheduling.sites.get(site_id=SITE)
    assert time.monotonic() - began >= 0.2


async def test_a_pause_that_would_outlast_the_deadline_is_not_begun(server: StandIn, atoll: Atoll) -> None:
    server.answers["GetSite"] = [Refusal(grpc.StatusCode.UNAVAILABLE, "TRY_AGAIN", retry_s=60)]
    began = time.monotonic()
    with pytest.raises(TryAgain):
        await atoll.scheduling.sites.get(site_id=SITE, timeout_s=5)
    assert time.monotonic() - began < 4


async def test_the_deadline_is_for_all_attempts_together(server: StandIn, atoll: Atoll) -> None:
    async def away_then_slow(_: object) -> Any:
        if len(server.asked["GetSite"]) > 1:
            await asyncio.sleep(5)
        return AWAY

    server.answers["GetSite"] = away_then_slow
    began = time.monotonic()
    with pytest.raises(TooLate):
        await atoll.scheduling.sites.get(site_id=SITE, timeout_s=0.5)
    assert time.monotonic() - began < 4
    assert len(server.asked["GetSite"]) == 2


async def test_reasons_that_are_named_are_waited_for_too(server: StandIn) -> None:
    not_yet = Refusal(grpc.StatusCode.FAILED_PRECONDITION, "NOT_YET_KNOWN", retry_s=0.001)
    server.answers["ReleaseHold"] = [not_yet, not_yet, RELEASED]
    patient = Retry(first_s=0.001, also=[Reason.NOT_YET_KNOWN])
    async with Atoll(server.url, "a-token", retry=patient) as atoll:
        await atoll.scheduling.courses.release_hold(course_id=COURSE)
    assert len({each.request_id for each in server.asked["ReleaseHold"]}) == 1


def test_pauses_grow_within_bounds_and_are_no_two_alike() -> None:
    away = TryAgain(grpc.StatusCode.UNAVAILABLE, "GetSite")
    retry = Retry(attempts=9)
    for attempt, longest in zip(range(1, 9), [0.1, 0.3, 0.9, 2.7, 3, 3, 3, 3], strict=True):
        pauses = [retry.pause_s(attempt, away) or 0 for _ in range(50)]
        assert longest / 2 <= min(pauses) < max(pauses) <= longest
    assert retry.pause_s(9, away) is None


async def test_a_conflict_tells_its_reason_its_metadata_its_violations_and_its_details(
    server: StandIn, atoll: Atoll
) -> None:
    failures = [{"type": "VISITS_CONFLICT", "subject": "visits[1].start_time", "description": "is taken"}]
    alternatives = scheduling.VisitsConflictDetail(visits=[scheduling.VisitAlternatives()])
    server.answers["ReleaseHold"] = [
        Refusal(
            grpc.StatusCode.FAILED_PRECONDITION,
            "VISITS_CONFLICT",
            PreconditionFailure(violations=failures),
            alternatives,
            course_id=COURSE,
        )
    ]
    with pytest.raises(Conflict) as caught:
        await atoll.scheduling.courses.release_hold(course_id=COURSE)
    error = caught.value
    assert error.reason == Reason.VISITS_CONFLICT
    assert error.metadata == {"course_id": COURSE}
    assert [(each.field, each.rule) for each in error.violations] == [("visits[1].start_time", "VISITS_CONFLICT")]
    assert error.detail(scheduling.VisitsConflictDetail) == alternatives
    assert not isinstance(error, NotYet)
    assert str(error) == (
        "atoll.scheduling.v1.CourseService/ReleaseHold: FAILED_PRECONDITION VISITS_CONFLICT: refused by the "
        "stand-in; visits[1].start_time: is taken"
    )


async def test_each_field_at_fault_is_named(server: StandIn, atoll: Atoll) -> None:
    faults = [{"field": "site_id", "reason": "string.typeid", "description": "is not an id of the kind"}]
    server.answers["GetSite"] = [
        Refusal(grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST", BadRequest(field_violations=faults))
    ]
    with pytest.raises(InvalidArgument) as caught:
        await atoll.scheduling.sites.get(site_id="me")
    assert [each.field for each in caught.value.violations] == ["site_id"]


async def test_what_may_pass_later_is_a_conflict_of_its_own_kind(server: StandIn, atoll: Atoll) -> None:
    server.answers["GetSite"] = [Refusal(grpc.StatusCode.FAILED_PRECONDITION, "NOT_YET_KNOWN", retry_s=1)]
    with pytest.raises(NotYet) as caught:
        await atoll.scheduling.sites.get(site_id=SITE)
    assert caught.value.retry_after
    assert caught.value.retry_after.total_seconds() == 1


async def test_what_nobody_expected_is_a_fault_of_the_server(server: StandIn, atoll: Atoll) -> None:
    server.answers["GetSite"] = [Refusal(grpc.StatusCode.INTERNAL)]
    with pytest.raises(ServerFault) as caught:
        await atoll.scheduling.sites.get(site_id=SITE)
    assert (caught.value.reason, caught.value.metadata, caught.value.violations) == ("", {}, ())


async def test_a_name_that_the_request_does_not_have_is_refused_here(server: StandIn, atoll: Atoll) -> None:
    plan: Any = atoll.scheduling.sites.get
    with pytest.raises(TypeError):
        await plan(site_id=SITE, colour="red")
    with pytest.raises(ValueError, match="colour"):
        Site(**{"colour": "red"})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await plan()
    assert not server.asked


async def test_a_list_is_read_page_by_page_as_it_is_used(server: StandIn, atoll: Atoll) -> None:
    server.answers["ListSites"] = sites_in_pages("ab", "", "cd")
    read = []
    async for site in atoll.scheduling.sites.list(page_size=2):
        read.append((site.code, len(server.asked["ListSites"])))
    assert read == [("a", 1), ("b", 1), ("c", 3), ("d", 3)]
    assert [each.page_token for each in server.asked["ListSites"]] == ["", "page 1", "page 2"]
    assert {each.page_size for each in server.asked["ListSites"]} == {2}


async def test_who_stops_reading_asks_for_no_further_page(server: StandIn, atoll: Atoll) -> None:
    server.answers["ListSites"] = sites_in_pages("ab", "cd")
    async for _ in atoll.scheduling.sites.list():
        break
    assert len(server.asked["ListSites"]) == 1


async def test_a_page_may_be_taken_by_itself(server: StandIn, atoll: Atoll) -> None:
    server.answers["ListSites"] = sites_in_pages("ab", "cd")
    first = await atoll.scheduling.sites.list()
    second = await atoll.scheduling.sites.list(page_token=first.next_page_token)
    assert ["".join(site.code for site in page.sites) for page in (first, second)] == ["ab", "cd"]
    assert not second.next_page_token


async def test_a_page_that_is_away_is_asked_for_again(server: StandIn, atoll: Atoll) -> None:
    first, second = sites_in_pages("ab", "cd")
    server.answers["ListSites"] = [first, AWAY, second]
    pages = [page async for page in atoll.scheduling.sites.list().by_page()]
    assert pages == [first, second]


async def test_a_list_that_would_never_end_is_ended(server: StandIn, atoll: Atoll) -> None:
    page = ListSitesResponse(next_page_token="again")
    server.answers["ListSites"] = [page, page, Refusal(grpc.StatusCode.NOT_FOUND)]
    with pytest.raises(RuntimeError, match="never end"):
        _ = [site async for site in atoll.scheduling.sites.list()]
    assert len(server.asked["ListSites"]) == 2


async def test_a_watch_that_breaks_off_goes_on_after_the_last_message(server: StandIn, atoll: Atoll) -> None:
    broken = Refusal(grpc.StatusCode.INTERNAL)
    server.answers["WatchSite"] = [[change("1"), change("2"), broken], [AWAY], [change("3")], [change("4")]]
    assert await watched(atoll, 4) == ["1", "2", "3", "4"]
    assert [each.resume_token for each in server.asked["WatchSite"]] == ["", "2", "2", "3"]


async def test_a_watch_that_the_server_ends_at_its_greatest_age_goes_on(server: StandIn, atoll: Atoll) -> None:
    server.answers["WatchSite"] = [[change("1")], [change("2")]]
    assert await watched(atoll, 2, resume_token="0") == ["1", "2"]
    assert [each.resume_token for each in server.asked["WatchSite"]] == ["0", "1"]


async def test_a_watch_whose_token_expired_is_opened_with_a_new_one_once(server: StandIn) -> None:
    expired = Refusal(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")
    server.answers["WatchSite"] = [[change("1"), expired], [change("2"), expired], [expired]]
    given = iter([jwt(1), jwt(2), jwt(3)])
    async with Atoll(server.url, lambda: next(given), retry=QUICK) as atoll:
        with pytest.raises(Unauthenticated):
            await watched(atoll, 3)
    assert [each["authorization"] for each in server.metadata] == [f"Bearer {jwt(n)}" for n in (1, 2, 3)]


async def test_a_watch_that_is_silent_for_longer_than_its_heartbeats_is_opened_again(server: StandIn) -> None:
    server.answers["WatchSite"] = [[change("1"), 60.0], [change("2")]]
    async with Atoll(server.url, "a-token", retry=Retry(first_s=0.001, silence_s=2.0)) as atoll:
        async with asyncio.timeout(20):
            assert await watched(atoll, 2) == ["1", "2"]
    assert [each.resume_token for each in server.asked["WatchSite"]] == ["", "1"]


async def test_a_watch_that_cannot_go_on_from_there_says_so(server: StandIn, atoll: Atoll) -> None:
    server.answers["WatchSite"] = [[Refusal(grpc.StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED")]]
    with pytest.raises(OutOfRange):
        await watched(atoll, 1, resume_token="old")
    assert len(server.asked["WatchSite"]) == 1


async def test_a_watch_that_cannot_be_opened_is_given_up_as_a_call_is(server: StandIn) -> None:
    server.answers["WatchSite"] = [[AWAY]]
    async with Atoll(server.url, "a-token", retry=Retry(attempts=3, first_s=0.01)) as atoll:
        with pytest.raises(TryAgain):
            await watched(atoll, 1)
    assert len(server.asked["WatchSite"]) == 3


async def test_a_watch_that_was_open_once_is_opened_until_its_reader_leaves(server: StandIn) -> None:
    server.answers["WatchSite"] = [[change("1"), AWAY], [AWAY], [AWAY], [AWAY], [change("2")]]
    impatient = Retry(attempts=2, first_s=0.01, longest_s=0.01, reopen_s=0.001)
    async with Atoll(server.url, "a-token", retry=impatient) as atoll:
        assert await watched(atoll, 2) == ["1", "2"]


async def test_an_export_that_cannot_go_on_is_given_up_in_the_end(server: StandIn) -> None:
    server.answers["ExportPatients"] = [[exported("1"), AWAY], [AWAY]]
    async with Atoll(server.url, "a-token", retry=Retry(first_s=0.01, longest_s=0.01, reopen_s=0.1)) as atoll:
        with pytest.raises(TryAgain):
            _ = [each async for each in atoll.patients.exports.export_patients()]
    assert 3 < len(server.asked["ExportPatients"]) < 100


async def test_an_export_that_was_silent_for_long_is_opened_again_all_the_same(server: StandIn) -> None:
    """The time in vain counts from the break, not from the last message."""
    last = ExportPatientsResponse(complete=True)
    server.answers["ExportPatients"] = [[exported("1"), AWAY], [exported("2"), 0.5, AWAY], [last]]
    async with Atoll(server.url, "a-token", retry=Retry(first_s=0.01, longest_s=0.01, reopen_s=0.25)) as atoll:
        assert [each.resume_token async for each in atoll.patients.exports.export_patients()] == ["1", "2", ""]


@pytest.mark.parametrize("first", [[ExportPatientsResponse(resume_token="1")], []])
async def test_an_export_that_ends_without_its_end_is_opened_less_and_less_often(
    server: StandIn, first: list[ExportPatientsResponse]
) -> None:
    server.answers["ExportPatients"] = [[*first], []]
    async with Atoll(server.url, "a-token", retry=Retry(first_s=0.01, reopen_s=0.5)) as atoll:
        with pytest.raises(TryAgain, match="goes on"):
            _ = [each async for each in atoll.patients.exports.export_patients()]
    assert 3 < len(server.asked["ExportPatients"]) < 10


async def test_an_export_goes_on_until_it_says_that_it_is_complete(server: StandIn, atoll: Atoll) -> None:
    last, gone = ExportPatientsResponse(complete=True), Refusal(grpc.StatusCode.OUT_OF_RANGE)
    server.answers["ExportPatients"] = [[exported("1"), exported("")], [exported("2"), last], [gone]]
    tokens = [each.resume_token async for each in atoll.patients.exports.export_patients()]
    assert tokens == ["1", "", "2", ""]
    assert [each.resume_token for each in server.asked["ExportPatients"]] == ["", "1"]


async def test_a_stream_without_tokens_is_not_opened_again(server: StandIn, atoll: Atoll) -> None:
    part = export_service_pb2.ExportPatientResponse()
    server.answers["ExportPatient"] = [[part], [part, AWAY]]
    opened = [each async for each in atoll.patients.exports.export_patient(patient_id=PATIENT)]
    assert opened == [part]
    with pytest.raises(TryAgain):
        _ = [each async for each in atoll.patients.exports.export_patient(patient_id=PATIENT)]
    assert len(server.asked["ExportPatient"]) == 2


async def test_a_source_of_tokens_is_asked_when_the_last_one_is_about_to_end(server: StandIn) -> None:
    server.answers["GetSite"] = [GetSiteResponse()]
    given = [jwt(1), jwt(2)]
    asked = []

    async def source() -> str:
        asked.append(1)
        await asyncio.sleep(0.01)
        return given[len(asked) - 1]

    async with Atoll(server.url, source) as atoll:
        await asyncio.gather(*(atoll.scheduling.sites.get(site_id=SITE) for _ in range(5)))
        assert len(asked) == 1
        server.answers["GetSite"] = [Refusal(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REFUSED"), GetSiteResponse()]
        with pytest.raises(Unauthenticated):
            await atoll.scheduling.sites.get(site_id=SITE)
        await atoll.scheduling.sites.get(site_id=SITE)
    assert [each["authorization"] for each in server.metadata][-2:] == [f"Bearer {token}" for token in given]


async def test_a_key_of_a_service_account_is_changed_into_tokens(server: StandIn) -> None:
    server.answers["GetSite"] = [GetSiteResponse()]
    with token_endpoint((503, {}), (200, {"access_token": jwt(1), "token_type": "Bearer"})) as (url, asked):
        async with Atoll(server.url, ClientCredentials(url, "key_1", "a:b"), retry=QUICK) as atoll:
            for _ in range(2):
                await atoll.scheduling.sites.get(site_id=SITE)
    basic = base64.b64encode(b"key_1:a%3Ab").decode()
    assert asked == [(f"Basic {basic}", "grant_type=client_credentials")] * 2
    assert [each["authorization"] for each in server.metadata] == [f"Bearer {jwt(1)}"] * 2


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"error": "invalid_client"}, Unauthenticated),
        (400, {"error": "invalid_request"}, Unauthenticated),
        (500, {}, TryAgain),
        (200, {"error": "none"}, ServerFault),
    ],
)
async def test_a_key_that_gets_no_token_says_why(
    server: StandIn, status: int, body: dict[str, str], kind: type[AtollError]
) -> None:
    with token_endpoint((status, body)) as (url, _):
        async with Atoll(server.url, ClientCredentials(url, "key_1", "secret"), retry=QUICK) as atoll:
            with pytest.raises(kind) as caught:
                await atoll.scheduling.sites.get(site_id=SITE)
    assert "secret" not in str(caught.value)
    assert not server.asked


async def test_an_endpoint_of_tokens_that_is_away_may_be_asked_again() -> None:
    with token_endpoint() as (url, _):
        pass
    with pytest.raises(TryAgain):
        await ClientCredentials(url, "key_1", "secret")()
    with pytest.raises(ValueError, match="listens"):
        ClientCredentials("http://api.example.com/oauth/token", "key_1", "secret")


def test_a_token_is_renewed_before_it_ends_and_one_that_does_not_say_each_time() -> None:
    assert renew_at(jwt(1, expires_at=4600), now=1000) == 4540
    assert renew_at(jwt(1, expires_at=1100), now=1000) == 1080
    assert [renew_at(opaque, now=1000) for opaque in ("a-token", "a.b.c", "a.e30.c", "..")] == [0, 0, 0, 0]


def test_a_token_is_shown_over_tls_or_to_this_machine_only() -> None:
    assert _target("https://api.example.com", plaintext=False) == ("api.example.com:443", True)
    assert _target("http://[::1]:8080", plaintext=False) == ("[::1]:8080", False)
    assert _target("http://edge:8080", plaintext=True) == ("edge:8080", False)
    for refused in ("http://api.example.com", "api.example.com", "https://api.example.com/v1", "ftp://localhost"):
        with pytest.raises(ValueError, match=r"is no address|listens"):
            _target(refused, plaintext=False)


async def test_pythons_own_values_are_taken_where_a_message_has_none(server: StandIn, atoll: Atoll) -> None:
    server.answers["PlanCourse"] = [scheduling.PlanCourseResponse()]
    await atoll.scheduling.courses.plan(
        site_id=SITE,
        patient_id=PATIENT,
        protocol_version_id="protocolversion_01h455vb4pex5vsknk084sn02q",
        route_code="iv",
        earliest_date=date(2027, 3, 1),
        latest_date=Date(year=2027, month=3, day=31),
        preferred_times=(clock(9), clock(13, 30)),
    )
    [sent] = server.asked["PlanCourse"]
    assert sent.earliest_date == Date(year=2027, month=3, day=1)
    assert [(each.hours, each.minutes) for each in sent.preferred_times] == [(9, 0), (13, 30)]


def test_an_instant_without_a_zone_is_none() -> None:
    denver = ZoneInfo("America/Denver")
    instant = datetime(2027, 3, 14, 3, 30, tzinfo=denver)
    assert from_timestamp(to_timestamp(instant)) == datetime(2027, 3, 14, 9, 30, tzinfo=UTC)
    assert from_timestamp(to_timestamp(instant), denver).hour == 3
    with pytest.raises(ValueError, match="zone"):
        to_timestamp(datetime(2027, 3, 14, 3, 30))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "minor", "units", "nanos"),
    [("150", 15000, 150, 0), ("0.05", 5, 0, 50_000_000), ("-1.50", -150, -1, -500_000_000), ("0", 0, 0, 0)],
)
def test_money_is_exact_both_ways(text: str, minor: int, units: int, nanos: int) -> None:
    wire = Money(currency_code="USD", units=units, nanos=nanos)
    assert to_money(text) == from_minor(minor) == wire
    assert (to_minor(wire), to_decimal(wire)) == (minor, Decimal(text))
    assert str(to_decimal(to_money("150"))) == "150.00"


def test_money_is_neither_a_float_nor_a_fraction_of_a_cent() -> None:
    with pytest.raises(TypeError):
        to_money(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="minor units"):
        to_money("0.005")


def sites_in_pages(*codes: str) -> Script:
    last = len(codes) - 1
    return [
        ListSitesResponse(sites=[Site(code=code) for code in page], next_page_token=f"page {n + 1}" if n < last else "")
        for n, page in enumerate(codes)
    ]


def change(token: str) -> WatchSiteResponse:
    return WatchSiteResponse(resume_token=token, visit_change=VisitChange(visit_id="visit_1"))


def exported(token: str) -> ExportPatientsResponse:
    return ExportPatientsResponse(resume_token=token)


async def watched(atoll: Atoll, messages: int, resume_token: str | None = None) -> list[str]:
    tokens = []
    async with aclosing(atoll.scheduling.boards.watch_site(site_id=SITE, resume_token=resume_token)) as changes:
        async for each in changes:
            tokens.append(each.resume_token)
            if len(tokens) == messages:
                break
    return tokens


@contextmanager
def token_endpoint(*answers: tuple[int, dict[str, str]]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Its address, and what it was asked: authorization and form. The last answer stays."""
    waiting, asked = list(answers), list[tuple[str, str]]()

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["content-length"])).decode()
            asked.append((self.headers["authorization"], form))
            status, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/oauth/token", asked
        server.shutdown()


def jwt(number: int, expires_at: float = 4e9) -> str:
    """Of no worth to a server: the client reads when it ends."""
    claims = json.dumps({"jti": number, "exp": expires_at})
    return f"e30.{base64.urlsafe_b64encode(claims.encode()).decode().rstrip('=')}.signature"
