"""Code sets as files: what is read, and what is refused before anything is sent; the sample's codes and prices."""

from datetime import date
from pathlib import Path
from uuid import UUID

import pytest
from google.protobuf.json_format import ParseDict

from atoll.billing.v1 import price_book_service_pb2 as pb
from atoll.billing.v1.code_service_pb2 import LoadServiceCodesRequest
from chassis.fields import check_fields
from chassis.money import Money
from chassis.times import from_date
from cli.codes import read_diagnoses, read_services
from cli.sample.chain import FOLDER, site_files, with_money
from deploy.local.process import LocalError
from services.billing.domain.codes import ServiceCode, ServiceCodeRow, refuse_outlived, refuse_overlaps
from services.billing.domain.prices import FeeKind, PriceBook, VisitKind
from services.billing.rpc.price_items import items_from_wire
from tests.support.service import NOW

HEADER = "visit_type_code,route_code,band_code,code,units,modifiers,effective_date,end_date"


def written(folder: Path, *lines: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
    path = folder / "codes.csv"
    path.write_bytes("\r\n".join([header, *lines]).encode(encoding))
    return path


def test_a_row_is_read_with_its_lists_and_days(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "infusion, iv ,,96366,2,59| XS,2026-01-01,2026-12-31",
        "session,,,J3490,,,2028-02-29,",
        encoding="utf-8-sig",
    )
    first, second = read_services(path)
    assert (first.visit_type_code, first.route_code, first.code, first.units) == ("infusion", "iv", "96366", 2)
    assert (list(first.modifiers), from_date(first.end_date, "")) == (["59", "XS"], date(2026, 12, 31))
    assert (second.units, second.HasField("end_date"), from_date(second.effective_date, "")) == (
        1,
        False,
        date(2028, 2, 29),
    )


def test_columns_come_in_any_order(tmp_path: Path) -> None:
    path = written(tmp_path, "2026-01-01,,F33.2", header="effective_date,end_date,code")
    assert [each.code for each in read_diagnoses(path)] == ["F33.2"]


def test_empty_lines_at_the_end_are_no_rows(tmp_path: Path) -> None:
    assert len(read_services(written(tmp_path, "a,,,96365,1,,2026-01-01,", "", "", ""))) == 1


@pytest.mark.parametrize(
    ("lines", "header", "words"),
    [
        ((), HEADER, "has no rows"),
        ((), "", "the columns are none, not"),
        (("F33.2",), "code", "the columns are code, not"),
        (("infusion,iv",), HEADER, "row 2: has not 8 fields"),
        (("a,,,96365,1,,2026-01-01,", "a,,,96372,x,,2026-01-01,"), HEADER, "row 3: units: x is no number"),
        (("a,,,96365,1,,2026-02-29,",), HEADER, "row 2: effective_date: 2026-02-29 is no day"),
        (("a,,,96365,1,,,",), HEADER, "row 2: effective_date: nothing is no day"),
        (("a,,,96365,1,,2026-01-01,31.12.2026",), HEADER, "row 2: end_date: 31.12.2026 is no day"),
        (("a,,,96365,1,,2026-01-01,,x",), HEADER, "row 2: has not 8 fields"),
        (("a,,,96365,1,,2026-01-01,", "", "a,,,96372,x,,2026-01-01,"), HEADER, "row 3: has not 8 fields"),
        (('a,,,"96365,1,,2026-01-01,',), HEADER, "is no CSV"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_a_line(
    tmp_path: Path, lines: tuple[str, ...], header: str, words: str
) -> None:
    with pytest.raises(LocalError, match=words):
        read_services(written(tmp_path, *lines, header=header))


def test_a_file_that_is_not_there_or_no_utf_8_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="No such file"):
        read_services(tmp_path / "absent.csv")
    with pytest.raises(LocalError, match="is no CSV in UTF-8"):
        read_services(written(tmp_path, "é,,,96365,1,,2026-01-01,", encoding="latin-1"))


def test_the_samples_codes_are_codes_that_a_chain_may_load() -> None:
    told = read_services(FOLDER / "codes.csv")
    check_fields(LoadServiceCodesRequest(request_id=str(UUID(int=0)), rows=told))
    rows = [
        ServiceCodeRow(
            UUID(int=n),
            VisitKind(row.visit_type_code, row.route_code, row.band_code),
            ServiceCode(row.code, row.units),
            from_date(row.effective_date, ""),
            from_date(row.end_date, "") if row.HasField("end_date") else None,
        )
        for n, row in enumerate(told)
    ]
    refuse_outlived(rows, "rows[{}]")
    refuse_overlaps(rows, [], "rows[{}]")


@pytest.mark.parametrize("site", site_files())
def test_the_samples_price_books_are_such_as_a_site_may_publish(site: str) -> None:
    items = [
        ParseDict(with_money(each), pb.CreatePriceBookRequest.Item())
        for each in site_files()[site]["price_book"]["items"]
    ]
    for item in items:
        check_fields(item)
    told = items_from_wire(items)
    PriceBook(UUID(int=1), UUID(int=2), date(2026, 1, 1), Money(0), told, NOW).check("USD")
    asked = {item.fee.kind for item in told if item.fee}
    assert asked == ({FeeKind.NO_SHOW, FeeKind.LATE_CANCELLATION} if site in ("abq", "nyc", "phx") else set())
