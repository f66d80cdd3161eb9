"""Which consent documents a visit asks for, and which of them are signed."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from services.scheduling.domain.consents import ConsentDocument, DocumentVersion, Signature, consents_at

DAY = date(2027, 3, 2)
ZONE = "America/Denver"
VISIT = datetime(2027, 3, 2, 16, tzinfo=UTC)  # Nine o'clock in Denver.
SIGNED_AT = datetime(2027, 3, 1, 16, tzinfo=UTC)


def version(number: int, day: date = DAY, *, stays_good: bool = False) -> DocumentVersion:
    return DocumentVersion(number, day, stays_good)


def signature(number: int = 1, *, withdrawn: bool = False, at: datetime = SIGNED_AT) -> Signature:
    return Signature(number, at, withdrawn)


def document(
    id: int,
    *versions: DocumentVersion,
    code: str = "TREATMENT",
    state: str = "",
    signed: Signature | None = None,
    retired_at: datetime | None = None,
) -> ConsentDocument:
    return ConsentDocument(UUID(int=id), code, state, retired_at, versions or (version(1),), signed)


def unsigned(*documents: ConsentDocument, at: datetime = VISIT) -> list[int] | None:
    """None: nothing applies."""
    consents = consents_at(documents, at, ZONE)
    return None if consents is None else [id.int for id in consents.unsigned]


def test_what_applies_is_to_be_signed() -> None:
    assert unsigned() is None
    assert unsigned(document(1)) == [1]
    assert unsigned(document(1, signed=signature())) == []
    assert unsigned(document(1, signed=signature()), document(2, code="PRIVACY")) == [2]


def test_a_withdrawn_signature_does_not_hold() -> None:
    assert unsigned(document(1, signed=signature(withdrawn=True))) == [1]


@pytest.mark.parametrize(("stays_good", "left"), [(False, [1]), (True, [])])
def test_a_version_that_began_since_may_ask_for_a_new_signature(stays_good: bool, left: list[int]) -> None:
    later = version(2, stays_good=stays_good)
    assert unsigned(document(1, version(1), later, signed=signature(1))) == left
    assert unsigned(document(1, version(1), later, signed=signature(2))) == []


def test_every_version_that_began_since_has_to_leave_earlier_signatures_good() -> None:
    versions = version(1), version(2), version(3, stays_good=True)
    assert unsigned(document(1, *versions, signed=signature(1))) == [1]
    assert unsigned(document(1, *versions, signed=signature(2))) == []


def test_a_version_asks_for_nothing_before_its_first_day_at_the_site() -> None:
    tomorrow = DAY + timedelta(days=1)
    assert unsigned(document(1, version(1, tomorrow))) is None
    assert unsigned(document(1, version(1), version(2, tomorrow), signed=signature(1))) == []
    late = datetime(2027, 3, 3, 6, 59, tzinfo=UTC)  # A minute before midnight in Denver.
    assert unsigned(document(1, version(1, tomorrow)), at=late) is None
    assert unsigned(document(1, version(1, tomorrow)), at=late + timedelta(minutes=1)) == [1]


def test_a_document_is_asked_for_until_the_day_on_which_it_is_retired() -> None:
    late = datetime(2027, 3, 3, 6, 59, tzinfo=UTC)
    assert unsigned(document(1, retired_at=late)) is None
    assert unsigned(document(1, retired_at=late + timedelta(minutes=1))) == [1]


def test_a_document_without_a_version_asks_for_nothing() -> None:
    assert unsigned(ConsentDocument(UUID(int=1), "TREATMENT", "", None, ())) is None


def test_a_states_own_document_takes_the_place_of_that_of_every_state_once_it_begins() -> None:
    everywhere, own = document(1, signed=signature()), document(2, state="CO")
    assert unsigned(everywhere, own) == unsigned(own, everywhere) == [2]
    begins_later = document(2, version(1, DAY + timedelta(days=1)), state="CO")
    assert unsigned(everywhere, begins_later) == []
    assert unsigned(everywhere, document(2, state="CO", retired_at=VISIT)) == []


def test_all_are_signed_when_the_last_of_them_is() -> None:
    later = SIGNED_AT + timedelta(hours=1)
    documents = document(1, signed=signature(at=later)), document(2, code="PRIVACY", signed=signature())
    consents = consents_at(documents, VISIT, ZONE)
    assert consents
    assert consents.signed_at == later
