"""Watching a site, through the gRPC door: each change once, none lost, whatever cuts the stream."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.scheduling.v1 import board_service_pb2 as pb
from atoll.scheduling.v1 import events_pb2
from atoll.scheduling.v1 import visit_service_pb2 as visits_pb
from atoll.scheduling.v1.board_service_pb2_grpc import BoardServiceStub
from atoll.scheduling.v1.visit_pb2 import Visit, VisitStatus
from chassis.db import Database
from chassis.housekeeping import sweep
from chassis.ids import from_wire, new_id
from chassis.pool import open_pool
from chassis.server import Server
from chassis.times import to_timestamp
from services.scheduling.tables import CHANGES_KEPT, site_change
from tests.support.scheduling import DAY, Clinic, local, open_clinic, open_scheduling
from tests.support.service import Refusal, Running, read_refusal, tokens_of

FIRST = local(3, 2, 9)
PATIENT = events_pb2.CANCELLATION_REASON_PATIENT
SOON_S = 1.0
Told = tuple[str, str, str]
"""Kind, visit and status of a change."""


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


class Watch:
    """An open stream. Its first message, a heartbeat, was read."""

    def __init__(self, stream: Any, first: pb.WatchSiteResponse) -> None:
        self._stream, self.token = stream, first.resume_token

    async def next(self, within_s: float = 5.0) -> pb.WatchSiteResponse:
        message = await asyncio.wait_for(self._stream.read(), within_s)
        assert message is not grpc.aio.EOF
        self.token = message.resume_token
        told: pb.WatchSiteResponse = message
        return told

    async def changes(self, count: int) -> list[pb.VisitChange]:
        return [(await self.next()).visit_change for _ in range(count)]

    async def told(self, count: int) -> list[Told]:
        return [told(change) for change in await self.changes(count)]

    async def is_silent(self, for_s: float = 0.8) -> bool:
        """Leaves the stream unfit for reading: to be asked last."""
        try:
            await asyncio.wait_for(self._stream.read(), for_s)
        except TimeoutError:
            return True
        return False


def told(change: pb.VisitChange) -> Told:
    kind = pb.VisitChangeKind.Name(change.kind).removeprefix("VISIT_CHANGE_KIND_")
    return kind, change.visit_id, VisitStatus.Name(change.status).removeprefix("VISIT_STATUS_")


def open_stream(
    clinic: Clinic, token: str = "", bearer: str = "", channel: Any = None, site_id: str = "", within_s: float = 30
) -> Any:
    stub: Any = BoardServiceStub(channel or clinic.svc.channel)
    request = pb.WatchSiteRequest(site_id=site_id or clinic.site_id, resume_token=token)
    metadata = [("authorization", f"Bearer {bearer or clinic.token()}")]
    return stub.WatchSite(request, metadata=metadata, timeout=within_s)


@asynccontextmanager
async def watching(clinic: Clinic, token: str = "", **options: Any) -> AsyncIterator[Watch]:
    stream = open_stream(clinic, token, **options)
    try:
        first = await asyncio.wait_for(stream.read(), 5)
        assert not first.HasField("visit_change")
        yield Watch(stream, first)
    finally:
        stream.cancel()


async def refused(clinic: Clinic, token: str = "", **options: Any) -> Refusal:
    try:
        await open_stream(clinic, token, **options).read()
    except grpc.aio.AioRpcError as error:
        return read_refusal(error)
    pytest.fail("it was not refused")


async def booked(clinic: Clinic, *days: int, nurse: int = 0) -> list[Visit]:
    starts = [FIRST + day * DAY for day in days or (0,)]
    visits = clinic.treatments(starts, clinic.nurses[nurse], clinic.rooms[nurse])
    return list((await clinic.book(clinic.request(await clinic.add_patient(), visits))).visits)


async def change(clinic: Clinic, name: str, visit_id: str, **fields: Any) -> Visit:
    request = getattr(visits_pb, f"{name}Request")(request_id=str(uuid4()), visit_id=visit_id, **fields)
    if name == "CheckInVisit":
        await clinic.wait_for(visit_id)
    role = "ROLE_NURSE" if name in ("StartTreatment", "StartObservation", "CompleteVisit") else "ROLE_FRONT_DESK"
    changed: Visit = (await clinic.svc.call(getattr(clinic.visits, name), request, clinic.token(role))).visit
    return changed


async def day_board(clinic: Clinic) -> pb.DayBoard:
    request = pb.GetDayBoardRequest(site_id=clinic.site_id)
    board: pb.DayBoard = (await clinic.svc.call(clinic.svc.stub(BoardServiceStub).GetDayBoard, request)).day_board
    return board


async def test_each_change_of_the_sites_visits_comes_within_a_second_with_the_visit_as_it_is(clinic: Clinic) -> None:
    async with watching(clinic) as watch:
        one, two = await booked(clinic, 0, 3)
        began = time.monotonic()
        first, second = await watch.changes(2)
        assert time.monotonic() - began < SOON_S
        assert [told(first), told(second)] == [("BOOKED", one.id, "BOOKED"), ("BOOKED", two.id, "BOOKED")]
        assert (first.visit, first.course_id, first.course_version) == (one, one.course_id, 1)
        assert first.change_time == to_timestamp(clinic.svc.now)
        confirmed = await change(clinic, "ConfirmVisit", one.id)
        [third] = await watch.changes(1)
        assert (told(third), third.visit) == (("STATUS_CHANGED", one.id, "CONFIRMED"), confirmed)
        assert third.course_version == 2
        cancelled = await change(clinic, "CancelVisit", two.id, reason=PATIENT)
        clinic.svc.clock.now = FIRST
        await change(clinic, "CheckInVisit", one.id)
        [fourth, fifth] = await watch.changes(2)
        assert (told(fourth), fourth.visit) == (("STATUS_CHANGED", two.id, "CANCELLED"), cancelled)
        assert told(fifth) == ("STATUS_CHANGED", one.id, "CHECKED_IN")
        for name in ("StartTreatment", "StartObservation", "CompleteVisit"):
            await change(clinic, name, one.id)
        statuses = [status for _, _, status in await watch.told(3)]
        assert statuses == ["IN_TREATMENT", "IN_OBSERVATION", "COMPLETED"]
        assert await watch.is_silent()


async def test_what_is_refused_or_asked_again_changes_nothing_and_is_not_told(clinic: Clinic) -> None:
    async with watching(clinic) as watch:
        request = clinic.request(await clinic.add_patient(), clinic.treatments([FIRST]))
        [visit] = (await clinic.book(request)).visits
        await clinic.book(request)
        again = clinic.request(await clinic.add_patient(), clinic.treatments([FIRST]))
        with pytest.raises(grpc.aio.AioRpcError):
            await clinic.book(again)
        assert await watch.told(1) == [("BOOKED", visit.id, "BOOKED")]
        assert await watch.is_silent()
    assert await clinic.count("site_change") == 1


async def test_a_stream_that_was_cut_goes_on_after_the_message_whose_token_it_brings(clinic: Clinic) -> None:
    async with watching(clinic) as watch:
        visits = await booked(clinic, 0, 3, 7, 10)
        assert [id for _, id, _ in await watch.told(2)] == [visits[0].id, visits[1].id]
        token = watch.token
    await change(clinic, "ConfirmVisit", visits[3].id)
    async with watching(clinic, token) as watch:
        assert await watch.told(3) == [
            ("BOOKED", visits[2].id, "BOOKED"),
            ("BOOKED", visits[3].id, "BOOKED"),
            ("STATUS_CHANGED", visits[3].id, "CONFIRMED"),
        ]
        await change(clinic, "ConfirmVisit", visits[0].id)
        assert await watch.told(1) == [("STATUS_CHANGED", visits[0].id, "CONFIRMED")]
        assert await watch.is_silent()


async def test_a_board_and_what_is_watched_from_it_on_leave_nothing_out(clinic: Clinic) -> None:
    [first] = await booked(clinic)
    board = await day_board(clinic)
    [second] = await booked(clinic, 1)
    async with watching(clinic, board.resume_token) as watch:
        assert await watch.told(1) == [("BOOKED", second.id, "BOOKED")]
        await change(clinic, "ConfirmVisit", first.id)
        assert await watch.told(1) == [("STATUS_CHANGED", first.id, "CONFIRMED")]
        assert await watch.is_silent()


async def test_without_a_token_it_begins_now(clinic: Clinic) -> None:
    await booked(clinic)
    async with watching(clinic) as watch:
        assert await watch.is_silent()


async def test_a_heartbeat_says_that_the_stream_lives_and_brings_its_token_up_to_date(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.scheduling.rpc.board.HEARTBEAT_S", 0.3)
    async with watching(clinic) as watch:
        await booked(clinic)
        message = await past_heartbeats(watch)
        beats = [await watch.next() for _ in range(3)]
        assert not any(beat.HasField("visit_change") for beat in beats)
        assert position_of(beats[2].resume_token) >= position_of(message.resume_token)
        token = watch.token
    async with watching(clinic, token) as watch:
        [visit] = await booked(clinic, 1)
        assert (await past_heartbeats(watch)).visit_change.visit.id == visit.id


async def past_heartbeats(watch: Watch) -> pb.WatchSiteResponse:
    """The next change: how many heartbeats come before it is nobody's promise."""
    while not (message := await watch.next()).HasField("visit_change"):
        continue
    return message


