"""What documents show, how long they are kept, and how long a failed one waits."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from chassis.keyring import KeyMissing, KeyRing, Sealed
from chassis.money import Money
from services.billing.domain.codes import ServiceCode
from services.billing.domain.disclaimers import DISCLAIMERS, LATEST
from services.billing.domain.estimates import Content, Estimate, Gap, Line, Provider, Trigger
from services.billing.domain.prices import VisitKind
from services.billing.domain.printing import PrintedKind, delay_after, kept_until
from services.billing.printing import TEMPLATES as FOLDER
from services.billing.printing import day_text, money_text, pdf
from services.billing.printing.estimate import content_of
from services.billing.printing.writer import TEMPLATES
from tests.support.billing_estimates import write_keys

NOW = datetime(2027, 3, 1, 16, tzinfo=UTC)
SITE, DOCTOR, COURSE = UUID(int=1), UUID(int=2), UUID(int=5)
FACILITY = Provider(SITE, "Harbor Lane", "", "1234567893", "12-3456789", "NM", "1 Main St")
PERSON = Provider(DOCTOR, "Dana Roe", "MD", "1234567893", "12-3456789", "NM", "1 Main St")


def line(visit_type: str, count: int, minor: int, *codes: ServiceCode, by: UUID | None = None) -> Line:
    kind = VisitKind(visit_type, "", "standard")
    return Line(kind, visit_type.title(), (date(2027, 3, 22),) * count, Money(minor), UUID(int=9), by, codes)


def estimate(*lines: Line, last: date = date(2027, 3, 22), providers: tuple[Provider, ...] = (FACILITY,)) -> Estimate:
    return Estimate(
        id=UUID(int=7),
        site_id=SITE,
        patient_id=UUID(int=8),
        course_id=COURSE,
        version=1,
        trigger=Trigger.REQUEST,
        service_date=date(2027, 3, 22),
        lines=lines,
        created_at=NOW,
        due_at=None,
        last_date=last,
        content=Content(providers, (), LATEST),
    )


INFUSIONS = line("infusion", 6, 59000, ServiceCode("96365", 1), ServiceCode("J3490", 2, ("JZ", "25")))


def test_lines_that_only_their_days_part_show_them() -> None:
    old = replace(INFUSIONS, days=(date(2026, 12, 28), date(2026, 12, 31)))
    patient = {"name": "Penny Wise", "birth_date": "May 4, 1981", "diagnoses": []}
    new = replace(INFUSIONS, days=(date(2027, 1, 4),), codes=(ServiceCode("J0013", 1),))
    content = content_of(estimate(old, new, line("therapy", 1, 20050)), date(2026, 12, 1), patient)
    [provider] = content["providers"]
    assert [each["dates"] for each in provider["lines"]] == [
        "December 28, 2026 \N{EN DASH} December 31, 2026",
        "January 4, 2027",
        "",
    ]
    assert pdf("estimate", content, NOW)


def test_items_are_grouped_by_who_renders_them_each_with_a_total() -> None:
    talks = line("therapy", 2, 20050, by=DOCTOR)
    shown = content_of(estimate(INFUSIONS, talks, providers=(FACILITY, PERSON)), date(2027, 3, 1))
    facility, person = shown["providers"]
    assert (facility["name"], facility["total"], person["name"], person["total"]) == (
        "Harbor Lane",
        "$3,540.00",
        "Dana Roe",
        "$401.00",
    )
    assert facility["lines"][0]["codes"] == ["96365", "J3490-JZ-25 x 2"]
    assert (shown["total"], shown["primary"]) == ("$3,941.00", {"item": "Infusion", "date": "March 22, 2027"})


def test_the_date_of_the_primary_item_is_its_own() -> None:
    """Not that of an assessment before it."""
    infusions = replace(INFUSIONS, days=(date(2027, 4, 5), date(2027, 4, 12)))
    shown = content_of(estimate(line("assessment", 1, 30000), infusions, last=date(2027, 4, 12)), date(2027, 3, 1))
    assert shown["primary"] == {"item": "Infusion", "date": "April 5, 2027"}
    assert shown["series"]["first"] == "March 22, 2027"


def test_who_renders_nothing_is_not_shown() -> None:
    shown = content_of(estimate(line("therapy", 1, 100, by=DOCTOR), providers=(FACILITY, PERSON)), date(2027, 3, 1))
    assert [each["name"] for each in shown["providers"]] == ["Dana Roe"]


@pytest.mark.parametrize(
    ("count", "last", "days"),
    [
        (1, date(2027, 3, 22), 0),
        (2, date(2027, 4, 5), 14),
        (6, date(2027, 4, 10), 4),  # 19 days in five gaps: 3.8.
        (3, date(2027, 3, 29), 4),  # 3.5 is rounded up.
        (3, date(2027, 3, 22), 0),  # All on one day.
    ],
)
def test_the_frequency_is_the_average_of_the_gaps(count: int, last: date, days: int) -> None:
    assert estimate(line("infusion", count, 100), last=last).days_between == days


def test_what_the_law_asks_for_and_nobody_told_is_named() -> None:
    assert estimate(INFUSIONS).gaps == ()
    bare = Provider(SITE, "Harbor Lane", "", "", "", "NM", "")
    assert estimate(line("therapy", 1, 100), providers=(bare,)).gaps == (
        Gap.SERVICE_CODE,
        Gap.NPI,
        Gap.TIN,
        Gap.LOCATION,
    )


def test_the_disclaimers_hold_every_statement_that_the_law_asks_for() -> None:
    text = " ".join(f"{each.title}. {each.text}" for each in DISCLAIMERS[LATEST]).lower()
    for part in (
        "may recommend other items or services", "scheduled or requested separately", "only an estimate",
        "may differ", "dispute resolution", "$400 or more", "120 calendar days", "will not harm the quality",
        "www.cms.gov/nosurprises", "not a contract", "does not oblige you",
    ):  # fmt: skip
        assert part in text, part


def test_every_kind_of_document_has_a_template() -> None:
    assert TEMPLATES.keys() == set(PrintedKind)
    assert all((FOLDER / f"{stem}.typ").exists() for stem in TEMPLATES.values())


def test_the_same_content_makes_the_same_bytes_whatever_stands_in_a_name() -> None:
    patient = {"name": '#panic("x") *A* $1 @b \\ "', "birth_date": "May 4, 1981", "diagnoses": []}
    content = content_of(estimate(INFUSIONS), date(2027, 3, 1), patient)
    assert pdf("estimate", content, NOW) == pdf("estimate", content, NOW)


@pytest.mark.parametrize(
    ("minor", "text"), [(0, "$0.00"), (5, "$0.05"), (123456789, "$1,234,567.89"), (-1250, "-$12.50")]
)
def test_money_is_shown_to_the_cent(minor: int, text: str) -> None:
    assert money_text(Money(minor)) == text


def test_a_day_is_shown_as_it_is_said() -> None:
    assert day_text(date(2027, 3, 1)) == "March 1, 2027"


@pytest.mark.parametrize(
    ("day", "until"),
    [
        (date(2027, 3, 1), date(2033, 3, 1)),
        (date(2028, 2, 29), date(2034, 3, 1)),
        (date(2026, 2, 28), date(2032, 2, 28)),
    ],
)
def test_a_document_is_kept_for_six_years(day: date, until: date) -> None:
    assert kept_until(day) == until


def test_a_document_that_fails_waits_twice_as_long_each_time_up_to_an_hour() -> None:
    assert [delay_after(n).total_seconds() for n in (1, 2, 3, 11, 12, 13, 1000)] == [2, 4, 8, 2048, 3600, 3600, 3600]
    assert delay_after(12) == timedelta(hours=1)


def test_a_key_is_replaced_by_adding_one(tmp_path: Path) -> None:
    path, id = tmp_path / "keys.json", UUID(int=3)
    write_keys(path, "1")
    keys = KeyRing(path)
    old = keys.seal(b"old", "pdf", id)
    write_keys(path, "2")
    new = keys.seal(b"new", "pdf", id)
    assert (old.key_id, new.key_id) == ("1", "2")
    assert (keys.open(old, "pdf", id), keys.open(new, "pdf", id)) == (b"old", b"new")
    assert keys.seal(b"old", "pdf", id).text != keys.seal(b"old", "pdf", id).text


def test_what_was_sealed_opens_as_nothing_else(tmp_path: Path) -> None:
    path, id = tmp_path / "keys.json", UUID(int=3)
    write_keys(path, "1")
    keys = KeyRing(path)
    sealed = keys.seal(b"text", "pdf", id)
    spoilt = Sealed("1", sealed.text[:-1] + bytes([sealed.text[-1] ^ 1]))
    for wrong, part, of in (
        (sealed, "snapshot", id),
        (sealed, "pdf", UUID(int=4)),
        (spoilt, "pdf", id),
        (Sealed("9", sealed.text), "pdf", id),
    ):
        with pytest.raises(KeyMissing):
            keys.open(wrong, part, of)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"current": "1", "keys": {"1": "c2hvcnQ="}}', '{"current": "2", "keys": {}}']
)
def test_a_file_without_usable_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    for keys in (KeyRing(path), KeyRing(tmp_path / "missing.json"), KeyRing(None)):
        with pytest.raises(KeyMissing):
            keys.seal(b"text", "pdf", UUID(int=3))
