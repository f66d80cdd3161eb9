"""Sealed texts open where they were written and nowhere else."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Column

from atoll.common.v1.access_pb2 import AUDIT_CHANGE
from chassis.call import Call
from chassis.errors import NulInText
from chassis.ids import new_id
from chassis.times import utc_now
from services.patients.domain.texts import RecordTextRefused
from services.patients.store.texts import TextStore
from services.patients.tables.clearances import clearance, screening
from tests.support.sealed import sealed_columns, texts_of

CHAIN, ROW, OTHER = (new_id() for _ in range(3))
COLUMNS = list(sealed_columns())


@pytest.mark.parametrize("column", COLUMNS, ids=str)
def test_a_text_opens_in_its_chain_column_and_row_only(column: Column[Any]) -> None:
    sealed = texts_of(CHAIN).seal(column, "fell", ROW)
    assert texts_of(CHAIN).open(column, sealed, ROW) == "fell"
    elsewhere: list[tuple[UUID, Column[Any], UUID]] = [(CHAIN, each, ROW) for each in COLUMNS if each is not column]
    for chain_id, other, row in [*elsewhere, (CHAIN, column, OTHER), (OTHER, column, ROW)]:
        with pytest.raises(RecordTextRefused):
            texts_of(chain_id).open(other, sealed, row)


def test_a_row_is_told_by_all_of_its_key() -> None:
    texts, column = texts_of(CHAIN), screening.c.answers
    with pytest.raises(RecordTextRefused):
        texts.open(column, texts.seal(column, "fell", ROW, 1), ROW, 2)


def test_nothing_stays_nothing_and_what_is_erased_reads_so() -> None:
    texts, column = texts_of(CHAIN), screening.c.answers
    assert (texts.seal(column, "", ROW), texts.open(column, "", ROW), texts.open(column, "-", ROW)) == ("", "", "-")
    assert texts.open(column, texts.seal(column, "-", ROW), ROW) == "-"
    assert (texts.seal_json(column, [], ROW), texts.open_json(column, "", ROW)) == ("", None)


@pytest.mark.parametrize("kept", [b"\xff\xfe", b"s1.1.\xff", b"\x0a\x03Ana"])
def test_what_is_no_answer_of_ours_does_not_open_as_one(kept: bytes) -> None:
    call = Call(CHAIN, None, "user", "method", str(ROW), AUDIT_CHANGE, utc_now())
    conn: Any = None  # It is not asked.
    with pytest.raises(RecordTextRefused):
        TextStore(conn, call).recalled(kept)


@pytest.mark.parametrize("text", ["a\0", "\0", "\\\0", "\\\\\0"])
def test_what_the_database_would_not_keep_is_refused_though_it_would_not_see_it(text: str) -> None:
    with pytest.raises(NulInText):
        texts_of(CHAIN).seal(clearance.c.override_reason, text, ROW)
    with pytest.raises(NulInText):
        texts_of(CHAIN).seal_json(clearance.c.conditions, [{"text": text}], ROW)


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "s1.1.AAAA", "ünï\n\"'", "😀" * 500])
def test_what_only_looks_special_comes_back_as_it_was(text: str) -> None:
    texts, column = texts_of(CHAIN), clearance.c.conditions
    assert texts.open(column, texts.seal(column, text, ROW), ROW) == text
    assert texts.open_json(column, texts.seal_json(column, [text], ROW), ROW) == [text]