async def test_a_transaction_that_began_earlier_and_commits_later_delays_others_and_loses_nothing(
    clinic: Clinic,
) -> None:
    """Its rows have the lower transaction: a reader that had gone on beyond it would never see them."""
    first, second = await booked(clinic, 0), await booked(clinic, 1, nurse=1)
    async with watching(clinic) as watch:
        slow = clinic.svc.admin.transaction()
        await slow.start()
        await write_change(clinic, first[0].id)
        await change(clinic, "ConfirmVisit", second[0].id)
        token = watch.token
        other = await asyncio.wait_for(seen_by_another(clinic, token), 5)
        assert other  # Nothing comes past the one that is under way,
        await slow.commit()
        ids = [id for _, id, _ in await watch.told(2)]  # and all that waited comes when it is done.
        assert ids == [first[0].id, second[0].id]
        assert await watch.is_silent()


async def seen_by_another(clinic: Clinic, token: str) -> bool:
    async with watching(clinic, token) as watch:
        return await watch.is_silent()


async def write_change(clinic: Clinic, visit_id: str) -> None:
    """As a change of ours would, in a transaction that the test holds open."""
    await clinic.svc.admin.execute(
        """INSERT INTO site_change (chain_id, site_id, kind, visit_id, course_id, status, course_version, at)
           SELECT chain_id, site_id, 'VISIT_CHANGE_KIND_STATUS_CHANGED', id, course_id, status, 2, now()
           FROM visit WHERE id = $1""",
        from_wire("visit", visit_id),
    )


