"""Patients who are merged and unmerged, as patients tells it, and the tasks that this leaves."""

from datetime import datetime
from typing import Any

from atoll.patients.v1.events_pb2 import PatientMerged, PatientUnmerged
from atoll.scheduling.v1 import course_service_pb2, task_service_pb2
from atoll.scheduling.v1.task_service_pb2_grpc import TaskServiceStub
from tests.support.scheduling import Clinic


async def merge(clinic: Clinic, alias: str, survivor: str, version: int = 1, **about: Any) -> None:
    await clinic.svc.deliver(PatientMerged(patient_id=survivor, merged_patient_id=alias), version=version, **about)


async def unmerge(clinic: Clinic, alias: str, survivor: str, version: int = 2, **about: Any) -> None:
    await clinic.svc.deliver(PatientUnmerged(patient_id=survivor, merged_patient_id=alias), version=version, **about)


async def treatment(clinic: Clinic, patient: str, start: datetime, lane: int = 0) -> course_service_pb2.Course:
    """A course of one treatment, with a nurse and a room of its own."""
    visits = clinic.treatments([start], clinic.nurses[lane], clinic.rooms[lane])
    return await clinic.book(clinic.request(patient, visits))


async def courses_of(clinic: Clinic, patient: str, **changes: Any) -> list[str]:
    request = course_service_pb2.ListCoursesRequest(patient_id=patient, **changes)
    return [course.id for course in (await clinic.svc.call(clinic.courses.ListCourses, request)).courses]


async def tasks_of(
    clinic: Clinic, token: str | None = None, site_id: str = "", **filters: Any
) -> list[task_service_pb2.Task]:
    request = task_service_pb2.ListTasksRequest(site_id=site_id or clinic.site_id, **filters)
    answer = await clinic.svc.call(clinic.svc.stub(TaskServiceStub).ListTasks, request, token)
    return list(answer.tasks)
