"""WebhookService through its door: who is told of what, who may decide it, and what is refused."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.billing.v1.events_pb2 import PeriodClosed
from atoll.notifications.v1 import webhook_service_pb2 as pb
from atoll.notifications.v1.events_pb2 import MessageSettled
from atoll.patients.v1.events_pb2 import PatientMerged, PatientRegistered
from atoll.scheduling.v1.events_pb2 import CourseBooked, VisitCheckedIn
from chassis.consumer import Consumer, Letter, fact_of
from chassis.errors import NotYetKnown
from chassis.housekeeping import sweep
from chassis.ids import from_wire, new_id, to_wire
from chassis.pool import open_pool
from chassis.sql import Statement
from chassis.times import to_timestamp
from services.notifications.domain.webhooks import ENDPOINTS_MAX
from services.notifications.store import webhooks as store
from services.notifications.tables import webhook_delivery
from services.notifications.tables.webhooks import DELIVERIES_KEPT
from tests.support.service import NOW, refusal
from tests.support.webhooks import CONFIRMED, Hooks, Receiver, open_hooks, receiving

CHECKED_IN = "scheduling.v1.visit.checked_in"

URL = "https://hooks.example.org/atoll"
WRITERS = ["CHAIN_ADMIN", "INTEGRATION"]
READERS = [*WRITERS, "AUDITOR", "SITE_MANAGER"]
OTHERS = ["FRONT_DESK", "CLINICIAN", "NURSE", "BILLING", "PATIENT", "SERVICE"]
ACTIVE, PAUSED, DISABLED = 1, 2, 3


@pytest_asyncio.fixture(scope="module")
async def opened(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Hooks]:
    async with open_hooks(postgres_url, issuer_folder) as hooks:
        yield hooks


@pytest_asyncio.fixture
async def hooks(opened: Hooks) -> Hooks:
    """A chain of its own."""
    opened.svc.chain_id, opened.site_id = new_id(), new_id()
    await opened.svc.admin.execute("DELETE FROM webhook_delivery; DELETE FROM webhook_endpoint")
    await opened.add_site(opened.site_id)
    return opened


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_an_event_is_told_signed_and_with_ids_only(hooks: Hooks, receiver: Receiver) -> None:
    made = await hooks.endpoint(receiver.url)
    event = await hooks.confirm()
    assert await hooks.sender().drain() == 1
    [got] = receiver.got
    assert got.verified(made.secret) == {
        "type": CONFIRMED,
        "timestamp": "2027-03-01T16:00:00Z",
        "data": {
            "event_id": event.meta.event_id,
            "chain_id": event.meta.chain_id,
            "site_id": event.site_id,
            "visit_id": event.visit_id,
            "course_id": event.course_id,
            "patient_id": event.patient_id,
        },
    }
    assert got.target == "/hooks?from=atoll"
    assert got.headers["content-type"] == "application/json"
    assert await hooks.states() == [("DELIVERED", 1, "HTTP_204")]


async def test_events_of_all_services_are_told_also_those_that_nothing_else_here_reads(hooks: Hooks) -> None:
    events: list[Any] = [
        await hooks.confirmed(),
        PeriodClosed(period_id=to_wire("period", new_id())),
        PatientRegistered(patient_id=to_wire("patient", new_id()), time_zone="UTC"),
        PatientMerged(patient_id=to_wire("patient", new_id()), merged_patient_id=to_wire("patient", new_id())),
        MessageSettled(message_id=to_wire("message", new_id())),
    ]
    await hooks.endpoint(URL, *(fact_of(type(event)) for event in events))
    for event in events:
        await hooks.svc.deliver(event, version=1)
    assert [row["type"] for row in await hooks.rows()] == [fact_of(type(event)) for event in events]


async def test_what_is_not_asked_for_is_not_told(hooks: Hooks) -> None:
    await hooks.endpoint(URL, "scheduling.v1.visit.cancelled")
    await hooks.confirm()
    assert await hooks.rows() == []


async def test_an_event_delivered_twice_is_told_once(hooks: Hooks) -> None:
    await hooks.endpoint(URL)
    event = await hooks.confirm()
    await hooks.svc.deliver(event)
    assert len(await hooks.rows()) == 1


async def test_each_of_a_chains_endpoints_is_told_under_an_id_of_its_own(hooks: Hooks) -> None:
    first, second = await hooks.endpoint(URL), await hooks.endpoint(URL)
    event = await hooks.confirm()
    rows = await hooks.rows()
    told = {to_wire("webhookendpoint", row["endpoint_id"]) for row in rows}
    assert told == {first.webhook_endpoint.id, second.webhook_endpoint.id}
    assert {str(row["event_id"]) for row in rows} == {event.meta.event_id}
    assert len({row["id"] for row in rows}) == 2


async def test_an_endpoint_of_some_sites_is_told_of_events_there_and_not_of_those_of_no_site(hooks: Hooks) -> None:
    elsewhere = new_id()
    await hooks.add_site(elsewhere)
    merged = "patients.v1.patient.merged"
    await hooks.endpoint(URL, CONFIRMED, merged, site_ids=[to_wire("site", hooks.site_id)])
    await hooks.confirm()
    await hooks.confirm(elsewhere)
    alias = to_wire("patient", new_id())
    await hooks.svc.deliver(PatientMerged(patient_id=to_wire("patient", new_id()), merged_patient_id=alias), version=1)
    assert [row["site_id"] for row in await hooks.rows()] == [hooks.site_id]


async def test_what_is_rolled_back_is_not_told(hooks: Hooks) -> None:
    """The deliveries are written in the transaction that handles the event."""
    await hooks.endpoint(URL, "scheduling.v1.course.booked")
    site_id, patient_id = to_wire("site", hooks.site_id), to_wire("patient", new_id())  # Whom nobody knows here yet.
    event = CourseBooked(course_id=to_wire("course", new_id()), site_id=site_id, patient_id=patient_id)
    with pytest.raises(NotYetKnown):
        await hooks.svc.deliver(event)
    assert await hooks.rows() == []


async def statements(hooks: Hooks, answer: Awaitable[object]) -> list[str]:
    queries: list[str] = []

    def note(query: Any) -> None:
        queries.append(query.query)

    async with hooks.svc.pool.acquire() as conn:  # The connection that comes next: the pool is a stack.
        conn.add_query_logger(note)
    await answer
    async with hooks.svc.pool.acquire() as conn:
        conn.remove_query_logger(note)
    return [query for query in queries if "webhook" in query]


async def test_telling_costs_one_statement_where_nobody_listens_and_two_where_somebody_does(hooks: Hooks) -> None:
    event = await hooks.confirmed()
    assert len(await statements(hooks, hooks.svc.deliver(event))) == 1
    for _ in range(3):
        await hooks.endpoint(URL)
    event = await hooks.confirmed()
    assert len(await statements(hooks, hooks.svc.deliver(event))) == 2
    assert len(await hooks.rows()) == 3


async def test_a_run_of_events_is_told_in_two_statements(hooks: Hooks) -> None:
    svc = hooks.svc
    await hooks.endpoint(URL, CHECKED_IN)
    run = []
    for _ in range(20):
        event = VisitCheckedIn(visit_id=to_wire("visit", new_id()), site_id=to_wire("site", hooks.site_id))
        event.meta.event_id, event.meta.chain_id = str(uuid4()), to_wire("chain", svc.chain_id)
        event.meta.occur_time.CopyFrom(to_timestamp(NOW))
        subject = f"{CHECKED_IN}.{event.meta.chain_id}"
        run.append(Letter(event.meta.event_id, subject, event.SerializeToString()))
    consumer = Consumer(svc.db, "notifications", svc.service.store_type, svc.service.reads["SCHEDULING"], svc.clock)
    assert len(await statements(hooks, consumer.handle(*run))) == 2
    assert len(await hooks.rows()) == 20


async def test_an_endpoint_is_shown_as_it_was_made_without_its_secret(hooks: Hooks) -> None:
    site = to_wire("site", hooks.site_id)
    made = await hooks.endpoint(URL, CONFIRMED, description="Data warehouse", site_ids=[site])
    assert made.webhook_endpoint == pb.WebhookEndpoint(
        id=made.webhook_endpoint.id,
        url=URL,
        description="Data warehouse",
        event_types=[CONFIRMED],
        site_ids=[site],
        status=pb.WEBHOOK_ENDPOINT_STATUS_ACTIVE,
        create_time=to_timestamp(NOW),
        etag='"1"',
    )
    found = await hooks.call("GetWebhookEndpoint", webhook_endpoint_id=made.webhook_endpoint.id)
    assert found.webhook_endpoint == made.webhook_endpoint
    assert made.secret.startswith("whsec_")
    assert made.secret not in str(found)


async def test_a_secret_stands_nowhere_in_the_clear(hooks: Hooks) -> None:
    made = await hooks.endpoint(URL)
    endpoint = made.webhook_endpoint
    rotated = await hooks.call("RotateWebhookSecret", webhook_endpoint_id=endpoint.id, etag=endpoint.etag)
    tables = await hooks.svc.admin.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for secret in (made.secret, rotated.secret):
        bare = secret.removeprefix("whsec_")
        for (table,) in tables:
            rows = await hooks.svc.admin.fetch(f"SELECT * FROM {table}")
            cells = (cell for row in rows for cell in row.values())
            assert not any(bare.encode() in (cell if isinstance(cell, bytes) else str(cell).encode()) for cell in cells)


async def test_the_same_request_gets_the_same_answer_secret_included_also_after_a_rotation(hooks: Hooks) -> None:
    request: dict[str, Any] = {"url": URL, "event_types": [CONFIRMED], "request_id": str(uuid4())}
    first = await hooks.call("CreateWebhookEndpoint", **request)
    endpoint = first.webhook_endpoint
    rotate = {"webhook_endpoint_id": endpoint.id, "etag": endpoint.etag, "request_id": str(uuid4())}
    rotated = await hooks.call("RotateWebhookSecret", **rotate)
    again = await hooks.call("CreateWebhookEndpoint", **request)
    assert again.SerializeToString() == first.SerializeToString()
    assert await hooks.call("RotateWebhookSecret", **rotate) == rotated
    assert len((await hooks.call("ListWebhookEndpoints")).webhook_endpoints) == 1
    refused = await refusal(hooks.call("CreateWebhookEndpoint", **request | {"description": "another"}))
    assert refused.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    ("change", "reason", "faults"),
    [
        ({"url": ""}, "BAD_REQUEST", [("url", "string.min_len")]),
        ({"url": "x" * 2001}, "BAD_REQUEST", [("url", "string.max_len")]),
        ({"url": "http://hooks.example.org/"}, "WEBHOOK_URL_REFUSED", [("url", "URL_NOT_HTTPS")]),
        ({"url": "https://u:p@hooks.example.org/"}, "WEBHOOK_URL_REFUSED", [("url", "URL_USER_INFO")]),
        ({"url": "https://hooks.example.org:25/"}, "WEBHOOK_URL_REFUSED", [("url", "URL_PORT")]),
        ({"url": "https://10.0.0.1/"}, "WEBHOOK_URL_REFUSED", [("url", "URL_ADDRESS")]),
        ({"event_types": []}, "BAD_REQUEST", [("event_types", "repeated.min_items")]),
        ({"event_types": [CONFIRMED] * 2}, "BAD_REQUEST", [("event_types", "repeated.unique")]),
        ({"event_types": [CONFIRMED, "a"]}, "EVENT_TYPE_UNKNOWN", [("event_types[1]", "EVENT_TYPE_UNKNOWN")]),
        ({"event_types": ["*"]}, "EVENT_TYPE_UNKNOWN", [("event_types[0]", "EVENT_TYPE_UNKNOWN")]),
        ({"description": "x" * 201}, "BAD_REQUEST", [("description", "string.max_len")]),
        ({"site_ids": ["site_1"]}, "BAD_REQUEST", [("site_ids[0]", "string.typeid")]),
        ({"request_id": "1"}, "BAD_REQUEST", [("request_id", "string.uuid")]),
    ],
)
async def test_what_is_wrong_with_an_endpoint_is_named_by_field_and_rule(
    hooks: Hooks, change: dict[str, Any], reason: str, faults: list[tuple[str, str]]
) -> None:
    refused = await refusal(hooks.call("CreateWebhookEndpoint", **{"url": URL, "event_types": [CONFIRMED]} | change))
    assert (refused.code, refused.reason, refused.faults) == (StatusCode.INVALID_ARGUMENT, reason, faults)
    assert (await hooks.call("ListWebhookEndpoints")).webhook_endpoints == []


@pytest.mark.parametrize(
    ("change", "paths", "reason", "faults"),
    [
        ({"url": ""}, ["url"], "BAD_REQUEST", [("", "update.endpoint_values")]),
        ({"event_types": []}, ["event_types"], "BAD_REQUEST", [("", "update.endpoint_values")]),
        ({}, [], "BAD_REQUEST", [("", "update.names_fields")]),
        ({}, ["status"], "BAD_REQUEST", [("update_mask", "field_mask.in")]),
        ({"url": "https://10.0.0.1/"}, ["url"], "WEBHOOK_URL_REFUSED", [("webhook_endpoint.url", "URL_ADDRESS")]),
        (
            {"event_types": ["a"]},
            ["event_types"],
            "EVENT_TYPE_UNKNOWN",
            [("webhook_endpoint.event_types[0]", "EVENT_TYPE_UNKNOWN")],
        ),
    ],
)
async def test_what_is_wrong_with_a_change_is_named_by_field_and_rule(
    hooks: Hooks, change: dict[str, Any], paths: list[str], reason: str, faults: list[tuple[str, str]]
) -> None:
    made = (await hooks.endpoint(URL)).webhook_endpoint
    told = pb.WebhookEndpoint(id=made.id, etag=made.etag, **change)
    refused = await refusal(hooks.call("UpdateWebhookEndpoint", webhook_endpoint=told, update_mask={"paths": paths}))
    assert (refused.code, refused.reason, refused.faults) == (StatusCode.INVALID_ARGUMENT, reason, faults)
    assert (await hooks.call("GetWebhookEndpoint", webhook_endpoint_id=made.id)).webhook_endpoint == made


async def test_a_url_on_this_machine_is_refused_where_it_is_not_allowed(
    postgres_url: str, issuer_folder: Path, receiver: Receiver
) -> None:
    async with open_hooks(postgres_url, issuer_folder, loopback=False) as hooks:
        refused = await refusal(hooks.endpoint(receiver.url))
    assert (refused.reason, refused.faults) == ("WEBHOOK_URL_REFUSED", [("url", "URL_NOT_HTTPS")])


async def test_the_fields_that_a_mask_names_change_and_no_others(hooks: Hooks) -> None:
    made = (await hooks.endpoint(URL, description="one")).webhook_endpoint
    told = pb.WebhookEndpoint(
        id=made.id, etag=made.etag, url=URL + "/2", description="two", event_types=["scheduling.v1.visit.missed"]
    )
    mask = {"paths": ["url", "event_types"]}
    changed = (await hooks.call("UpdateWebhookEndpoint", webhook_endpoint=told, update_mask=mask)).webhook_endpoint
    assert (changed.url, changed.description) == (URL + "/2", "one")
    assert (list(changed.event_types), changed.etag) == (["scheduling.v1.visit.missed"], '"2"')
    await hooks.confirm()
    assert await hooks.rows() == []


async def test_a_new_url_has_not_failed_and_the_same_url_has(hooks: Hooks) -> None:
    made = (await hooks.endpoint(URL)).webhook_endpoint
    await hooks.svc.admin.execute("UPDATE webhook_endpoint SET failing_since = now()")
    for url, failing in ((URL, True), (URL + "/2", False)):
        made.url = url
        made = (
            await hooks.call("UpdateWebhookEndpoint", webhook_endpoint=made, update_mask={"paths": ["url"]})
        ).webhook_endpoint
        assert made.HasField("failing_since_time") == failing


async def test_a_stale_etag_is_refused_and_nothing_changes(hooks: Hooks) -> None:
    made = (await hooks.endpoint(URL)).webhook_endpoint
    fresh = await hooks.call("RotateWebhookSecret", webhook_endpoint_id=made.id, etag=made.etag)
    stale = [
        hooks.call("UpdateWebhookEndpoint", webhook_endpoint=made, update_mask={"paths": ["description"]}),
        hooks.call("RotateWebhookSecret", webhook_endpoint_id=made.id, etag=made.etag),
        hooks.call("DeleteWebhookEndpoint", webhook_endpoint_id=made.id, etag=made.etag),
    ]
    for each in stale:
        refused = await refusal(each)
        assert (refused.code, refused.reason) == (StatusCode.ABORTED, "STALE_ETAG")
    found = await hooks.call("GetWebhookEndpoint", webhook_endpoint_id=made.id)
    assert found.webhook_endpoint == fresh.webhook_endpoint


async def test_the_replaced_secret_signs_along_for_a_day(hooks: Hooks) -> None:
    made = (await hooks.endpoint(URL)).webhook_endpoint
    rotated = await hooks.call("RotateWebhookSecret", webhook_endpoint_id=made.id, etag=made.etag)
    now = await hooks.svc.admin.fetchval("SELECT clock_timestamp()")
    left = rotated.webhook_endpoint.old_secret_expire_time.seconds - now.timestamp()
    assert 24 * 3600 - 10 < left <= 24 * 3600


async def test_of_two_who_rotate_at_once_one_is_refused(hooks: Hooks) -> None:
    """The second waits for the first's lock, and sees its version then."""
    made = (await hooks.endpoint(URL)).webhook_endpoint
    first = hooks.svc.admin.transaction()
    await first.start()
    await hooks.svc.admin.execute("UPDATE webhook_endpoint SET version = 2")
    second = asyncio.create_task(hooks.call("RotateWebhookSecret", webhook_endpoint_id=made.id, etag=made.etag))
    await asyncio.sleep(0.3)
    assert not second.done()
    await first.commit()
    assert (await refusal(second)).reason == "STALE_ETAG"


