"""What the demo's staff do at a visit, and when they look again."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from google.protobuf.json_format import ParseDict

from atoll.notifications.v1.message_service_pb2 import CountMessagesResponse
from atoll.patients.v1.measure_service_pb2 import RecordMeasureRequest
from atoll.scheduling.v1.course_service_pb2 import Course
from atoll.scheduling.v1.gate_pb2 import GateState
from atoll.scheduling.v1.gate_service_pb2 import ListGatesResponse, RecordGateRequest
from atoll.scheduling.v1.protocol_pb2 import GateKind, GateStage, ProtocolTemplate
from atoll.scheduling.v1.visit_pb2 import Visit
from atoll.scheduling.v1.visit_service_pb2 import CompleteVisitResponse
from chassis.times import to_timestamp
from cli.client import Client
from cli.demo import life
from cli.demo.life import Life, Step, steps_of
from cli.demo.queues import Queues
from cli.sample.chain import SampleProtocol, SampleSite, protocol_files
from cli.sample.courses import Booked, Staff

START = datetime(2027, 3, 1, 16, tzinfo=UTC)
P4 = ParseDict(protocol_files()["p4"]["template"], ProtocolTemplate())
VITALS, DISCHARGE = GateKind.GATE_KIND_VITALS, GateStage.GATE_STAGE_DISCHARGE


class Caller:
    """Is answered what was put in, one after another, and writes down what it asked for."""

    def __init__(self, *answers: Any) -> None:
        self._answers: Iterator[Any] = iter(answers)
        self.asked = list[str]()

    async def call(self, stub_type: Any, method: str, request: Any) -> Any:
        self.asked.append(method)
        return next(self._answers)


class Quiet:
    """Nothing is on its way, and no message is due."""

    async def drained(self) -> None:
        pass


def session(caller: Any = None) -> list[Step]:
    """All that is done at a session of P4."""
    visit = Visit(id="visit_1", patient_id="patient_1", visit_type_code="session", start_time=to_timestamp(START))
    protocol = SampleProtocol("", "", "p4", P4, cast(Any, None))
    site = SampleSite("", "chi", "", "America/Chicago", [], {})
    booked = Booked("patient_1", site, protocol, None, Course(visits=[visit]))
    return list(steps_of(booked, P4, Staff(caller, caller, caller, caller), cancels_last=False))


def test_vitals_are_measured_and_consent_is_signed_so_that_nobody_records_them_by_hand() -> None:
    steps = session()
    assert [each.method for each in steps] == [
        "ConfirmVisit",
        "RecordGate",
        "CheckInVisit",
        "StartTreatment",
        "StartObservation",
        "RecordMeasure",
        "ListGates",
        "CompleteVisit",
    ]
    [by_hand] = [each.request.kind for each in steps if isinstance(each.request, RecordGateRequest)]
    assert by_hand == GateKind.GATE_KIND_RIDE_HOME
    [measured] = [each.request for each in steps if isinstance(each.request, RecordMeasureRequest)]
    assert (measured.patient_id, measured.visit_id) == ("patient_1", "visit_1")


def gates(*, passed: bool, stage: GateStage.ValueType = DISCHARGE) -> ListGatesResponse:
    return ListGatesResponse(gates=[GateState(kind=VITALS, stage=stage, passed=passed)])


async def play(folder: Path, *answers: Any) -> list[str]:
    """What is asked for from the look at the gates on, which are answered so."""
    caller, watcher = Caller(*answers), Caller(CountMessagesResponse())
    demo = Life(folder / "clock", START, cast(Queues, Quiet()), cast(Client, watcher))
    await demo.play(session(caller)[-2:], lambda at: None)
    return caller.asked


async def test_whoever_waits_for_a_gate_looks_again_until_it_is_passed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(life, "POLL_S", 0)
    other = gates(passed=True, stage=GateStage.GATE_STAGE_CHECK_IN)
    answers = gates(passed=False), other, gates(passed=True), CompleteVisitResponse()
    assert await play(tmp_path, *answers) == ["ListGates"] * 3 + ["CompleteVisit"]


async def test_nobody_waits_for_a_gate_for_ever(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(life, "DRAINED_S", -1)
    with pytest.raises(TimeoutError, match="ListGates"):
        await play(tmp_path, gates(passed=False))


def test_what_is_kept_of_a_story_goes_on_as_fast_as_time_does(tmp_path: Path) -> None:
    nobody = cast(Any, None)
    Life(tmp_path / "clock", START, nobody, nobody).let_go()
    instant, rate = (tmp_path / "clock").read_text().split()
    assert (datetime.fromisoformat(instant), float(rate)) == (START, 1.0)