async def test_a_resumed_stream_is_not_fooled_by_a_late_commit_either(clinic: Clinic) -> None:
    first, second = await booked(clinic, 0), await booked(clinic, 1, nurse=1)
    async with watching(clinic) as watch:
        token = watch.token
    slow = clinic.svc.admin.transaction()
    await slow.start()
    await write_change(clinic, first[0].id)
    await change(clinic, "ConfirmVisit", second[0].id)
    board = await day_board(clinic)  # Shows the second's change, which comes once more.
    assert [each.visit.status for each in board.visits] == []
    await slow.commit()
    for each in (token, board.resume_token):
        async with watching(clinic, each) as watch:
            assert [id for _, id, _ in await watch.told(2)] == [first[0].id, second[0].id]


async def test_two_processes_tell_the_same_whichever_made_the_change(clinic: Clinic) -> None:
    async with another_process(clinic.svc) as channel:
        async with watching(clinic) as here, watching(clinic, channel=channel) as there:
            [visit] = await booked(clinic)
            await change(clinic, "ConfirmVisit", visit.id)
            expected = [("BOOKED", visit.id, "BOOKED"), ("STATUS_CHANGED", visit.id, "CONFIRMED")]
            assert [await here.told(2), await there.told(2)] == [expected, expected]
            token = here.token
        await change(clinic, "CancelVisit", visit.id, reason=PATIENT)
        async with watching(clinic, token, channel=channel) as there:
            assert await there.told(1) == [("STATUS_CHANGED", visit.id, "CANCELLED")]


