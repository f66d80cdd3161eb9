"""Ids, money, times, etags, pages, statements and log lines, without anything outside the process."""

import base64
import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import structlog
from google.protobuf.timestamp_pb2 import Timestamp
from google.type import money_pb2
from google.type.date_pb2 import Date
from sqlalchemy import literal, select

from atoll.common.v1.access_pb2 import AUDIT_NONE
from chassis import clock as clocks
from chassis import money as moneys
from chassis.call import Call
from chassis.endpoint import ANSWER_S, DEADLINE_MAX_S, _work_seconds
from chassis.errors import BadRequest, TooLate
from chassis.etags import StaleEtag, from_etag, to_etag
from chassis.ids import BadId, all_ids, from_wire, ids_of, new_id, to_wire
from chassis.logs import configure_logs
from chassis.money import MINOR_MAX, Money
from chassis.pages import DEFAULT_SIZE, SIZE_MAX, BadPageToken, Page
from chassis.settings import Settings
from chassis.sql import Statement, param, rows
from chassis.status import DETAIL_MAX, STATUS_MAX, status_of
from chassis.times import from_date, to_date, to_instant, to_timestamp, utc_now
from chassis.tracing import TRACEPARENT, trace_id, traceparent_of
from tests.support.notes import ShelvesOpened, pb

NOTE = "note_01h455vb4pex5vsknk084sn02q"
CALL = Call(new_id(), None, "user", "ListNotes", "", AUDIT_NONE, datetime(2027, 3, 1, tzinfo=UTC))


class Context:
    def __init__(self, left: float | None) -> None:
        self.time_remaining = lambda: left


@pytest.mark.parametrize(("left", "work"), [(None, DEADLINE_MAX_S), (5.0, 5.0), (0.05, 0.05), (3600.0, DEADLINE_MAX_S)])
def test_work_gets_what_the_caller_left_less_the_time_to_answer(left: float | None, work: float) -> None:
    context: Any = Context(left)
    assert _work_seconds(context) == work - ANSWER_S


@pytest.mark.parametrize("left", [0.049, 0.0, -1.0])
def test_work_with_too_little_time_left_is_refused(left: float) -> None:
    context: Any = Context(left)
    with pytest.raises(TooLate):
        _work_seconds(context)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "note",
        "note_",
        "note_01h455vb4pex5vsknk084sn02",
        "note_01h455vb4pex5vsknk084sn02qq",
        "note_01h455vb4pex5vsknk084sn02u",  # u is in no alphabet.
        "note_01H455VB4PEX5VSKNK084SN02Q",
        "note_8zzzzzzzzzzzzzzzzzzzzzzzzz",  # More than 128 bits.
        "visit_01h455vb4pex5vsknk084sn02q",
        "note_note_01h455vb4pex5vsknk084sn02q",
        "01h455vb4pex5vsknk084sn02q",
        "note_01h455vb4pex5vsknk084sn02é",
    ],
)
def test_what_is_no_id_of_the_kind_is_refused(text: str) -> None:
    with pytest.raises(BadId):
        from_wire("note", text)


def test_ids_are_in_the_order_of_their_making() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(ids)
    assert {id.version for id in ids} == {7}


def test_the_ids_of_a_message_are_named_by_field_and_nothing_else_is() -> None:
    response = pb.CreateNoteResponse(note={"id": NOTE, "site_id": "Mrs Miller of 4711 Main St", "title": NOTE})
    assert dict(ids_of(response)) == {"note.id": NOTE}


@pytest.mark.parametrize(
    "text", ["maria.lopez.1@example.test", "4111 1111 1111 1111", "note_maria.lopez@example.testx", "x" * 36, "4" * 26]
)
def test_what_only_stands_in_the_place_of_an_id_is_not_kept(text: str) -> None:
    assert dict(ids_of(pb.GetNoteRequest(note_id=text))) == {}


def test_all_ids_of_a_message_are_found_however_deep_in_lists() -> None:
    shelf = to_wire("shelf", new_id())
    assert list(all_ids(ShelvesOpened(shelves=[{"id": shelf}, {"id": "none"}, {"id": NOTE}]))) == [shelf, NOTE]


# Money