async def test_a_deleted_endpoint_and_its_deliveries_are_not_shown_nor_told(hooks: Hooks) -> None:
    made = (await hooks.endpoint(URL)).webhook_endpoint
    await hooks.confirm()
    [row] = await hooks.rows()
    delivery_id = to_wire("webhookdelivery", row["id"])
    request = {"webhook_endpoint_id": made.id, "etag": made.etag, "request_id": str(uuid4())}
    await hooks.call("DeleteWebhookEndpoint", **request)
    await hooks.call("DeleteWebhookEndpoint", **request)
    await hooks.confirm()
    assert len(await hooks.rows()) == 1
    assert (await hooks.call("ListWebhookEndpoints")).webhook_endpoints == []
    for asked, reason in (
        (hooks.call("GetWebhookEndpoint", webhook_endpoint_id=made.id), "WEBHOOK_ENDPOINT_NOT_FOUND"),
        (hooks.call("ListWebhookDeliveries", webhook_endpoint_id=made.id), "WEBHOOK_ENDPOINT_NOT_FOUND"),
        (hooks.call("GetWebhookDelivery", webhook_delivery_id=delivery_id), "WEBHOOK_DELIVERY_NOT_FOUND"),
        (hooks.call("RedeliverWebhook", webhook_delivery_id=delivery_id), "WEBHOOK_DELIVERY_NOT_FOUND"),
    ):
        refused = await refusal(asked)
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, reason)