@asynccontextmanager
async def another_process(svc: Running) -> AsyncIterator[grpc.aio.Channel]:
    """A worker of its own, with feeds of its own, on the same database."""
    async with open_pool(svc.urls.service, size=4) as pool:
        server = Server(tokens_of(svc.issuer), svc.clock)
        for descriptor, servicer in svc.service.servicers(Database(pool)).items():
            server.add(descriptor, servicer)
        port, _ = await server.start("127.0.0.1:0", "127.0.0.1:0")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
        await server.stop()


async def test_many_who_watch_a_site_are_served_by_one_reader_which_ends_with_the_last(clinic: Clinic) -> None:
    reads = await statements_during(clinic, watchers=0)
    assert reads == 0
    assert 2 <= await statements_during(clinic, watchers=1) <= 6
    assert 2 <= await statements_during(clinic, watchers=8) <= 6
    assert await statements_during(clinic, watchers=0) == 0


async def statements_during(clinic: Clinic, *, watchers: int) -> int:
    """How often changes are read in a second while so many watch."""
    streams = [open_stream(clinic) for _ in range(watchers)]
    for stream in streams:
        await stream.read()
    before = await read_count(clinic)
    await asyncio.sleep(1)
    count = await read_count(clinic) - before
    for stream in streams:
        stream.cancel()
    await asyncio.sleep(0.3)
    return count


READS: list[int] = []


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from services.scheduling.store.changes import ChangeStore

    changes = ChangeStore.changes

    async def counting(self: Any, *args: Any) -> Any:
        READS.append(1)
        return await changes(self, *args)

    monkeypatch.setattr(ChangeStore, "changes", counting)


async def read_count(clinic: Clinic) -> int:
    return len(READS)


