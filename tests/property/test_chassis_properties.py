"""What holds for every id, instant, sum, version and list."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from atoll.common.v1.access_pb2 import AUDIT_NONE
from chassis import money
from chassis.call import Call
from chassis.etags import StaleEtag, from_etag, to_etag
from chassis.ids import BadId, from_wire, ids_of, to_wire
from chassis.money import MINOR_MAX, Money
from chassis.pages import BadPageToken, Page
from chassis.times import YEARS, to_instant, to_timestamp
from tests.support.notes import pb

CALL = Call(UUID(int=7), None, "user", "ListNotes", "", AUDIT_NONE, datetime(2027, 3, 1, tzinfo=UTC))
KINDS = st.sampled_from(["note", "site", "chain", "legalentity"])
zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(KINDS, KINDS, st.uuids())
def test_an_id_survives_the_wire_and_never_passes_for_another_kind(kind: str, other: str, id: UUID) -> None:
    wire = to_wire(kind, id)
    assert from_wire(kind, wire) == id
    assert (_read(other, wire) is None) == (other != kind)


@given(KINDS, st.text(st.characters(codec="ascii"), max_size=40))
def test_an_id_has_one_text_only(kind: str, text: str) -> None:
    for candidate in (text, f"{kind}_{text}", f"{kind}_{text.ljust(26, '0')[:26]}"):
        id = _read(kind, candidate)
        assert id is None or to_wire(kind, id) == candidate


def _read(kind: str, text: str) -> UUID | None:
    try:
        return from_wire(kind, text)
    except BadId:
        return None


@given(st.lists(st.uuids(), min_size=2, max_size=9))
def test_ids_stand_in_the_same_order_on_the_wire(ids: list[UUID]) -> None:
    assert sorted(ids) == [from_wire("note", wire) for wire in sorted(to_wire("note", id) for id in ids)]


@given(st.text(max_size=60), st.uuids())
def test_of_a_message_only_what_is_an_id_is_kept(text: str, id: UUID) -> None:
    wire = to_wire("note", id)
    kept = dict(ids_of(pb.CreateNoteResponse(note={"id": wire, "site_id": text, "title": text})))
    assert kept.pop("note.id") == wire
    assert kept in ({}, {"note.site_id": text})
    assert not kept or " " not in text


@given(st.datetimes(timezones=zones))
def test_an_instant_survives_the_wire_in_whatever_zone_it_was_told(instant: datetime) -> None:
    wire = _on_the_wire(instant)
    if wire is not None:
        assert to_instant(wire) == instant
        assert to_instant(wire).tzinfo is UTC


def _on_the_wire(instant: datetime) -> Any:
    """Within a year of the calendar's ends none is taken."""
    try:
        told = instant.astimezone(UTC)
    except OverflowError:
        return None
    return to_timestamp(instant) if told.year in YEARS else None


@given(st.integers(-MINOR_MAX, MINOR_MAX))
def test_a_sum_survives_the_wire(minor: int) -> None:
    assert money.from_wire(money.to_wire(Money(minor)), "x") == Money(minor)


@given(st.lists(st.integers(-(10**9), 10**9)), st.integers(-100, 100))
def test_sums_are_exact(minors: list[int], count: int) -> None:
    total = Money(0)
    for minor in minors:
        total = total + Money(minor)
    assert total == Money(sum(minors))
    assert total * count == Money(sum(minors) * count)
    assert total - total == Money(0)


@given(
    st.integers(-MINOR_MAX, MINOR_MAX),
    st.lists(st.integers(0, 10**9), min_size=1, max_size=40).filter(lambda all: any(all)),
)
def test_parts_sum_to_the_whole_and_none_is_a_minor_unit_off_its_share(minor: int, weights: list[int]) -> None:
    parts = Money(minor).split(weights)
    assert sum(part.minor for part in parts) == minor
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part.minor * sum(weights) - minor * weight) < sum(weights)
        assert weight or part == Money(0)
    assert Money(-minor).split(weights) == [-part for part in parts]
    assert all(
        abs(parts[a].minor) >= abs(parts[b].minor)
        for a, b in zip(range(len(parts)), range(1, len(parts)), strict=False)
        if weights[a] == weights[b]
    )


@given(st.text(max_size=25))
def test_an_etag_is_read_as_a_version_or_refused(text: str) -> None:
    try:
        version = from_etag(text)
    except StaleEtag:
        return
    assert from_etag(to_etag(version)) == version


@given(st.text(max_size=200))
def test_a_page_token_of_somebodys_own_making_is_refused(token: str) -> None:
    try:
        page = Page.of(pb.ListNotesRequest(page_token=token), CALL)
    except BadPageToken:
        return
    assert page.after is None or token == ""


@given(
    st.lists(st.text("abcdefgh", min_size=1, max_size=3), unique=True, max_size=40),
    st.integers(1, 7),
    st.dictionaries(st.integers(0, 12), st.text("abcdefgh", min_size=1, max_size=3), max_size=8),
)
def test_a_list_skips_and_doubles_nothing_though_rows_come_in_between_its_pages(
    titles: list[str], size: int, coming: dict[int, str]
) -> None:
    """Whatever was there from the beginning is seen once; what comes meanwhile is seen once or not at all."""
    table, seen, token = set(titles), list[str](), ""
    for number in range(100):
        page = Page.of(pb.ListNotesRequest(page_size=size, page_token=token), CALL)
        found = sorted(each for each in table if page.after is None or each > page.after[0])[: page.limit]
        kept, token = page.cut(found, key=lambda row: [row])
        seen += kept
        table.add(coming.get(number, titles[0] if titles else "a"))
        if not token:
            break
    assert len(set(seen)) == len(seen)
    assert set(titles) <= set(seen) <= table
    assert seen == sorted(seen)