async def test_a_chain_has_no_more_than_twenty_endpoints(hooks: Hooks) -> None:
    for _ in range(ENDPOINTS_MAX):
        await hooks.endpoint(URL)
    refused = await refusal(hooks.endpoint(URL))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "WEBHOOK_ENDPOINTS_TOO_MANY")
    assert refused.metadata["limit"] == "20"
    await hooks.endpoint(URL, token=hooks.svc.token(chain_id=new_id()))


async def test_two_who_make_the_last_one_at_once_make_one(hooks: Hooks) -> None:
    await asyncio.gather(*(hooks.endpoint(URL) for _ in range(ENDPOINTS_MAX - 1)))  # So many connections are open.
    made = await asyncio.gather(*(hooks.endpoint(URL) for _ in range(4)), return_exceptions=True)
    assert sum(not isinstance(each, BaseException) for each in made) == 1
    assert await hooks.svc.count("webhook_endpoint") == ENDPOINTS_MAX


async def test_without_keys_no_secret_is_made_and_no_endpoint_either(hooks: Hooks) -> None:
    text = hooks.keys_file.read_text()
    hooks.keys_file.write_text("{}")
    refused = await refusal(hooks.endpoint(URL))
    hooks.keys_file.write_text(text)
    assert (refused.code, refused.reason, refused.retry) == (StatusCode.UNAVAILABLE, "WEBHOOK_KEYS_MISSING", True)
    assert (await hooks.call("ListWebhookEndpoints")).webhook_endpoints == []


