"""Rules of consent documents, signatures and permissions."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from services.patients.domain.consents import (
    Consent,
    ConsentVersionNotCurrent,
    KeptConsent,
    Method,
    Relationship,
    SignatureRefused,
    Signing,
    SiteTold,
    Status,
    check_signing,
    check_version_current,
    end_of,
    status_at,
    years_old,
)
from services.patients.domain.contacts import ContactUse
from services.patients.domain.documents import (
    ConsentDocument,
    DocumentVersion,
    PublishedDocument,
    applying,
    language_tag,
    nearest_language,
)
from services.patients.domain.permissions import Channel, Purpose, Said, present

NOW = datetime(2027, 3, 1, 16, tzinfo=UTC)
TODAY = date(2027, 3, 1)
DENVER = "America/Denver"
SITE = SiteTold(uuid4(), "CO", DENVER)


def published(code: str = "TREATMENT", state: str = "", *days: date, good: str = "") -> PublishedDocument:
    """Versions that begin on `days`; those whose number is in `good` let earlier signatures stay good."""
    document = ConsentDocument(uuid4(), code, state, "Title", guarantor_may_sign=False, created_at=NOW)
    versions = tuple(
        DocumentVersion(uuid4(), document.id, n, day, str(n) in good, (("en-US", "hash"),), NOW, "admin")
        for n, day in enumerate(days or (TODAY,), 1)
    )
    return PublishedDocument(document, versions)


def signature(of: PublishedDocument, number: int = 1) -> dict[UUID, KeptConsent]:
    version = of.versions[number - 1]
    consent = Consent(
        id=uuid4(),
        patient_id=uuid4(),
        site_id=SITE.id,
        document_id=of.document.id,
        version_id=version.id,
        sequence=1,
        language="en-US",
        signer_name="Ana",
        relationship=Relationship.SELF,
        method=Method.PAPER,
        witness_name="",
        signed_at=NOW,
        recorded_by="desk",
        recorded_at=NOW,
    )
    kept = KeptConsent(consent, of.document.code, "", number, version.effective_date, True, "hash")
    return {of.document.id: kept}


@pytest.mark.parametrize(
    ("born", "day", "age"),
    [
        (date(2009, 3, 2), date(2027, 3, 1), 17),
        (date(2009, 3, 1), date(2027, 3, 1), 18),
        (date(2008, 2, 29), date(2026, 2, 28), 17),
        (date(2008, 2, 29), date(2026, 3, 1), 18),
        (date(2008, 2, 29), date(2028, 2, 29), 20),
        (date(2008, 12, 31), date(2027, 1, 1), 18),
    ],
)
def test_a_year_of_life_ends_on_the_birthday_and_on_1_march_for_whoever_has_none(
    born: date, day: date, age: int
) -> None:
    assert years_old(born, day) == age


@pytest.mark.parametrize(
    ("day", "end"),
    [
        (date(2027, 3, 13), datetime(2027, 3, 14, 7, tzinfo=UTC)),
        (date(2027, 3, 14), datetime(2027, 3, 15, 6, tzinfo=UTC)),  # Clocks went forward.
        (date(2027, 11, 7), datetime(2027, 11, 8, 7, tzinfo=UTC)),
    ],
)
def test_a_day_ends_at_midnight_in_the_zone(day: date, end: datetime) -> None:
    assert end_of(day, DENVER) == end


def test_the_last_day_of_the_calendar_has_an_end_too() -> None:
    assert end_of(date.max, DENVER) > end_of(date.max - timedelta(days=2), DENVER)


def test_of_versions_that_begin_on_one_day_the_highest_is_in_effect() -> None:
    twice = published("TREATMENT", "", TODAY, TODAY, TODAY + timedelta(days=1))
    assert [twice.in_effect(day) for day in (TODAY - timedelta(days=1), TODAY, TODAY + timedelta(days=9))] == [
        None, twice.versions[1], twice.versions[2],
    ]  # fmt: skip


@pytest.mark.parametrize("turned", [False, True])
def test_in_a_state_its_own_document_applies_whichever_is_read_first(turned: bool) -> None:
    everywhere, own, other = published(), published("TREATMENT", "CO"), published("TREATMENT", "TX")
    first = published("A_FIRST", "")
    read = [everywhere, own, other, first]
    assert applying(read[::-1] if turned else read, "CO", TODAY, DENVER) == [first, own]
    assert applying(read, "NM", TODAY, DENVER) == [first, everywhere]


def test_a_retired_document_applies_until_the_day_before_in_the_sites_zone() -> None:
    """At 5:00 on 2 March in UTC it is still 1 March in Denver."""
    everywhere, own = published(), published("TREATMENT", "CO", TODAY - timedelta(days=9))
    retired_at = datetime(2027, 3, 2, 5, tzinfo=UTC)
    gone = replace(own, document=replace(own.document, retired_at=retired_at, retired_by="admin"))
    yesterday = TODAY - timedelta(days=1)
    assert applying([everywhere, gone], "CO", yesterday, DENVER) == [gone]
    assert applying([everywhere, gone], "CO", TODAY, DENVER) == [everywhere]


@pytest.mark.parametrize(
    ("signed", "good", "status"),
    [
        (1, "", Status.OUTDATED),
        (1, "2", Status.OUTDATED),
        (1, "3", Status.OUTDATED),
        (1, "23", Status.CURRENT),
        (2, "3", Status.CURRENT),
        (2, "2", Status.OUTDATED),
        (3, "", Status.CURRENT),
    ],
)
def test_a_signature_stays_good_as_long_as_every_version_since_lets_it(signed: int, good: str, status: Status) -> None:
    days = [TODAY, TODAY + timedelta(days=1), TODAY + timedelta(days=2)]
    document = published("TREATMENT", "", *days, good=good)
    [found] = status_at([document], SITE, days[2], signature(document, signed))
    assert (found.status, found.in_effect) == (status, document.versions[2])


def test_a_version_signed_further_east_holds_where_it_has_not_begun() -> None:
    document = published("TREATMENT", "", TODAY, TODAY + timedelta(days=1))
    [found] = status_at([document], SITE, TODAY, signature(document, 2))
    assert (found.status, found.in_effect.number) == (Status.CURRENT, 1)


@pytest.mark.parametrize(
    ("version", "signed_on", "rule"),
    [(0, TODAY, "OUTDATED"), (2, TODAY, "NOT_YET_IN_EFFECT"), (1, TODAY - timedelta(days=1), "NOT_YET_IN_EFFECT")],
)
@pytest.mark.parametrize("good", ["", "23"])
def test_of_three_versions_the_one_in_effect_is_signed(version: int, signed_on: date, rule: str, good: str) -> None:
    """Even where an earlier signature would stay good."""
    days = (TODAY - timedelta(days=1), TODAY, TODAY + timedelta(days=1))
    document = published("TREATMENT", "", *days, good=good)
    found = check_version_current([document], document.versions[1].id, SITE, TODAY, TODAY)
    assert found == (document, document.versions[1])
    with pytest.raises(ConsentVersionNotCurrent) as caught:
        check_version_current([document], document.versions[version].id, SITE, signed_on, TODAY)
    assert [each.rule for each in caught.value.violations] == [rule]


@pytest.mark.parametrize(
    ("relationship", "age", "rules"),
    [
        (Relationship.SELF, 18, []),
        (Relationship.SELF, 17, ["SIGNER_UNDER_AGE"]),
        (Relationship.PARENT, 17, []),
        (Relationship.GUARDIAN, 0, []),
        (Relationship.REPRESENTATIVE, 17, []),
        (Relationship.REPRESENTATIVE, 70, []),
        (Relationship.GUARANTOR, 17, ["SIGNER_UNDER_AGE"]),
        (Relationship.GUARANTOR, 18, ["GUARANTOR_MAY_NOT_SIGN"]),
    ],
)
def test_who_may_sign_depends_on_age_and_document(relationship: Relationship, age: int, rules: list[str]) -> None:
    document = published()
    signing = Signing("en-US", relationship, Method.PAPER, "", None, by_patient=False)
    found = list[str]()
    try:
        check_signing(signing, document.document, document.versions[0], age, None, NOW)
    except SignatureRefused as refused:
        found = [each.rule for each in refused.violations]
    assert found == rules


@pytest.mark.parametrize(
    ("text", "tag"),
    [("es-mx", "es-MX"), ("EN", "en"), ("ZH-HANT-tw", "zh-Hant-TW"), ("sl-ROZAJ", "sl-rozaj"), ("es-419", "es-419")],
)
def test_a_language_tag_is_written_in_one_way(text: str, tag: str) -> None:
    assert language_tag(text) == tag


@pytest.mark.parametrize(
    ("there", "wanted", "found"),
    [
        (["en-US", "es", "es-MX"], "es-MX", "es-MX"),
        (["en-US", "es", "es-MX"], "es-CO", "es"),
        (["en-US", "es-MX", "es-AR"], "es", "es-AR"),
        (["en-GB", "en-US", "vi"], "fr-CA", "en-GB"),
        (["en", "en-US", "vi"], "", "en"),
        (["vi", "es"], "fr", "es"),
        (["zh-Hant", "en"], "zh-hant-TW", "zh-Hant"),
    ],
)
def test_the_nearest_language_is_a_wider_one_then_a_sister_then_english_then_any(
    there: list[str], wanted: str, found: str
) -> None:
    assert nearest_language(there, wanted) == nearest_language(there[::-1], wanted) == found


def said(
    use: ContactUse, permitted: bool, hours: int, purpose: Purpose = Purpose.APPOINTMENT, *, companion: bool = False
) -> Said:
    return Said(Channel.SMS, purpose, use, companion, permitted, NOW + timedelta(hours=hours))


ALL, MOBILE = ContactUse.UNSPECIFIED, ContactUse.MOBILE


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        ([said(ALL, True, 1)], {ALL: True}),
        ([said(MOBILE, True, 1)], {MOBILE: True}),
        ([said(ALL, True, 1), said(MOBILE, False, 2)], {ALL: True, MOBILE: False}),
        ([said(ALL, True, 2), said(MOBILE, False, 1)], {ALL: True, MOBILE: False}),
        ([said(ALL, False, 1), said(MOBILE, True, 2)], {ALL: False, MOBILE: True}),
        ([said(ALL, False, 2), said(MOBILE, True, 1)], {ALL: False, MOBILE: False}),
        ([said(ALL, False, 1), said(MOBILE, True, 1)], {ALL: False, MOBILE: False}),
    ],
)
def test_who_refuses_all_takes_back_what_they_permitted_one_before(
    words: list[Said], holds: dict[ContactUse, bool]
) -> None:
    for order in (words, words[::-1]):
        assert {each.use: each.permitted for each in present(order)} == holds


def test_what_a_companion_permits_of_one_use_meets_what_the_patient_permits_of_all() -> None:
    patients = said(ALL, True, 1, Purpose.COMPANION)
    companions = said(MOBILE, True, 2, Purpose.COMPANION, companion=True)
    assert {each.use: each.permitted for each in present([patients, companions])} == {ALL: False, MOBILE: True}
    refused = said(ALL, False, 3, Purpose.COMPANION)
    assert not any(each.permitted for each in present([refused, companions]))


def test_the_instant_of_what_holds_for_a_companion_is_the_later_of_both() -> None:
    words = [said(ALL, True, 2, Purpose.COMPANION, companion=True), said(ALL, True, 1, Purpose.COMPANION)]
    [both] = present(words)
    assert (both.permitted, both.told_at) == (True, NOW + timedelta(hours=2))
    assert [each.permitted for each in present(words[:1])] == [False]