@pytest.mark.parametrize(
    ("minor", "units", "nanos"), [(0, 0, 0), (1, 0, 10_000_000), (-1, 0, -10_000_000), (12345, 123, 450_000_000)]
)
def test_money_is_units_and_nanos_on_the_wire(minor: int, units: int, nanos: int) -> None:
    wire = money_pb2.Money(currency_code="USD", units=units, nanos=nanos)
    assert moneys.to_wire(Money(minor)) == wire
    assert moneys.from_wire(wire, "price") == Money(minor)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"currency_code": "EUR"}, ("price.currency_code", "money.currency")),
        ({"units": 1, "nanos": 1}, ("price.nanos", "money.minor_units")),
        ({"units": 1, "nanos": 5_000_000}, ("price.nanos", "money.minor_units")),
        ({"nanos": 1_000_000_000}, ("price.nanos", "money.minor_units")),
        ({"units": 1, "nanos": -10_000_000}, ("price.nanos", "money.sign")),
        ({"units": -1, "nanos": 10_000_000}, ("price.nanos", "money.sign")),
        ({"units": MINOR_MAX // 100, "nanos": 10_000_000}, ("price.units", "money.max")),
        ({"units": -(2**63)}, ("price.units", "money.max")),
    ],
)
def test_money_that_is_none_is_refused_by_field(fields: dict[str, Any], fault: tuple[str, str]) -> None:
    with pytest.raises(BadRequest) as refused:
        moneys.from_wire(money_pb2.Money(**{"currency_code": "USD", **fields}), "price")
    assert [(each.field, each.rule) for each in refused.value.violations] == [fault]


def test_money_adds_up_in_one_currency_only() -> None:
    assert Money(100) + Money(50) - Money(30) == Money(120)
    assert (Money(100) * 3, -Money(5)) == (Money(300), Money(-5))
    assert max(Money(1), Money(3), Money(2)) == Money(3)
    for mixed in (Money.__add__, Money.__sub__, Money.__lt__):
        with pytest.raises(ValueError, match="no common measure"):
            mixed(Money(1), Money(1, "EUR"))


@pytest.mark.parametrize(
    ("minor", "weights", "parts"),
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (200, [1, 1, 1], [67, 67, 66]),
        (100, [0, 1, 0, 1], [0, 50, 0, 50]),
        (1, [1, 2, 2], [0, 1, 0]),
        (-100, [1, 1, 1], [-34, -33, -33]),
        (0, [3, 4], [0, 0]),
        (450_000, [50_000, 6 * 60_000, 40_000], [50_000, 360_000, 40_000]),
    ],
)
def test_money_is_split_by_weight_with_what_is_left_to_what_lost_most(
    minor: int, weights: list[int], parts: list[int]
) -> None:
    assert Money(minor, "USD").split(weights) == [Money(part, "USD") for part in parts]


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [2, -1], [-1, -1]])
def test_money_is_split_by_weights_that_are_zero_or_more_and_not_all_zero(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="zero or more"):
        Money(100).split(weights)


# Times


@pytest.mark.parametrize("wire", [Timestamp(seconds=10**12), Timestamp(seconds=-(10**12)), Timestamp(seconds=2**62)])
def test_an_instant_beyond_the_calendar_is_refused(wire: Timestamp) -> None:
    with pytest.raises(BadRequest):
        to_instant(wire)


@pytest.mark.parametrize(("year", "is_taken"), [(1, False), (2, True), (9998, True), (9999, False)])
def test_the_ends_of_the_calendar_are_left_to_reckon_in(year: int, is_taken: bool) -> None:
    day = date(year, 12, 31)
    instant = datetime(year, 12, 31, tzinfo=UTC)
    if is_taken:
        assert from_date(to_date(day), "day") == day
        assert to_instant(to_timestamp(instant)) == instant
        return
    with pytest.raises(BadRequest):
        from_date(to_date(day), "day")
    with pytest.raises(BadRequest):
        to_instant(to_timestamp(instant))


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(AssertionError, match="an instant has a zone"):
        to_timestamp(datetime(2027, 3, 1))  # noqa: DTZ001  # That is the point.


@pytest.mark.parametrize(
    "wire", [Date(year=2027, month=2, day=29), Date(year=2027), Date(), Date(year=10000, month=1, day=1)]
)
def test_a_day_that_does_not_exist_is_refused_by_field(wire: Date) -> None:
    with pytest.raises(BadRequest) as refused:
        from_date(wire, "birth_date")
    assert refused.value.violations[0].field == "birth_date"


def test_a_day_survives_the_wire() -> None:
    assert from_date(to_date(date(2028, 2, 29)), "day") == date(2028, 2, 29)


def test_now_is_in_utc() -> None:
    assert utc_now().tzinfo is UTC


# Etags, pages, statements, traces


def test_an_etag_is_its_version_and_no_other() -> None:
    assert [from_etag(to_etag(version)) for version in (0, 1, 10**18 - 1)] == [0, 1, 10**18 - 1]


@pytest.mark.parametrize("text", ["", '""', "x", '"-1"', "1.5", "٣", "9" * 19, "1 2"])
def test_what_is_no_etag_is_stale(text: str) -> None:
    with pytest.raises(StaleEtag):
        from_etag(text)


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode()


def page(call: Call = CALL, **fields: Any) -> Page:
    return Page.of(pb.ListNotesRequest(**fields), call)