async def test_a_site_that_is_not_known_is_waited_for(hooks: Hooks) -> None:
    refused = await refusal(hooks.endpoint(URL, site_ids=[to_wire("site", new_id())]))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "NOT_YET_KNOWN")


async def test_pausing_and_resuming_twice_changes_nothing_more(hooks: Hooks) -> None:
    made = (await hooks.endpoint(URL)).webhook_endpoint
    for name, status, etag in (
        ("PauseWebhookEndpoint", PAUSED, '"2"'),
        ("PauseWebhookEndpoint", PAUSED, '"2"'),
        ("ResumeWebhookEndpoint", ACTIVE, '"3"'),
        ("ResumeWebhookEndpoint", ACTIVE, '"3"'),
    ):
        changed = (await hooks.call(name, webhook_endpoint_id=made.id)).webhook_endpoint
        assert (changed.status, changed.etag) == (status, etag)


async def disable(hooks: Hooks) -> None:
    await hooks.svc.admin.execute(
        "UPDATE webhook_endpoint SET status = 'DISABLED', disable_reason = 'GONE', failing_since = now()"
    )


async def test_a_disabled_endpoint_says_why_and_is_neither_paused_nor_tested_but_resumed(hooks: Hooks) -> None:
    made = (await hooks.endpoint(URL)).webhook_endpoint
    await hooks.confirm()
    await disable(hooks)
    found = (await hooks.call("GetWebhookEndpoint", webhook_endpoint_id=made.id)).webhook_endpoint
    assert (found.status, found.disable_reason) == (DISABLED, 1)
    failed = {"webhook_endpoint_id": made.id, "since_time": to_timestamp(NOW)}
    [row] = await hooks.rows()
    for refused_call in (
        hooks.call("PauseWebhookEndpoint", webhook_endpoint_id=made.id),
        hooks.call("SendTestWebhook", webhook_endpoint_id=made.id),
        hooks.call("RedeliverWebhook", failed=failed),
        hooks.call("RedeliverWebhook", webhook_delivery_id=to_wire("webhookdelivery", row["id"])),
    ):
        refused = await refusal(refused_call)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "WEBHOOK_ENDPOINT_DISABLED")
    resumed = (await hooks.call("ResumeWebhookEndpoint", webhook_endpoint_id=made.id)).webhook_endpoint
    assert (resumed.status, resumed.disable_reason, resumed.HasField("failing_since_time")) == (ACTIVE, 0, False)


