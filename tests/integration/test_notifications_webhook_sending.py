"""Each webhook goes out at least once, under one id: whatever dies, is changed, is slow or refuses meanwhile."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from standardwebhooks.webhooks import WebhookVerificationError

from chassis.ids import from_wire, new_id, to_wire
from services.notifications.domain.webhooks import Delivered
from services.notifications.webhooks import posting, sender
from services.notifications.webhooks.posting import Poster
from services.notifications.webhooks.secrets import SecretKeeper
from services.notifications.webhooks.sender import OF_ONE_MAX, WebhookSender
from tests.support.webhooks import HOST, Hooks, Receiver, open_hooks, receiving, until


@pytest_asyncio.fixture(scope="module")
async def opened(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Hooks]:
    async with open_hooks(postgres_url, issuer_folder) as hooks:
        yield hooks


@pytest_asyncio.fixture
async def hooks(opened: Hooks) -> Hooks:
    """A chain of its own."""
    await opened.svc.admin.execute("DELETE FROM webhook_delivery; DELETE FROM webhook_endpoint; DELETE FROM outbox")
    return opened


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_it_is_tried_again_by_the_schedule_under_one_id_until_it_is_taken(
    hooks: Hooks, receiver: Receiver
) -> None:
    made = await hooks.endpoint(receiver.url)
    await hooks.confirm()
    receiver.status = 500
    for attempts, delay_s in ((1, 5), (2, 300), (3, 1800)):
        assert await hooks.sender().drain() == 1
        assert await hooks.states() == [("PENDING", attempts, "HTTP_500")]
        assert abs((await hooks.waits()).total_seconds() - delay_s) < 5
        assert await hooks.sender().drain() == 0
        await hooks.hasten()
    receiver.status = 200
    assert await hooks.sender().drain() == 1
    assert await hooks.states() == [("DELIVERED", 4, "HTTP_200")]
    assert len({got.id for got in receiver.got}) == 1
    assert len({got.body for got in receiver.got}) == 1
    for got in receiver.got:
        got.verified(made.secret)
    await hooks.hasten()
    assert await hooks.sender().drain() == 0


async def test_after_ten_attempts_it_has_failed(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.endpoint(receiver.url)
    await hooks.confirm()
    receiver.status = 503
    for _ in range(12):
        await hooks.sender().drain()
        await hooks.hasten()
    assert len(receiver.got) == 10
    assert await hooks.states() == [("FAILED", 10, "HTTP_503")]


async def test_a_redirect_is_not_followed(hooks: Hooks, receiver: Receiver) -> None:
    async with receiving() as elsewhere:
        receiver.status, receiver.answer_headers = 307, [("location", elsewhere.url)]
        await hooks.endpoint(receiver.url)
        await hooks.confirm()
        await hooks.sender().drain()
        assert elsewhere.got == []
    assert await hooks.states() == [("PENDING", 1, "HTTP_307")]


async def test_an_answer_is_its_status_however_much_it_says(hooks: Hooks, receiver: Receiver) -> None:
    receiver.status, receiver.body = 200, b"x" * 5_000_000
    await hooks.endpoint(receiver.url)
    await hooks.confirm()
    await hooks.sender().drain()
    assert await hooks.states() == [("DELIVERED", 1, "HTTP_200")]


async def test_cookies_of_one_receiver_go_to_no_other(hooks: Hooks, receiver: Receiver) -> None:
    receiver.answer_headers = [("set-cookie", "session=secret")]
    await hooks.endpoint(receiver.url)
    await hooks.confirm()
    await hooks.confirm()
    await hooks.sender().drain()
    await hooks.confirm()
    await hooks.sender().drain()
    assert len(receiver.got) == 3
    assert not any("cookie" in got.headers for got in receiver.got)


async def test_a_proxy_of_the_environment_is_not_used(
    hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{HOST}:{proxy.port}")
        await hooks.endpoint(receiver.url)
        await hooks.confirm()
        async with Poster(loopback=True) as poster:
            await hooks.sender(poster).drain()
        assert proxy.got == []
    assert await hooks.states() == [("DELIVERED", 1, "HTTP_204")]


async def test_a_line_that_breaks_and_a_port_where_nobody_listens_are_tried_again(
    hooks: Hooks, receiver: Receiver
) -> None:
    receiver.drops = True
    await hooks.endpoint(receiver.url)
    await hooks.confirm()
    await hooks.sender().drain()
    assert await hooks.states() == [("PENDING", 1, "NO_ANSWER")]
    async with receiving() as gone:
        url = gone.url
    await hooks.svc.admin.execute("UPDATE webhook_endpoint SET url = $1", url)
    await hooks.hasten()
    await hooks.sender().drain()
    assert await hooks.states() == [("PENDING", 2, "CONNECT_FAILED")]


async def test_an_answer_that_takes_too_long_is_not_waited_for(
    hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert posting.TIMEOUT_S == 15
    monkeypatch.setattr(posting, "TIMEOUT_S", 0.3)
    done = asyncio.Event()
    receiver.on_request = done.wait
    await hooks.endpoint(receiver.url)
    await hooks.confirm()
    await asyncio.wait_for(hooks.sender().drain(), 5)
    done.set()
    assert await hooks.states() == [("PENDING", 1, "TIMEOUT")]


async def test_gone_disables_the_endpoint_at_once_and_says_so(hooks: Hooks, receiver: Receiver) -> None:
    made = await hooks.endpoint(receiver.url)
    await hooks.confirm()
    receiver.status = 410
    await hooks.sender().drain()
    assert await hooks.states() == [("FAILED", 1, "HTTP_410")]
    assert await hooks.status_of(made.webhook_endpoint.id) == "DISABLED"
    [(subject, event)] = await hooks.svc.published()
    assert subject == "notifications.v1.webhook_endpoint.disabled"
    assert (event.webhook_endpoint_id, event.reason) == (made.webhook_endpoint.id, 1)
    await hooks.confirm()
    assert len(await hooks.rows()) == 1
    again = await hooks.call("ResumeWebhookEndpoint", webhook_endpoint_id=made.webhook_endpoint.id)
    assert again.webhook_endpoint.status == 1
    receiver.status = 200
    await hooks.confirm()
    await hooks.sender().drain()
    assert (await hooks.states())[1] == ("DELIVERED", 1, "HTTP_200")


FIVE_DAYS_AGO = "UPDATE webhook_endpoint SET failing_since = failing_since - interval '5 days'"


async def test_five_days_of_nothing_but_failures_disable_it(hooks: Hooks, receiver: Receiver) -> None:
    made = await hooks.endpoint(receiver.url)
    await hooks.confirm()
    receiver.status = 500
    await hooks.sender().drain()
    assert await hooks.status_of(made.webhook_endpoint.id) == "ACTIVE"
    await hooks.svc.admin.execute(FIVE_DAYS_AGO)
    await hooks.hasten()
    await hooks.sender().drain()
    assert await hooks.status_of(made.webhook_endpoint.id) == "DISABLED"
    assert [event.reason for _, event in await hooks.svc.published()] == [2]
    assert await hooks.states() == [("PENDING", 2, "HTTP_500")]
    await hooks.hasten()
    assert await hooks.sender().drain() == 0
    await hooks.call("ResumeWebhookEndpoint", webhook_endpoint_id=made.webhook_endpoint.id)
    assert await hooks.sender().drain() == 1
    assert await hooks.status_of(made.webhook_endpoint.id) == "ACTIVE"


async def test_one_success_in_between_begins_the_five_days_anew(hooks: Hooks, receiver: Receiver) -> None:
    made = await hooks.endpoint(receiver.url)
    await hooks.confirm()
    receiver.status = 500
    await hooks.sender().drain()
    await hooks.svc.admin.execute(FIVE_DAYS_AGO)
    receiver.status = 200
    await hooks.hasten()
    await hooks.sender().drain()
    receiver.status = 500
    await hooks.confirm()
    await hooks.sender().drain()
    assert await hooks.status_of(made.webhook_endpoint.id) == "ACTIVE"


async def test_a_url_that_came_meanwhile_is_not_disabled_by_what_the_old_one_answered(
    hooks: Hooks, receiver: Receiver
) -> None:
    made = await hooks.endpoint(receiver.url)
    await hooks.confirm()
    receiver.status = 410

    async def move() -> None:
        endpoint = made.webhook_endpoint
        endpoint.url = receiver.url + "&new=1"
        await hooks.call("UpdateWebhookEndpoint", webhook_endpoint=endpoint, update_mask={"paths": ["url"]})

    receiver.on_request = move
    await hooks.sender().drain()
    assert await hooks.status_of(made.webhook_endpoint.id) == "ACTIVE"


async def test_both_secrets_sign_while_one_replaces_the_other_and_then_the_new_one_alone(
    hooks: Hooks, receiver: Receiver
) -> None:
    old = await hooks.endpoint(receiver.url)
    endpoint = old.webhook_endpoint
    new = await hooks.call("RotateWebhookSecret", webhook_endpoint_id=endpoint.id, etag=endpoint.etag)
    assert new.secret != old.secret
    await hooks.confirm()
    await hooks.sender().drain()
    for secret in (old.secret, new.secret):
        receiver.got[0].verified(secret)
    await hooks.svc.admin.execute(
        "UPDATE webhook_endpoint SET old_secret_until = old_secret_until - interval '24 hours'"
    )
    await hooks.confirm()
    await hooks.sender().drain()
    receiver.got[1].verified(new.secret)
    with pytest.raises(WebhookVerificationError):
        receiver.got[1].verified(old.secret)


async def test_a_rotation_while_it_is_sent_leaves_what_comes_next_good_for_either_secret(
    hooks: Hooks, receiver: Receiver
) -> None:
    old = await hooks.endpoint(receiver.url)
    new = list[str]()

    async def rotate() -> None:
        receiver.on_request, endpoint = None, old.webhook_endpoint
        answer = await hooks.call("RotateWebhookSecret", webhook_endpoint_id=endpoint.id, etag=endpoint.etag)
        new.append(answer.secret)

    receiver.on_request, receiver.status = rotate, 401
    await hooks.confirm()
    await hooks.sender().drain()
    receiver.got[0].verified(old.secret)
    receiver.status = 200
    await hooks.hasten()
    await hooks.sender().drain()
    receiver.got[1].verified(old.secret)
    receiver.got[1].verified(new[0])


async def test_an_endpoint_deleted_while_it_is_sent_to_is_sent_to_no_more(hooks: Hooks, receiver: Receiver) -> None:
    made = await hooks.endpoint(receiver.url)

    async def delete() -> None:
        endpoint = made.webhook_endpoint
        await hooks.call("DeleteWebhookEndpoint", webhook_endpoint_id=endpoint.id, etag=endpoint.etag)

    receiver.on_request, receiver.status = delete, 410
    await hooks.confirm()
    await hooks.sender().drain()
    assert len(receiver.got) == 1
    assert await hooks.svc.published() == []
    receiver.on_request = None
    await hooks.confirm()
    await hooks.svc.admin.execute("UPDATE webhook_delivery SET status = 'PENDING'")
    await hooks.hasten()
    assert await hooks.sender().drain() == 0
    assert len(await hooks.rows()) == 1


async def test_a_paused_endpoint_is_sent_to_when_it_is_resumed(hooks: Hooks, receiver: Receiver) -> None:
    made = await hooks.endpoint(receiver.url)
    id = made.webhook_endpoint.id
    await hooks.confirm()
    await hooks.call("PauseWebhookEndpoint", webhook_endpoint_id=id)
    await hooks.confirm()
    assert await hooks.sender().drain() == 0
    await hooks.call("ResumeWebhookEndpoint", webhook_endpoint_id=id)
    assert await hooks.sender().drain() == 2
    assert len(receiver.got) == 2


async def test_a_sender_that_dies_after_sending_is_followed_by_one_that_sends_again_under_the_same_id(
    hooks: Hooks, receiver: Receiver
) -> None:
    await hooks.endpoint(receiver.url)
    await hooks.confirm()
    starting = hooks.sender()
    [(chain_id, taken)] = await starting.take(10)
    dying = asyncio.create_task(starting.see_to(chain_id, taken))

    async def die() -> None:
        receiver.on_request = None
        dying.cancel()

    receiver.on_request = die
    with suppress(asyncio.CancelledError):
        await dying
    assert await hooks.states() == [("PENDING", 1, None)]
    assert await hooks.sender().drain() == 0  # Its lease still runs.
    await hooks.hasten()
    assert await hooks.sender().drain() == 1
    assert [got.id for got in receiver.got] == [to_wire("webhookdelivery", taken.id)] * 2
    assert await hooks.states() == [("DELIVERED", 2, "HTTP_204")]


async def test_a_lease_outlives_an_attempt_by_far(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.endpoint(receiver.url)
    await hooks.confirm()
    assert len(await hooks.sender().take(10)) == 1
    assert (await hooks.waits()).total_seconds() > 3 * posting.TIMEOUT_S


async def test_a_sender_that_lost_its_lease_writes_nothing_down(hooks: Hooks, receiver: Receiver) -> None:
    made = await hooks.endpoint(receiver.url)
    await hooks.confirm()

    async def take_over() -> None:
        receiver.on_request = None
        await hooks.hasten()
        assert len(await hooks.sender().take(10)) == 1

    receiver.on_request, receiver.status = take_over, 410
    starting = hooks.sender()
    [(chain_id, taken)] = await starting.take(10)
    await starting.see_to(chain_id, taken)
    assert await hooks.states() == [("PENDING", 2, None)]
    assert await hooks.status_of(made.webhook_endpoint.id) == "ACTIVE"
    assert await hooks.svc.published() == []


async def test_two_senders_never_take_the_same(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.endpoint(receiver.url)
    for _ in range(4):
        await hooks.confirm()
    async with hooks.svc.db.transaction(hooks.svc.inside("sender")) as conn:
        locked = await conn.fetch("SELECT id FROM webhook_delivery ORDER BY due_at, id LIMIT 2 FOR UPDATE")
        others = await asyncio.wait_for(hooks.sender().take(10), timeout=2)
        assert len(locked) == len(others) == 2
        assert not {row["id"] for row in locked} & {taken.id for _, taken in others}
    assert {taken.id for _, taken in await hooks.sender().take(10)} == {row["id"] for row in locked}
    assert await hooks.sender().take(10) == []


async def test_a_slow_endpoint_holds_up_no_other_and_is_sent_no_more_than_five_at_once(
    hooks: Hooks, receiver: Receiver
) -> None:
    async with receiving() as slow:
        done = asyncio.Event()
        slow.on_request = done.wait
        await hooks.endpoint(slow.url)
        await hooks.endpoint(receiver.url)
        for _ in range(20):
            await hooks.confirm()
        running = asyncio.create_task(hooks.sender().run())
        try:
            await until(lambda: len(receiver.got) == 20 and slow.at_once == OF_ONE_MAX)
            await asyncio.sleep(0.5)
            assert (slow.at_once, len(slow.got)) == (OF_ONE_MAX, OF_ONE_MAX)
            assert receiver.most_at_once <= OF_ONE_MAX
            done.set()
            await until(lambda: len(slow.got) == 20)
        finally:
            done.set()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
    assert Counter(status for status, _, _ in await hooks.states()) == {"DELIVERED": 40}


async def test_an_endpoint_that_fails_is_tried_one_at_a_time(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.endpoint(receiver.url)
    for _ in range(3):
        await hooks.confirm()
    await hooks.svc.admin.execute("UPDATE webhook_endpoint SET failing_since = clock_timestamp()")
    starting = hooks.sender()
    [(chain_id, taken)] = await starting.take(10)
    assert await starting.take(10) == []
    await starting._see_to(chain_id, taken)
    assert len(await starting.take(10)) == 2


async def test_no_more_are_in_hand_than_there_are_places(hooks: Hooks, receiver: Receiver) -> None:
    for _ in range(3):
        await hooks.endpoint(receiver.url)
    for _ in range(3):
        await hooks.confirm()
    assert len(await hooks.sender().take(4)) == 4


async def test_a_sender_that_is_stopped_finishes_what_is_on_its_way(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.endpoint(receiver.url)
    await hooks.confirm()
    came, done = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        came.set()
        await done.wait()

    receiver.on_request = wait
    running = asyncio.create_task(hooks.sender().run())
    await asyncio.wait_for(came.wait(), 10)
    running.cancel()
    await asyncio.sleep(0.1)
    done.set()
    with suppress(asyncio.CancelledError):
        await running
    assert await hooks.states() == [("DELIVERED", 1, "HTTP_204")]


async def test_without_its_keys_nothing_is_sent_and_no_attempt_is_counted(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.endpoint(receiver.url)
    await hooks.confirm()
    keyless = WebhookSender(hooks.svc.db, SecretKeeper(None), hooks.poster, hooks.svc.clock)
    await keyless.drain()
    assert receiver.got == []
    assert await hooks.states() == [("PENDING", 0, None)]
    assert sender.KEYS_AGAIN - timedelta(seconds=5) < await hooks.waits() <= sender.KEYS_AGAIN
    await hooks.hasten()
    await hooks.sender().drain()
    assert await hooks.states() == [("DELIVERED", 1, "HTTP_204")]


async def test_every_chain_is_sent_for_and_told_of_its_own_only(hooks: Hooks, receiver: Receiver) -> None:
    async with receiving() as theirs:
        other = new_id()
        await hooks.endpoint(receiver.url)
        await hooks.endpoint(theirs.url, token=hooks.svc.token(chain_id=other))
        await hooks.confirm()
        event = await hooks.confirmed(chain_id=other)
        await hooks.svc.deliver(event, chain_id=other)
        assert await hooks.sender().drain() == 2
        assert [got.said()["data"]["visit_id"] for got in theirs.got] == [event.visit_id]
        assert len(receiver.got) == 1


async def test_what_a_sender_sees_to_is_what_it_was_given(hooks: Hooks, receiver: Receiver) -> None:
    made = await hooks.endpoint(receiver.url)
    await hooks.confirm()
    starting = hooks.sender()
    [(chain_id, taken)] = await starting.take(10)
    assert taken.endpoint_id == from_wire("webhookendpoint", made.webhook_endpoint.id)
    assert await starting.see_to(chain_id, taken) == Delivered("HTTP_204")


async def test_a_chain_for_which_nothing_was_due_is_left_alone_for_half_a_second(
    hooks: Hooks, receiver: Receiver
) -> None:
    await hooks.endpoint(receiver.url)
    starting = hooks.sender()
    assert await starting.take(10) == []
    await hooks.confirm()
    assert await starting.take(10) == []
    await asyncio.sleep(sender.QUIET_S)
    assert len(await starting.take(10)) == 1
    await hooks.confirm()
    assert len(await starting.take(10)) == 1
