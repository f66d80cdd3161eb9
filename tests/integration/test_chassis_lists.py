"""A list in pages, through the door, while others write."""

from typing import Any

import pytest
from grpc import StatusCode

from chassis.ids import new_id
from tests.support.notes import create_request, pb, pb_grpc
from tests.support.service import Running, refusal

SITE = new_id()


async def add(notes: Running, *titles: str, token: str | None = None) -> None:
    stub = notes.stub(pb_grpc.NoteServiceStub)
    for title in titles:
        await notes.call(stub.CreateNote, create_request(SITE, title=title), token or notes.token("ROLE_FRONT_DESK"))


async def page(notes: Running, token: str = "", *, size: int = 2, **changes: Any) -> tuple[list[str], str]:
    request = pb.ListNotesRequest(page_size=size, page_token=token)
    answer = await notes.call(
        notes.stub(pb_grpc.NoteServiceStub).ListNotes, request, notes.token("ROLE_FRONT_DESK", **changes)
    )
    return [note.title for note in answer.notes], answer.next_page_token


async def test_a_list_goes_on_where_it_was_though_rows_come_and_go_between_its_pages(notes: Running) -> None:
    await add(notes, "b", "d", "f", "h")
    first, token = await page(notes)
    await add(notes, "a", "e")
    await notes.admin.execute("DELETE FROM note WHERE title = 'd'")  # The last row of the page.
    second, token = await page(notes, token)
    third, token = await page(notes, token)
    assert (first, second, third, token) == (["b", "d"], ["e", "f"], ["h"], "")


async def test_a_list_that_fits_has_no_next_page(notes: Running) -> None:
    await add(notes, "a", "b")
    assert await page(notes) == (["a", "b"], "")
    assert await page(notes, size=0) == (["a", "b"], "")


async def test_a_token_of_another_chain_is_refused(notes: Running) -> None:
    await add(notes, "a", "b", "c")
    _, token = await page(notes)
    refused = await refusal(page(notes, token, chain_id=new_id()))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_PAGE_TOKEN")
    assert refused.faults == [("page_token", "BAD_PAGE_TOKEN")]


@pytest.mark.parametrize("size", [-1, 201])
async def test_a_page_beyond_the_bounds_is_refused(notes: Running, size: int) -> None:
    assert (await refusal(page(notes, size=size))).faults[0][0] == "page_size"


async def test_rows_of_other_sites_are_in_no_page(notes: Running) -> None:
    await add(notes, "a", "b", "c")
    assert await page(notes, sites=[new_id()]) == ([], "")
    assert (await page(notes, sites=[SITE, new_id()], size=3))[0] == ["a", "b", "c"]