async def test_a_test_goes_through_the_same_way_and_is_tried_once(hooks: Hooks, receiver: Receiver) -> None:
    made = await hooks.endpoint(receiver.url)
    endpoint_id = made.webhook_endpoint.id
    request = {"webhook_endpoint_id": endpoint_id, "request_id": str(uuid4())}
    sent = (await hooks.call("SendTestWebhook", **request)).webhook_delivery
    assert (await hooks.call("SendTestWebhook", **request)).webhook_delivery == sent
    receiver.status = 500
    assert await hooks.sender().drain() == 1
    [got] = receiver.got
    assert got.id == sent.id
    assert got.verified(made.secret) == {
        "type": "notifications.v1.webhook.test",
        "timestamp": "2027-03-01T16:00:00Z",
        "data": {"event_id": sent.event_id, "webhook_endpoint_id": endpoint_id},
    }
    found = (await hooks.call("GetWebhookDelivery", webhook_delivery_id=sent.id)).webhook_delivery
    assert (found.status, found.attempts, found.last_code) == (3, 1, "HTTP_500")
    await hooks.call("PauseWebhookEndpoint", webhook_endpoint_id=endpoint_id)
    refused = await refusal(hooks.call("SendTestWebhook", webhook_endpoint_id=endpoint_id))
    assert refused.reason == "WEBHOOK_ENDPOINT_PAUSED"


async def test_a_delivery_tells_all_about_itself(hooks: Hooks, receiver: Receiver) -> None:
    made = (await hooks.endpoint(receiver.url)).webhook_endpoint
    event = await hooks.confirm()
    [listed] = (await hooks.call("ListWebhookDeliveries", webhook_endpoint_id=made.id)).webhook_deliveries
    assert (listed.status, listed.attempts, listed.payload) == (1, 0, "")
    assert listed.HasField("next_attempt_time")
    await hooks.sender().drain()
    found = (await hooks.call("GetWebhookDelivery", webhook_delivery_id=listed.id)).webhook_delivery
    assert found.payload.encode() == receiver.got[0].body
    assert found.HasField("deliver_time")
    assert found.HasField("create_time")
    for name in ("payload", "deliver_time", "create_time"):
        found.ClearField(name)
    assert found == pb.WebhookDelivery(
        id=receiver.got[0].id,
        webhook_endpoint_id=made.id,
        event_id=event.meta.event_id,
        event_type=CONFIRMED,
        site_id=event.site_id,
        status=pb.WEBHOOK_DELIVERY_STATUS_DELIVERED,
        attempts=1,
        last_code="HTTP_204",
    )


async def test_deliveries_come_in_pages_the_latest_first_and_by_status(hooks: Hooks) -> None:
    made = (await hooks.endpoint(URL)).webhook_endpoint
    events = [await hooks.confirm() for _ in range(5)]
    await hooks.svc.admin.execute(
        "UPDATE webhook_delivery SET status = 'FAILED' WHERE event_id = $1", UUID(events[1].meta.event_id)
    )
    seen, token = list[str](), ""
    for size in (2, 2, 1):
        page = await hooks.call("ListWebhookDeliveries", webhook_endpoint_id=made.id, page_size=2, page_token=token)
        assert len(page.webhook_deliveries) == size
        seen += [each.event_id for each in page.webhook_deliveries]
        token = page.next_page_token
    assert (seen, token) == ([event.meta.event_id for event in reversed(events)], "")
    failed = await hooks.call("ListWebhookDeliveries", webhook_endpoint_id=made.id, status=3)
    assert [each.event_id for each in failed.webhook_deliveries] == [events[1].meta.event_id]
    for bad in ("nonsense", base64.urlsafe_b64encode(b'["0123456789abcdef","x","y"]').decode()):
        refused = await refusal(hooks.call("ListWebhookDeliveries", webhook_endpoint_id=made.id, page_token=bad))
        assert refused.reason == "BAD_PAGE_TOKEN"


async def test_endpoints_come_in_pages_the_oldest_first(hooks: Hooks) -> None:
    made = [(await hooks.endpoint(URL)).webhook_endpoint.id for _ in range(3)]
    first = await hooks.call("ListWebhookEndpoints", page_size=2)
    second = await hooks.call("ListWebhookEndpoints", page_size=2, page_token=first.next_page_token)
    assert [each.id for page in (first, second) for each in page.webhook_endpoints] == made
    assert second.next_page_token == ""


