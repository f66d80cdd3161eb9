"""Lists, of which the API answers a page at a time."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterable
from typing import Any, Generic, TypeVar

ResponseT = TypeVar("ResponseT")
ItemT = TypeVar("ItemT")


class Pages(Generic[ResponseT, ItemT]):
    """`async for item in pages`: all of them, one page in memory at a time, asked for when the one before is used up.
    `await pages`: the first page as the API answers it. `pages.by_page()`: such answers, one after another.
    """

    def __init__(
        self,
        ask: Callable[[str], Awaitable[ResponseT]],
        items: Callable[[ResponseT], Iterable[ItemT]],
        page_token: str,
    ) -> None:
        self._ask, self._items, self._page_token = ask, items, page_token

    def __await__(self) -> Generator[Any, None, ResponseT]:
        return self._ask(self._page_token).__await__()

    def __aiter__(self) -> AsyncIterator[ItemT]:
        return self._each()

    async def by_page(self) -> AsyncGenerator[ResponseT, None]:
        page_token = self._page_token
        while True:
            page: Any = await self._ask(page_token)
            yield page
            if not page.next_page_token:
                return
            if page.next_page_token == page_token:
                raise RuntimeError("the list answered with the page_token that it was asked by: it would never end")
            page_token = page.next_page_token

    async def _each(self) -> AsyncGenerator[ItemT, None]:
        async for page in self.by_page():
            for item in self._items(page):
                yield item
