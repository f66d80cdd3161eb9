"""A gate that follows consents says what patients says of the same documents, signatures, site and day."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from services.patients.domain import consents as theirs
from services.patients.domain import documents as published
from services.scheduling.domain import consents as ours

ZONE = "America/Denver"
FIRST = date(2027, 3, 1)
NOON = datetime(2027, 3, 1, 19, tzinfo=UTC)
STATES = ("", "CO")
DAYS = st.integers(0, 4)
PATIENT, SITE = UUID(int=1), theirs.SiteTold(UUID(int=2), "CO", ZONE)
Told = tuple[published.PublishedDocument, tuple[int, bool] | None]


@st.composite
def documents(draw: st.DrawFn) -> list[Told]:
    """At most one for each code and state, with the version last signed and whether that was withdrawn."""
    keys = st.tuples(st.sampled_from(("A", "B")), st.sampled_from(STATES))
    return [draw(told(n, *key)) for n, key in enumerate(draw(st.lists(keys, unique=True, max_size=4)), start=1)]


@st.composite
def told(draw: st.DrawFn, n: int, code: str, state: str) -> Told:
    id, retired = UUID(int=100 + n), draw(st.none() | st.integers(0, 100))
    begins = sorted(draw(st.lists(DAYS, min_size=1, max_size=3)))
    versions = tuple(
        published.DocumentVersion(
            UUID(int=1000 * n + number), id, number, FIRST + timedelta(days), draw(st.booleans()), (), NOON, "ann"
        )
        for number, days in enumerate(begins, start=1)
    )
    retired_at = None if retired is None else NOON + timedelta(hours=retired)
    document = published.ConsentDocument(id, code, state, code, False, NOON, retired_at, "ann" if retired_at else None)
    signed = draw(st.none() | st.tuples(st.integers(1, len(versions)), st.booleans()))
    return published.PublishedDocument(document, versions), signed


@settings(max_examples=200, deadline=None)
@given(documents(), DAYS)
def test_the_gate_of_a_visit_says_what_patients_says(found: list[Told], days: int) -> None:
    day = FIRST + timedelta(days)
    last = {each.document.id: kept(each, *signed) for each, signed in found if signed}
    said = theirs.status_at([each for each, _ in found], SITE, day, last)
    consents = ours.consents_at([as_told(*each) for each in found], NOON + timedelta(days), ZONE)
    assert (consents is None) == (not said)
    missing = {each.document.id for each in said if each.status is not theirs.Status.CURRENT}
    assert set(consents.unsigned if consents else ()) == missing


def as_told(each: published.PublishedDocument, signed: tuple[int, bool] | None) -> ours.ConsentDocument:
    versions = (
        ours.DocumentVersion(version.number, version.effective_date, version.earlier_signatures_stay_good)
        for version in each.versions
    )
    signature = signed and ours.Signature(signed[0], NOON, signed[1])
    document = each.document
    return ours.ConsentDocument(
        document.id, document.code, document.state, document.retired_at, tuple(versions), signature or None
    )


def kept(each: published.PublishedDocument, number: int, withdrawn: bool) -> theirs.KeptConsent:
    version, document = each.versions[number - 1], each.document
    withdrawal = theirs.Withdrawal(SITE.id, "", "ann", NOON) if withdrawn else None
    consent = theirs.Consent(
        UUID(int=document.id.int + 10_000),
        PATIENT,
        SITE.id,
        document.id,
        version.id,
        1,
        "en",
        "Ana Ruiz",
        theirs.Relationship.SELF,
        theirs.Method.PAPER,
        "",
        NOON,
        "ann",
        NOON,
        withdrawal,
    )
    effective, stays_good = version.effective_date, version.earlier_signatures_stay_good
    return theirs.KeptConsent(consent, document.code, document.state, number, effective, stays_good, "")