async def test_one_delivery_is_sent_again_under_the_same_id_whatever_became_of_it(
    hooks: Hooks, receiver: Receiver
) -> None:
    await hooks.endpoint(receiver.url)
    await hooks.confirm()
    await hooks.sender().drain()
    request = {"webhook_delivery_id": receiver.got[0].id, "request_id": str(uuid4())}
    again = await hooks.call("RedeliverWebhook", **request)
    assert (again.redelivered_count, again.more) == (1, False)
    assert await hooks.states() == [("PENDING", 0, "HTTP_204")]
    await hooks.sender().drain()
    assert await hooks.call("RedeliverWebhook", **request) == again
    assert await hooks.sender().drain() == 0
    assert [got.id for got in receiver.got] == [receiver.got[0].id] * 2


async def test_what_waits_for_another_attempt_is_brought_forward_and_what_is_on_its_way_left_alone(
    hooks: Hooks, receiver: Receiver
) -> None:
    await hooks.endpoint(receiver.url)
    await hooks.confirm()
    receiver.status = 500
    await hooks.sender().drain()
    id = receiver.got[0].id
    assert (await hooks.call("RedeliverWebhook", webhook_delivery_id=id)).redelivered_count == 1
    [(_, taken)] = await hooks.sender().take(10)
    assert taken.attempts == 1
    assert (await hooks.call("RedeliverWebhook", webhook_delivery_id=id)).redelivered_count == 0
    failed = {"webhook_endpoint_id": to_wire("webhookendpoint", taken.endpoint_id), "since_time": {"seconds": 0}}
    assert (await hooks.call("RedeliverWebhook", failed=failed)).redelivered_count == 0
    found = (await hooks.call("GetWebhookDelivery", webhook_delivery_id=id)).webhook_delivery
    assert not found.HasField("next_attempt_time")


async def test_all_that_failed_since_an_instant_is_sent_again_the_oldest_first_and_bounded(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = (await hooks.endpoint(URL)).webhook_endpoint
    other = await hooks.endpoint(URL)
    for _ in range(6):
        await hooks.confirm()
    admin, endpoint_id = hooks.svc.admin, from_wire("webhookendpoint", made.id)
    rows = [row["id"] for row in await hooks.rows() if row["endpoint_id"] == endpoint_id]
    now = await admin.fetchval("SELECT clock_timestamp()")
    state = "UPDATE webhook_delivery SET status = $2, attempts = $3, created_at = $4 WHERE id = $1"
    await admin.execute(state, rows[0], "FAILED", 10, now - timedelta(hours=3))
    await admin.execute(state, rows[1], "FAILED", 10, now - timedelta(hours=2))
    await admin.execute(state, rows[2], "PENDING", 4, now - timedelta(hours=1))
    await admin.execute("UPDATE webhook_delivery SET due_at = due_at + interval '1 day'")
    await admin.execute("UPDATE webhook_delivery SET status = 'FAILED' WHERE endpoint_id <> $1", endpoint_id)
    failed = {"webhook_endpoint_id": made.id, "since_time": to_timestamp(now - timedelta(hours=2))}
    monkeypatch.setattr("services.notifications.domain.webhooks.REDELIVERED_MAX", 1)
    monkeypatch.setattr("services.notifications.rpc.webhooks.REDELIVERED_MAX", 1)
    counts = [await hooks.call("RedeliverWebhook", failed=failed) for _ in range(3)]
    assert [(each.redelivered_count, each.more) for each in counts] == [(1, True), (1, True), (0, False)]
    again = {row["id"] for row in await hooks.rows() if row["due_at"] < now + timedelta(hours=1)}
    assert again == {rows[1], rows[2]}
    assert other.webhook_endpoint.id != made.id


async def test_since_when_must_be_said(hooks: Hooks) -> None:
    made = (await hooks.endpoint(URL)).webhook_endpoint
    faults: list[tuple[dict[str, Any], tuple[str, str]]] = [
        ({"failed": {"webhook_endpoint_id": made.id}}, ("failed.since_time", "required")),
        ({}, ("what", "required")),
    ]
    for fields, fault in faults:
        refused = await refusal(hooks.call("RedeliverWebhook", **fields))
        assert (refused.reason, refused.faults) == ("BAD_REQUEST", [fault])


CHANGES: dict[str, dict[str, Any]] = {
    "CreateWebhookEndpoint": {"url": URL, "event_types": [CONFIRMED]},
    "UpdateWebhookEndpoint": {"update_mask": {"paths": ["description"]}},
    "DeleteWebhookEndpoint": {"etag": '"1"'},
    "RotateWebhookSecret": {"etag": '"1"'},
    "PauseWebhookEndpoint": {},
    "ResumeWebhookEndpoint": {},
    "SendTestWebhook": {},
    "RedeliverWebhook": {},
}
READS = ("GetWebhookEndpoint", "ListWebhookEndpoints", "ListWebhookDeliveries", "GetWebhookDelivery")


def asked(name: str, endpoint_id: str, delivery_id: str) -> dict[str, Any]:
    fields = dict(CHANGES.get(name, {}))
    if name == "UpdateWebhookEndpoint":
        fields["webhook_endpoint"] = pb.WebhookEndpoint(id=endpoint_id, etag='"1"', description="x")
    elif name in ("RedeliverWebhook", "GetWebhookDelivery"):
        fields["webhook_delivery_id"] = delivery_id
    elif name not in ("CreateWebhookEndpoint", "ListWebhookEndpoints"):
        fields["webhook_endpoint_id"] = endpoint_id
    return fields


@pytest.mark.parametrize("name", [*CHANGES, *READS])
async def test_who_may_not_is_refused_before_anything_is_looked_up(hooks: Hooks, name: str) -> None:
    fields = asked(name, to_wire("webhookendpoint", new_id()), to_wire("webhookdelivery", new_id()))
    allowed = READERS if name in READS else WRITERS
    for role in {*READERS, *OTHERS} - set(allowed):
        token = hooks.svc.token(f"ROLE_{role}", patient=to_wire("patient", new_id()))
        refused = await refusal(hooks.call(name, token, **fields))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED"), role


@pytest.mark.parametrize("name", [*CHANGES, *READS])
async def test_who_may_gets_to_it_and_another_chain_finds_nothing(hooks: Hooks, name: str) -> None:
    if name in ("CreateWebhookEndpoint", "ListWebhookEndpoints"):
        return
    for role in READERS if name in READS else WRITERS:
        made = (await hooks.endpoint(URL)).webhook_endpoint
        await hooks.confirm()
        delivery_id = to_wire("webhookdelivery", (await hooks.rows())[-1]["id"])
        fields = asked(name, made.id, delivery_id)
        strange = hooks.svc.token(f"ROLE_{role}", chain_id=new_id())
        assert (await refusal(hooks.call(name, strange, **fields))).code == StatusCode.NOT_FOUND
        await hooks.call(name, hooks.svc.token(f"ROLE_{role}"), **fields)


async def test_a_caller_of_some_sites_makes_endpoints_of_these_only(hooks: Hooks) -> None:
    own, elsewhere = hooks.site_id, new_id()
    await hooks.add_site(elsewhere)
    token = hooks.svc.token("ROLE_INTEGRATION", sites=[own])
    for site_ids in ([], [elsewhere], [own, elsewhere]):
        wire = [to_wire("site", id) for id in site_ids]
        refused = await refusal(hooks.endpoint(URL, token=token, site_ids=wire))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    made = (await hooks.endpoint(URL, token=token, site_ids=[to_wire("site", own)])).webhook_endpoint
    wider = pb.WebhookEndpoint(id=made.id, etag=made.etag)
    for wire in ([], [to_wire("site", own), to_wire("site", elsewhere)]):
        del wider.site_ids[:]
        wider.site_ids.extend(wire)
        mask = {"paths": ["site_ids"]}
        refused = await refusal(hooks.call("UpdateWebhookEndpoint", token, webhook_endpoint=wider, update_mask=mask))
        assert refused.code == StatusCode.PERMISSION_DENIED
    await hooks.call("SendTestWebhook", token, webhook_endpoint_id=made.id)
    await hooks.call("PauseWebhookEndpoint", token, webhook_endpoint_id=made.id)


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "CreateWebhookEndpoint"])
async def test_a_caller_of_some_sites_changes_no_endpoint_that_reaches_further(hooks: Hooks, name: str) -> None:
    own, elsewhere = hooks.site_id, new_id()
    await hooks.add_site(elsewhere)
    token = hooks.svc.token("ROLE_INTEGRATION", sites=[own])
    both, everywhere = [to_wire("site", own), to_wire("site", elsewhere)], list[str]()
    for site_ids in (both, everywhere):
        made = (await hooks.endpoint(URL, site_ids=site_ids)).webhook_endpoint
        await hooks.confirm()
        of_it = [row for row in await hooks.rows() if to_wire("webhookendpoint", row["endpoint_id"]) == made.id]
        fields = asked(name, made.id, to_wire("webhookdelivery", of_it[0]["id"]))
        refused = await refusal(hooks.call(name, token, **fields))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")


