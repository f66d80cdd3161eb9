"""How long a command waits for an API that does not answer."""

from collections.abc import Iterator
from typing import Any, cast

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from atoll.scheduling.v1.course_service_pb2 import GetCourseRequest, GetCourseResponse
from cli.client import Client, Refused


class Stub:
    """Answers what it is given, one after another; an error it raises."""

    def __init__(self, said: Iterator[GetCourseResponse | AioRpcError]) -> None:
        self._said = said

    async def get(self, _: GetCourseRequest, **options: object) -> GetCourseResponse:
        said = next(self._said)
        if isinstance(said, AioRpcError):
            raise said
        return said


def away() -> AioRpcError:
    return AioRpcError(grpc.StatusCode.UNAVAILABLE, Metadata(), Metadata(), "nobody there")


async def asked(times: int, *said: GetCourseResponse | AioRpcError) -> None:
    stub, client = Stub(iter(said)), Client(cast(Any, None), lambda: "token")
    for _ in range(times):
        await client.call(lambda _: stub, "get", GetCourseRequest())


async def test_an_api_that_has_answered_is_waited_for_and_another_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.client.FIRST_S", -1)
    monkeypatch.setattr("cli.client.AGAIN_S", 0)
    await asked(2, GetCourseResponse(), away(), away(), GetCourseResponse())
    with pytest.raises(Refused, match="UNAVAILABLE"):
        await asked(1, away(), GetCourseResponse())