def token_of(call: Call = CALL, **fields: Any) -> str:
    made = page(call, page_size=1, **fields)
    return made.cut(["a", "b"], key=lambda row: [row, "id"])[1]


def test_a_page_has_fifty_rows_unless_asked_and_two_hundred_at_most() -> None:
    assert [page(page_size=size).size for size in (0, 7, 200, 1000)] == [DEFAULT_SIZE, 7, SIZE_MAX, SIZE_MAX]
    assert page(page_size=7).limit == 8


def test_a_page_is_cut_where_the_next_one_begins() -> None:
    first = page(page_size=2)
    kept, token = first.cut(["a", "b", "c"], key=lambda row: [row])
    assert kept == ["a", "b"]
    assert page(page_size=3, page_token=token).after == ["b"]
    assert first.cut(["a", "b"], key=lambda row: [row]) == (["a", "b"], "")


def test_a_token_holds_for_the_same_question_only() -> None:
    token = token_of()
    assert page(page_token=token, page_size=9).after == ["a", "id"]
    other_chain = Call(new_id(), None, "user", CALL.method, "", AUDIT_NONE, CALL.now)
    other_method = Call(CALL.chain_id, None, "user", "ListOthers", "", AUDIT_NONE, CALL.now)
    for call, fields in ((CALL, {"patient_id": "x"}), (other_chain, {}), (other_method, {})):
        with pytest.raises(BadPageToken):
            page(call, page_token=token, **fields)


@pytest.mark.parametrize(
    "token",
    ["x", "é", "====", *map(encoded, (b"\xff\xff", b"{}", b"[]", b"1", b"null", b"[" * 750, b'[1, "a"]'))],
)
def test_what_is_no_page_token_is_refused(token: str) -> None:
    with pytest.raises(BadPageToken):
        page(page_token=token)


@pytest.mark.parametrize("key", [[], ["a"], ["a", "id", "c"], ["b", "id"], ["a", 1], ["a", "\ud800"]])
def test_a_token_whose_key_was_changed_is_refused(key: list[object]) -> None:
    """A list would take it for an instant or an id, and fail, or begin anew."""
    seal = json.loads(base64.urlsafe_b64decode(token_of()))[0]
    with pytest.raises(BadPageToken):
        page(page_token=encoded(json.dumps([seal, *key]).encode()))


def test_a_statement_takes_exactly_the_parameters_that_it_names() -> None:
    statement = Statement(select(param("chain_id"), param("a"), literal(7), param("a")))
    assert statement.args({"chain_id": 1, "a": 2})[:2] == [1, 2]
    for values in ({"chain_id": 1}, {"chain_id": 1, "a": 2, "b": 3}, {}):
        with pytest.raises(TypeError, match="parameters are"):
            statement.args(values)


def test_a_statement_that_does_not_name_the_chain_is_refused() -> None:
    with pytest.raises(TypeError, match="parameters are"):
        Statement(select(literal(1))).args({"chain_id": UUID(int=1)})


def test_many_rows_go_in_as_one_array_for_each_column() -> None:
    from sqlalchemy import Text, Uuid

    table = rows("note", id=Uuid, title=Text)
    statement = Statement(select(table.c.id, table.c.title))
    assert "unnest($1::UUID[], $2::TEXT[]) AS note(id, title)" in " ".join(statement.text.split())


def test_a_trace_goes_on_with_a_span_of_its_own_and_what_is_none_begins_one() -> None:
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    version, trace, span, flags = traceparent_of(given).split("-")
    assert (version, trace, flags) == ("00", "4bf92f3577b34da6a3ce929d0e0e4736", "00")
    assert span != "00f067aa0ba902b7"
    for none in ("", "x", given.upper(), given.replace("4", "0").replace("b", "0"), f"00-{'0' * 32}-{'1' * 16}-01"):
        assert trace_id(traceparent_of(none)) != trace
        assert TRACEPARENT.fullmatch(traceparent_of(none))


# Clocks


def settings(**changes: Any) -> Settings:
    urls: dict[str, Any] = dict.fromkeys(("database_url", "relay_database_url", "sealer_database_url", "nats_url"), "x")
    told = {"issuer": "https://login.example", "mode": "development", "tls_elsewhere": True}
    return Settings(**urls | told | changes)


def test_business_time_is_real_time_unless_a_file_drives_it() -> None:
    assert clocks.business_clock(settings()) is utc_now


def test_a_clock_file_is_refused_in_production(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="refused in production"):
        clocks.business_clock(settings(mode="production", clock=tmp_path / "clock"))