async def test_a_reader_of_some_sites_sees_their_endpoints_and_what_is_told_of_them(hooks: Hooks) -> None:
    own, elsewhere = hooks.site_id, new_id()
    await hooks.add_site(elsewhere)
    everywhere = (await hooks.endpoint(URL)).webhook_endpoint.id
    theirs = (await hooks.endpoint(URL, site_ids=[to_wire("site", elsewhere)])).webhook_endpoint.id
    both = [to_wire("site", own), to_wire("site", elsewhere)]
    shared = (await hooks.endpoint(URL, site_ids=both)).webhook_endpoint.id
    here, there = await hooks.confirm(), await hooks.confirm(elsewhere)
    token = hooks.svc.token("ROLE_SITE_MANAGER", sites=[own])
    listed = (await hooks.call("ListWebhookEndpoints", token)).webhook_endpoints
    assert [each.id for each in listed] == [everywhere, shared]
    refused = await refusal(hooks.call("GetWebhookEndpoint", token, webhook_endpoint_id=theirs))
    assert refused.reason == "WEBHOOK_ENDPOINT_NOT_FOUND"
    for id in (everywhere, shared):
        deliveries = (await hooks.call("ListWebhookDeliveries", token, webhook_endpoint_id=id)).webhook_deliveries
        assert [each.event_id for each in deliveries] == [here.meta.event_id]
    hidden = [row["id"] for row in await hooks.rows() if str(row["event_id"]) == there.meta.event_id]
    for id in hidden:
        wire = to_wire("webhookdelivery", id)
        refused = await refusal(hooks.call("GetWebhookDelivery", token, webhook_delivery_id=wire))
        assert refused.reason == "WEBHOOK_DELIVERY_NOT_FOUND"


async def test_the_database_itself_refuses_an_endpoint_that_reaches_further(hooks: Hooks) -> None:
    call = hooks.svc.inside("test", sites=frozenset([hooks.site_id]))
    add = """INSERT INTO webhook_endpoint
             (chain_id, id, url, description, event_types, site_ids, status, secret, created_at)
             VALUES ($1, $2, '', '', '{a}', $3, 'ACTIVE', '', now())"""
    for site_ids in ([], [new_id()], [hooks.site_id, new_id()]):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="written_if"):
            async with hooks.svc.db.transaction(call) as conn:
                await conn.execute(add, call.chain_id, new_id(), site_ids)
    await hooks.endpoint(URL)
    async with hooks.svc.db.transaction(call) as conn:
        assert await conn.execute("UPDATE webhook_endpoint SET url = ''") == "UPDATE 0"
        assert await conn.execute("DELETE FROM webhook_endpoint") == "DELETE 0"


