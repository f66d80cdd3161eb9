"""TaskService."""

from uuid import UUID

from atoll.scheduling.v1 import task_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.scheduling import use_cases
from services.scheduling.domain.tasks import Task, TaskKind, TaskState
from services.scheduling.store import SchedulingStore


class TaskServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetTask(self, request: pb.GetTaskRequest, call: Call) -> pb.GetTaskResponse:
        id = from_wire("task", request.task_id)
        found = await self._db.read(call, request, SchedulingStore, lambda store: store.task(id))
        return pb.GetTaskResponse(task=_task(found))

    async def ListTasks(self, request: pb.ListTasksRequest, call: Call) -> pb.ListTasksResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        kind = TaskKind(pb.TaskKind.Name(request.kind)) if request.kind else None
        state = TaskState(pb.TaskState.Name(request.state)) if request.state else None
        found = await self._db.read(
            call, request, SchedulingStore, lambda store: store.tasks(site_id, kind, state, page)
        )
        tasks, token = page.cut(found, key=lambda task: [str(task.id)])
        return pb.ListTasksResponse(tasks=map(_task, tasks), next_page_token=token)

    async def CompleteTask(self, request: pb.CompleteTaskRequest, call: Call) -> pb.CompleteTaskResponse:
        id, version, note = from_wire("task", request.task_id), from_etag(request.etag), request.note

        async def work(store: SchedulingStore) -> pb.CompleteTaskResponse:
            return pb.CompleteTaskResponse(task=_task(await use_cases.complete_task(store, id, version, note)))

        return await self._db.once(call, request, pb.CompleteTaskResponse, SchedulingStore, work)


def _task(task: Task) -> pb.Task:
    return pb.Task(
        id=to_wire("task", task.id),
        site_id=to_wire("site", task.site_id),
        kind=pb.TaskKind.Value(task.kind),
        state=pb.TaskState.Value(task.state),
        patient_id=to_wire("patient", task.patient_id),
        merged_patient_id=to_wire("patient", task.merged_patient_id) if task.merged_patient_id else "",
        visit_ids=[_visit(id) for id in task.visit_ids],
        create_time=to_timestamp(task.created_at),
        note=task.note,
        completed_by=task.completed_by or "",
        complete_time=to_timestamp(task.completed_at) if task.completed_at else None,
        etag=to_etag(task.version),
        closure_id=to_wire("closure", task.closure_id) if task.closure_id else "",
        course_id=to_wire("course", task.course_id) if task.course_id else "",
    )


def _visit(id: UUID) -> str:
    return to_wire("visit", id)
