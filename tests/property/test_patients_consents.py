"""Whatever is published and signed in whatever order, a status follows from the history day by day."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from services.patients.domain.consents import Consent, KeptConsent, Method, Relationship, SiteTold, Status, status_at
from services.patients.domain.documents import (
    ConsentDocument,
    DocumentVersion,
    PublishedDocument,
    applying,
    language_tag,
    nearest_language,
)

NOW = datetime(2027, 3, 1, 16, tzinfo=UTC)
FIRST = date(2027, 3, 1)
SITE = SiteTold(uuid4(), "CO", "America/Denver")
DAYS = 12

steps = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6)
"""Of each version: how many days after the one before it begins, and whether earlier signatures stay good."""


def published(made: Sequence[tuple[int, bool]], code: str = "TREATMENT", state: str = "") -> PublishedDocument:
    document = ConsentDocument(uuid4(), code, state, "Title", guarantor_may_sign=False, created_at=NOW)
    versions, day = list[DocumentVersion](), FIRST
    for number, (later, good) in enumerate(made, 1):
        day += timedelta(days=later)
        hashes = (("en", "hash"),)
        versions.append(DocumentVersion(uuid4(), document.id, number, day, good, hashes, NOW, "admin"))
    return PublishedDocument(document, tuple(versions))


def signed(of: PublishedDocument, version: DocumentVersion) -> KeptConsent:
    consent = Consent(
        id=uuid4(),
        patient_id=uuid4(),
        site_id=SITE.id,
        document_id=of.document.id,
        version_id=version.id,
        sequence=1,
        language="en",
        signer_name="Ana",
        relationship=Relationship.SELF,
        method=Method.PAPER,
        witness_name="",
        signed_at=NOW,
        recorded_by="desk",
        recorded_at=NOW,
    )
    return KeptConsent(consent, of.document.code, "", version.number, version.effective_date, True, "hash")


@given(steps, st.integers(0, DAYS))
def test_a_signature_is_current_until_the_first_day_on_which_a_version_asks_for_another(
    made: Sequence[tuple[int, bool]], signed_after: int
) -> None:
    document, signing_day = published(made), FIRST + timedelta(days=signed_after)
    if (version := document.in_effect(signing_day)) is None:
        return
    kept, holds = {document.document.id: signed(document, version)}, True
    for day in (signing_day + timedelta(days=n) for n in range(DAYS * 2)):
        begun = [each for each in document.versions if each.effective_date == day and each.number > version.number]
        holds = holds and all(each.earlier_signatures_stay_good for each in begun)
        [found] = status_at([document], SITE, day, kept)
        assert found.status is (Status.CURRENT if holds else Status.OUTDATED)
        assert found.in_effect == document.in_effect(day)


@given(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from(["", "CO", "NM"]), steps), max_size=6))
def test_of_each_code_one_document_applies_at_most_and_the_states_own_if_it_has_begun(
    made: Sequence[tuple[str, str, Sequence[tuple[int, bool]]]],
) -> None:
    by_place = {(code, state): published(versions, code, state) for code, state, versions in made}
    for day in (FIRST + timedelta(days=n) for n in range(5)):
        expected = list[PublishedDocument]()
        for code in "AB":
            candidates = [by_place.get((code, "CO")), by_place.get((code, ""))]
            expected += [each for each in candidates if each and each.in_effect(day)][:1]
        assert applying(list(by_place.values()), "CO", day, SITE.time_zone) == expected


tags = st.sampled_from(["en", "en-US", "es", "es-MX", "es-419", "zh-Hant", "zh-Hant-TW", "fr-CA", "vi"])


@given(st.sets(tags, min_size=1), tags, st.booleans())
def test_the_nearest_language_is_there_is_the_wanted_one_if_that_is_and_of_its_kind_if_any_is(
    there: set[str], wanted: str, shouted: bool
) -> None:
    found = nearest_language(sorted(there), wanted.upper() if shouted else wanted)
    assert found in there
    if wanted in there:
        assert found == wanted
    elif any(each.split("-")[0] == wanted.split("-")[0] for each in there):
        assert found.split("-")[0] == wanted.split("-")[0]
    assert language_tag(found) == found