async def test_changes_are_audited_and_so_is_whoever_reads_a_payload(hooks: Hooks) -> None:
    made = (await hooks.endpoint(URL)).webhook_endpoint
    await hooks.confirm()
    [row] = await hooks.rows()
    delivery_id = to_wire("webhookdelivery", row["id"])
    await hooks.call("GetWebhookEndpoint", webhook_endpoint_id=made.id)
    await hooks.call("ListWebhookDeliveries", webhook_endpoint_id=made.id)
    await hooks.call("GetWebhookDelivery", webhook_delivery_id=delivery_id)
    query = "SELECT method, kind, ids FROM audit WHERE chain_id = $1 ORDER BY position"
    rows = await hooks.svc.admin.fetch(query, hooks.svc.chain_id)
    assert [(row["method"].rpartition(".")[2], row["kind"]) for row in rows] == [
        ("CreateWebhookEndpoint", "AUDIT_CHANGE"),
        ("GetWebhookDelivery", "AUDIT_PHI_READ"),
    ]
    assert made.id in rows[0]["ids"]
    assert delivery_id in rows[1]["ids"]
    assert not any("whsec" in row["ids"] or "hooks.example" in row["ids"] for row in rows)


async def test_deliveries_are_kept_for_thirty_days(hooks: Hooks) -> None:
    await hooks.endpoint(URL)
    for _ in range(2):
        await hooks.confirm()
    [old, young] = [row["id"] for row in await hooks.rows()]
    age = "UPDATE webhook_delivery SET created_at = clock_timestamp() - $2::interval WHERE id = $1"
    await hooks.svc.admin.execute(age, old, DELIVERIES_KEPT + timedelta(minutes=1))
    await hooks.svc.admin.execute(age, young, DELIVERIES_KEPT - timedelta(minutes=1))
    assert webhook_delivery in hooks.svc.service.short_lived
    async with open_pool(hooks.svc.urls.relay, size=1) as relay:
        await sweep(relay, hooks.svc.service.short_lived)
    assert timedelta(days=30) == DELIVERIES_KEPT
    assert [row["id"] for row in await hooks.rows()] == [young]


MANY = """
INSERT INTO webhook_endpoint (chain_id, id, url, description, event_types, site_ids, status, secret, created_at)
SELECT gen_random_uuid(), gen_random_uuid(), url, '', event_types, site_ids, status, secret, created_at
FROM webhook_endpoint, generate_series(1, 2000);
INSERT INTO webhook_delivery (chain_id, id, endpoint_id, event_id, type, payload, status, delivered_at)
SELECT chain_id, gen_random_uuid(), id, gen_random_uuid(), '', '', 'DELIVERED', now()
FROM webhook_endpoint, generate_series(1, 10);
INSERT INTO webhook_delivery (chain_id, id, endpoint_id, event_id, type, payload, status, delivered_at)
SELECT chain_id, gen_random_uuid(), id, gen_random_uuid(), '', '', 'DELIVERED', now()
FROM webhook_endpoint, generate_series(1, 20000) WHERE chain_id = $1;
INSERT INTO webhook_delivery (chain_id, id, endpoint_id, event_id, type, payload, status)
SELECT chain_id, gen_random_uuid(), id, gen_random_uuid(), '', '', 'PENDING'
FROM webhook_endpoint, generate_series(1, 5)
"""


async def test_deliveries_are_found_by_index_among_many(hooks: Hooks) -> None:
    """As the service's own role: row-level security keeps operators that are not leakproof from an index."""
    made = (await hooks.endpoint(URL)).webhook_endpoint
    endpoint_id = from_wire("webhookendpoint", made.id)
    for part in MANY.split(";"):
        arguments = [hooks.svc.chain_id] if "$1" in part else []
        await hooks.svc.admin.execute(part, *arguments)
    await hooks.svc.admin.execute("ANALYZE")
    take = {"limit": 10, "of_one": 5, "endpoint_id": [], "deliveries": [], "hold": timedelta(seconds=60)}
    of_endpoint = {"endpoint_id": endpoint_id, "limit": 10}
    asked_for: list[tuple[Statement, dict[str, Any], str]] = [
        (store.TAKE, take | {"lease_id": new_id(), "attempts_max": 10}, "webhook_delivery_pending_idx"),
        (store.TAKE, take | {"lease_id": new_id(), "attempts_max": 10}, "webhook_endpoint_pkey"),
        (store.LISTENING, {"type": CONFIRMED}, "webhook_endpoint_pkey"),
        (
            store.DELIVERIES,
            of_endpoint | {"status": None, "before": store.LAST[0], "before_id": store.LAST[1]},
            "webhook_delivery_listed_idx",
        ),
        (store.FAILED_AGAIN, of_endpoint | {"since": NOW - timedelta(days=900)}, "webhook_delivery_listed_idx"),
        (store.DELIVERY, {"id": new_id()}, "webhook_delivery_pkey"),
    ]
    async with hooks.svc.db.transaction(hooks.svc.inside("explain")) as conn:
        for statement, values, index in asked_for:
            arguments = statement.args({"chain_id": hooks.svc.chain_id, **values})
            plan = "\n".join(row[0] for row in await conn.fetch(f"EXPLAIN {statement.text}", *arguments))
            assert index in plan, plan
            assert "Seq Scan" not in plan, plan