async def test_a_watcher_further_behind_than_is_kept_in_memory_reads_the_rest_in_pages(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.scheduling.store.changes.READ_MAX", 2)
    monkeypatch.setattr("chassis.feed.RECENT_MAX", 2)
    async with watching(clinic) as early:
        token = early.token
        visits = await booked(clinic, 0, 3, 7, 10, 14)
        assert [id for _, id, _ in await early.told(5)] == [visit.id for visit in visits]
        async with watching(clinic, token) as late:
            assert [id for _, id, _ in await late.told(5)] == [visit.id for visit in visits]
            await change(clinic, "ConfirmVisit", visits[0].id)
            assert await early.told(1) == await late.told(1) == [("STATUS_CHANGED", visits[0].id, "CONFIRMED")]


async def test_a_visit_that_changed_again_is_shown_as_it_is_and_never_as_it_was(clinic: Clinic) -> None:
    async with watching(clinic) as watch:
        token = watch.token
    [visit] = await booked(clinic)
    await change(clinic, "ConfirmVisit", visit.id)
    async with watching(clinic, token) as watch:
        changes = await watch.changes(2)
    assert [status for _, _, status in map(told, changes)] == ["BOOKED", "CONFIRMED"]
    assert {each.visit.status for each in changes} == {VisitStatus.VISIT_STATUS_CONFIRMED}


async def test_changes_of_other_sites_and_chains_are_not_told(clinic: Clinic) -> None:
    other_site = await clinic.add_site("bld")
    async with watching(clinic, site_id=other_site, bearer=clinic.token(site_id=other_site)) as other:
        async with watching(clinic) as watch:
            [visit] = await booked(clinic)
            assert await watch.told(1) == [("BOOKED", visit.id, "BOOKED")]
        assert await other.is_silent()


async def test_a_stream_is_refused_to_those_who_may_not_see_the_site_and_noted_once_for_those_who_may(
    clinic: Clinic,
) -> None:
    other_site = await clinic.add_site("bld")
    for bearer in (clinic.token(site_id=other_site), clinic.token("ROLE_BILLING"), clinic.svc.token("ROLE_SERVICE")):
        answer = await refused(clinic, bearer=bearer)
        assert (answer.code, answer.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    answer = await refused(clinic, bearer=clinic.svc.token(chain_id=new_id()))
    assert (answer.code, answer.reason) == (StatusCode.NOT_FOUND, "SITE_NOT_FOUND")
    noted = "SELECT count(*) FROM audit WHERE chain_id = $1 AND method LIKE '%WatchSite'"
    assert await clinic.svc.admin.fetchval(noted, clinic.svc.chain_id) == 0
    async with watching(clinic) as watch:
        await booked(clinic)
        await watch.told(1)
    assert await clinic.svc.admin.fetchval(noted, clinic.svc.chain_id) == 1


def parts_of(token: str) -> list[Any]:
    parts: list[Any] = json.loads(base64.urlsafe_b64decode(token))
    return parts


def position_of(token: str) -> tuple[int, int]:
    _, _, transaction, place, _ = parts_of(token)
    return transaction, place


def token_with(token: str, **changes: Any) -> str:
    names = ("of", "database", "transaction", "place", "seconds")
    parts = dict(zip(names, parts_of(token), strict=True)) | changes
    return base64.urlsafe_b64encode(json.dumps(list(parts.values())).encode()).decode()


async def test_a_token_that_was_never_handed_out_for_the_site_is_refused(clinic: Clinic) -> None:
    other_site = await clinic.add_site("bld")
    async with watching(clinic, site_id=other_site, bearer=clinic.svc.token()) as watch:
        of_another_site = watch.token
    async with watching(clinic) as watch:
        good = watch.token
    wrong = [of_another_site, "nonsense", "é", good[:-8], base64.urlsafe_b64encode(b"[1]").decode()]
    wrong += [token_with(good, transaction=value) for value in (-1, 2**63, 1.5, "1", True, None)]
    wrong += [token_with(good, database=7), token_with(good, seconds=2**62)]
    for token in wrong:
        answer = await refused(clinic, token)
        assert (answer.code, answer.reason) == (StatusCode.INVALID_ARGUMENT, "RESUME_TOKEN_INVALID"), token
        assert answer.faults == [("resume_token", "RESUME_TOKEN_INVALID")]


async def test_a_token_from_which_nobody_can_go_on_asks_for_the_board_anew(clinic: Clinic) -> None:
    """Older than changes are surely kept; of another database, or of another history of this one; from its future."""
    async with watching(clinic) as watch:
        good = watch.token
    *_, seconds = parts_of(good)
    six_days = 6 * 24 * 3600
    for changes in (
        {"seconds": seconds - six_days - 60},
        {"database": "7000000000000000000-00000001"},
        {"database": parts_of(good)[1][:-1] + "2"},
        {"transaction": 2**62},
    ):
        answer = await refused(clinic, token_with(good, **changes))
        assert (answer.code, answer.reason) == (StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED"), changes
    async with watching(clinic, token_with(good, seconds=seconds - six_days + 60)):
        pass


async def test_a_database_that_becomes_another_history_while_a_site_is_watched_ends_the_streams(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a standby is promoted: connections may go on to it by themselves."""
    from services.scheduling.store import changes

    mark_of = changes.mark_of
    stream = open_stream(clinic)
    await stream.initial_metadata()  # It comes with the first message.
    monkeypatch.setattr(changes, "mark_of", lambda row: replace(mark_of(row), database="7000000000000000000-00000002"))
    messages, end = await read_to_the_end(stream)
    assert end
    assert (len(messages), end.code, end.reason) == (1, StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED")


async def test_a_token_grows_old_with_the_change_that_it_stands_after_and_not_with_the_stream(clinic: Clinic) -> None:
    """Else a reader that is cut again and again would go on from where rows are gone."""
    async with watching(clinic) as watch:
        token = watch.token
    await booked(clinic)
    past = timedelta(days=5)
    await clinic.svc.admin.execute(
        "UPDATE site_change SET recorded_at = recorded_at - $2::interval WHERE chain_id = $1", clinic.svc.chain_id, past
    )
    five_days_old = token_with(token, seconds=parts_of(token)[4] - 5 * 24 * 3600)
    async with watching(clinic, five_days_old) as watch:
        assert parts_of(watch.token)[4] == parts_of(five_days_old)[4]
        await watch.told(1)
        assert abs(parts_of(watch.token)[4] - parts_of(five_days_old)[4]) < 60


async def test_changes_are_deleted_a_week_after_they_were_recorded(clinic: Clinic) -> None:
    await booked(clinic, 0, 3)
    age = "UPDATE site_change SET recorded_at = now() - $2::interval WHERE chain_id = $1"
    await clinic.svc.admin.execute(age, clinic.svc.chain_id, CHANGES_KEPT - timedelta(minutes=1))
    async with open_pool(clinic.svc.urls.relay, size=1) as pool:
        await sweep(pool, clinic.svc.service.short_lived)
        assert await clinic.count("site_change") == 2
        await clinic.svc.admin.execute(age, clinic.svc.chain_id, CHANGES_KEPT + timedelta(minutes=1))
        await sweep(pool, clinic.svc.service.short_lived)
        assert await clinic.count("site_change") == 0
    assert site_change in clinic.svc.service.short_lived


async def test_a_stream_ends_when_its_bearer_token_does_and_is_opened_again_without_a_loss(clinic: Clinic) -> None:
    bearer = clinic.token(exp=int(time.time()) + 2)
    reading = asyncio.create_task(read_to_the_end(open_stream(clinic, bearer=bearer)))
    [first] = await booked(clinic)
    messages, end = await reading
    assert end
    assert (end.code, end.reason) == (StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")
    told_of = [each.visit_change.visit_id for each in messages if each.HasField("visit_change")]
    assert told_of == [first.id]
    token = messages[-1].resume_token
    [second] = await booked(clinic, 1)
    async with watching(clinic, token) as watch:
        assert await watch.told(1) == [("BOOKED", second.id, "BOOKED")]


async def read_to_the_end(stream: Any) -> tuple[list[pb.WatchSiteResponse], Refusal | None]:
    """What came, and how it ended if not well."""
    messages = list[pb.WatchSiteResponse]()
    try:
        async for message in stream:
            messages.append(message)
    except grpc.aio.AioRpcError as error:
        return messages, read_refusal(error)
    return messages, None


async def test_a_change_made_by_one_transaction_after_another_began_may_come_first_and_shows_the_visit_as_it_is(
    clinic: Clinic,
) -> None:
    """Transactions are numbered when they begin to write, before they wait for one another: of two that change one
    visit, the later may have the lower number."""
    [visit] = await booked(clinic)
    async with watching(clinic) as watch:
        token = watch.token
    late = await number_after(clinic, visit)
    async with watching(clinic, token) as watch:
        changes = await watch.changes(2)
    assert [each.status for each in changes] == [
        VisitStatus.VISIT_STATUS_CHECKED_IN,
        VisitStatus.VISIT_STATUS_CONFIRMED,
    ]
    assert {each.visit.status for each in changes} == {VisitStatus.VISIT_STATUS_CHECKED_IN}
    assert late


async def number_after(clinic: Clinic, visit: Visit) -> UUID:
    """A check-in claims its request before a confirmation begins, and changes the visit after it."""
    from atoll.scheduling.v1.visit_service_pb2 import CheckInVisitResponse
    from services.scheduling.store import SchedulingStore
    from services.scheduling.use_cases import check_in_visit

    id = from_wire("visit", visit.id)

    async def work(store: SchedulingStore) -> CheckInVisitResponse:
        await change(clinic, "ConfirmVisit", visit.id)
        await check_in_visit(store, id, "")
        return CheckInVisitResponse()

    request = visits_pb.CheckInVisitRequest(request_id=str(uuid4()), visit_id=visit.id)
    await clinic.wait_for(visit.id)
    call = clinic.svc.inside("CheckInVisit", request.request_id)
    await clinic.svc.db.once(call, request, CheckInVisitResponse, SchedulingStore, work)
    return id


def test_tokens_of_messages_fit_into_the_request() -> None:
    field = pb.WatchSiteRequest.DESCRIPTOR.fields_by_name["resume_token"]
    longest: Sequence[Any] = ("0" * 16, "9" * 19 + "-" + "F" * 8, 2**63 - 1, 2**63 - 1, 2**33)
    token = base64.urlsafe_b64encode(json.dumps(longest, separators=(",", ":")).encode())
    from buf.validate import validate_pb2

    assert len(token) <= field.GetOptions().Extensions[validate_pb2.field].string.max_len