def test_a_jump_of_the_clock_is_seen_at_once(tmp_path: Path) -> None:
    """Also when two jumps follow one another faster than the file system's own clock ticks."""
    path, start = tmp_path / "clock", datetime(2027, 3, 1, 16, tzinfo=UTC)
    clocks.set_clock(path, start)
    clock = clocks.business_clock(settings(clock=path))
    for hours in range(200):
        clocks.set_clock(path, start + timedelta(hours=hours))
        assert clock() == start + timedelta(hours=hours)


def test_a_clock_runs_at_its_rate_from_when_it_was_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, start = tmp_path / "clock", datetime(2027, 3, 1, 16, tzinfo=UTC)
    clocks.set_clock(path, start, rate=60)
    written = datetime.fromtimestamp(path.stat().st_mtime_ns / 1e9, tz=UTC)
    clock = clocks.FileClock(path)
    monkeypatch.setattr(clocks, "utc_now", lambda: written + timedelta(seconds=90))
    assert clock() == start + timedelta(minutes=90)
    monkeypatch.setattr(clocks, "utc_now", lambda: written - timedelta(seconds=90))  # Clocks are set back.
    assert clock() == start


@pytest.mark.parametrize(
    ("changes", "answers"),
    [
        ({}, True),
        ({"mode": "production"}, False),
        ({"mode": "production", "reflection": True}, True),
        ({"reflection": False}, False),
    ],
)
def test_reflection_is_off_in_production_unless_asked_for(changes: dict[str, Any], answers: bool) -> None:
    assert settings(**changes).reflects is answers


def test_production_is_what_a_service_runs_in_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATOLL_MODE", raising=False)
    assert Settings.model_fields["mode"].default == "production"


CERTIFICATE = {"tls_cert_file": "cert", "tls_key_file": "key", "tls_ca_file": "ca", "tls_peers": "edge, billing"}


def test_production_is_refused_while_calls_would_come_in_the_clear() -> None:
    with pytest.raises(ValueError, match="production needs ATOLL_TLS_CERT_FILE"):
        settings(mode="production", tls_elsewhere=False)
    assert settings(mode="production", tls_elsewhere=True).tls is None
    assert settings(mode="production", tls_elsewhere=False, **CERTIFICATE).tls is not None
    assert settings(mode="development", tls_elsewhere=False).tls is None


def test_who_may_call_is_a_list_of_names() -> None:
    tls = settings(**CERTIFICATE).tls
    assert tls
    assert tls.peers == {"edge", "billing"}


@pytest.mark.parametrize("missing", [*CERTIFICATE])
def test_a_part_of_a_certificate_is_refused(missing: str) -> None:
    given = {name: value for name, value in CERTIFICATE.items() if name != missing}
    with pytest.raises(ValueError, match="go together"):
        settings(**given)


def test_several_workers_are_refused_without_a_port_to_share() -> None:
    assert settings(workers=2, listen="127.0.0.1:9000").workers == 2
    with pytest.raises(ValueError, match="ATOLL_LISTEN must name it"):
        settings(workers=2)


# Log lines


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logs("notes")
    yield stream
    structlog.reset_defaults()


def log_error(error: Exception) -> None:
    try:
        secret = "maria.lopez@example.test"
        raise error from ValueError(secret)
    except Exception:
        structlog.get_logger().exception("rpc.bug", method="CreateNote")


def test_a_trace_says_where_it_happened_and_nothing_that_was_in_the_data(lines: io.StringIO) -> None:
    """PostgreSQL quotes the row; a parser quotes the text."""
    error = asyncpg.UniqueViolationError("duplicate key")
    error.detail = "Key (email)=(maria.lopez@example.test) already exists."
    error.sqlstate, error.constraint_name = "23505", "note_title_key"  # type: ignore[misc]
    log_error(error)
    text = lines.getvalue()
    assert "maria" not in text
    line = json.loads(text)
    assert [each["type"] for each in line["exception"]] == ["UniqueViolationError", "ValueError"]
    assert (line["exception"][0]["sqlstate"], line["exception"][0]["constraint"]) == ("23505", "note_title_key")
    assert "log_error" in line["exception"][0]["at"][-1]
    assert (line["event"], line["level"], line["service"], line["method"]) == (
        "rpc.bug",
        "error",
        "notes",
        "CreateNote",
    )


def test_a_mistake_of_the_programs_own_is_told_in_its_words(lines: io.StringIO) -> None:
    log_error(TypeError("parameters are ['a'], not []"))
    assert json.loads(lines.getvalue())["exception"][0]["says"] == "parameters are ['a'], not []"


def test_a_detail_that_does_not_fit_into_a_status_is_left_out() -> None:
    error = BadRequest()
    for size, kept in ((DETAIL_MAX - 10, True), (STATUS_MAX, False)):
        error.detail = pb.Note(title="x" * size)
        assert any(each.Is(pb.Note.DESCRIPTOR) for each in status_of(error).details) is kept
