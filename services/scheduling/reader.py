"""Reads somebody's calendar in a process of its own, which is ended when it takes too long.

A rule of recurrence may be few letters long, never come true, and be looked into until the year 9999; what expands it
cannot be stopped otherwise. Run as `python -m services.scheduling.reader`: JSON in, JSON out.
"""

import json
import os
import subprocess
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Violation
from services.scheduling.domain.hours import Slot
from services.scheduling.domain.staff_calendars import ICalendarInvalid, ICalendarTooLarge, busy_times

READ_S = 8.0
"""Reading 5,000 events takes three seconds."""
REFUSALS: dict[str, type[DomainError]] = {each.reason: each for each in (ICalendarInvalid, ICalendarTooLarge)}


def read_apart(text: str, zone: ZoneInfo, now: datetime) -> list[Slot]:
    """`busy_times`, in a process of its own."""
    asked = json.dumps({"text": text, "zone": zone.key, "now": now.isoformat()})
    command = [sys.executable, "-m", "services.scheduling.reader"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(  # noqa: S603  # This very file.
            command, input=asked, capture_output=True, text=True, check=True, timeout=READ_S, env=env
        )
    except subprocess.TimeoutExpired:
        fault = Violation("calendar", "TOO_SLOW", "takes too long to expand")
        raise ICalendarTooLarge(fault) from None
    answer = json.loads(done.stdout)
    if "reason" in answer:
        raise REFUSALS[answer["reason"]](*(Violation(*each) for each in answer["violations"]))
    return [Slot(datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in answer["busy"]]


def main() -> None:
    asked = json.load(sys.stdin)
    try:
        found = busy_times(asked["text"], ZoneInfo(asked["zone"]), datetime.fromisoformat(asked["now"]))
        answer: dict[str, object] = {"busy": [(slot.start.isoformat(), slot.end.isoformat()) for slot in found]}
    except DomainError as error:
        violations = [(each.field, each.rule, each.description) for each in error.violations]
        answer = {"reason": error.reason, "violations": violations}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
