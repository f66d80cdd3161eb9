"""What `atoll audit search` prints of entries, on narrow and on wide terminals."""

import io
from uuid import UUID

from rich.console import Console

from atoll.common.v1.access_pb2 import AUDIT_CHANGE
from atoll.common.v1.audit_pb2 import AuditEntry
from chassis.ids import to_wire
from chassis.times import to_timestamp
from cli.audit.search import print_entries
from tests.support.service import NOW

PATIENT, COURSE, SITE = (to_wire(kind, UUID(int=7)) for kind in ("patient", "course", "site"))
ENTRY = AuditEntry(
    entry_time=to_timestamp(NOW),
    actor="developer",
    method="atoll.scheduling.v1.CourseService.BookCourse",
    kind=AUDIT_CHANGE,
    roles=["FRONT_DESK"],
    patient_ids=[PATIENT],
    patient_count=1,
    ids={"patient_id": PATIENT, "course_id": COURSE, "site_id": SITE, "request_id": str(UUID(int=1))},
)


def printed(width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_entries(console, [ENTRY], PATIENT)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_narrow_terminal_shows_every_id_whole() -> None:
    said = f"{NOW:%Y-%m-%d %H:%M:%S}  developer changed scheduling BookCourse (front_desk)"
    assert printed(80) == [said, f"  {PATIENT}  {COURSE}", f"  {SITE}"]


def test_a_wide_one_shows_a_table() -> None:
    heading, first, second = printed(200)
    assert heading.split() == ["Time", "(UTC)", "Actor", "Did", "Call", "Patients", "Ids"]
    assert PATIENT in first
    assert (first.split()[-1], second.strip()) == (COURSE, SITE)
