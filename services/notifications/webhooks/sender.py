"""The job that sends webhooks: lease, sign, post, settle. At least once.

An attempt is counted when its delivery is leased. A sender that dies before it settles leaves the delivery leased;
when the lease runs out it is sent again, under the same webhook-id, by which a receiver knows what it has had. All of
it runs on real time.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from time import monotonic
from uuid import UUID

import structlog

from chassis.call import Call
from chassis.clock import Clock
from chassis.db import Database
from chassis.ids import to_wire
from chassis.jobs import job_call
from chassis.settings import Settings, read
from chassis.tables import NO_CHAIN
from chassis.taking import Shuffled, keep_taking, take_all
from services.notifications.domain import webhooks as domain
from services.notifications.domain.webhooks import End, Taken, WebhookKeysMissing
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import webhooks
from services.notifications.webhooks import WebhookSettings
from services.notifications.webhooks.posting import Poster
from services.notifications.webhooks.secrets import SecretKeeper, signed

log = structlog.get_logger()

NAME = "notifications"
IN_HAND_MAX = 300
OF_ONE_MAX = 5
"""Of one endpoint at once; of one that fails, one."""
QUIET_S = 0.5
"""How long a chain is left alone for which nothing was due: many chains have endpoints, few have something to send."""
DRAIN_S = 20.0
"""How long those in hand may take when the job is stopped: longer than an attempt."""
LEASE = timedelta(seconds=60)
"""How long after its sender died a delivery is taken up by another; four times what an attempt may take."""
KEYS_AGAIN = timedelta(minutes=1)


async def send_webhooks(db: Database, _: Settings, clock: Clock) -> None:
    told = read(WebhookSettings)
    async with Poster(loopback=told.webhook_allow_loopback) as poster:
        await WebhookSender(db, SecretKeeper(told.message_keys_file), poster, clock).run()


class WebhookSender:
    def __init__(
        self,
        db: Database,
        keeper: SecretKeeper,
        poster: Poster,
        clock: Clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._db, self._keeper, self._poster, self._clock, self._chance = db, keeper, poster, clock, chance
        self._shuffled = Shuffled(self._chains)
        self._busy = defaultdict[UUID, Counter[UUID]](Counter)  # By chain, how many are in hand of each endpoint.
        self._quiet_until = dict[UUID, float]()

    async def run(self) -> None:
        """Until cancelled; those in hand are finished first."""
        await keep_taking(self.take, self._see_to, most=IN_HAND_MAX, drain_s=DRAIN_S, failed="webhooks.not_taken")

    async def drain(self) -> int:
        """Sends all that is due and not held, and says how many that were."""
        return await take_all(self.take, self._see_to, IN_HAND_MAX)

    async def take(self, limit: int) -> list[tuple[UUID, Taken]]:
        """Up to `limit` due deliveries of all chains, in no order of chains."""
        found = list[tuple[UUID, Taken]]()
        for chain_id in await self._shuffled.chains():
            if len(found) < limit and monotonic() >= self._quiet_until.get(chain_id, 0.0):
                of_chain = await self._take_of(chain_id, limit - len(found))
                found += [(chain_id, taken) for taken in of_chain]
                self._busy[chain_id].update(taken.endpoint_id for taken in of_chain)
                if not self._busy[chain_id]:  # An endpoint that is busy may have more once it is free.
                    self._quiet_until[chain_id] = monotonic() + QUIET_S
        return found

    async def _take_of(self, chain_id: UUID, limit: int) -> list[Taken]:
        lease = partial(
            NotificationsStore.take_webhooks,
            limit=limit,
            of_one=OF_ONE_MAX,
            busy=self._busy[chain_id],
            hold=LEASE,
            attempts_max=domain.ATTEMPTS_MAX,
        )
        return await self._db.job(self._call(chain_id), NotificationsStore, lease)

    async def _chains(self) -> list[UUID]:
        return await self._db.job(self._call(NO_CHAIN), NotificationsStore, NotificationsStore.webhook_chains)

    async def _see_to(self, chain_id: UUID, taken: Taken) -> None:
        """One attempt, to whatever end. A failure of ours leaves the delivery leased until the lease runs out."""
        ids = {
            "webhook_delivery_id": to_wire("webhookdelivery", taken.id),
            "webhook_endpoint_id": to_wire("webhookendpoint", taken.endpoint_id),
        }
        try:
            end = await self.see_to(chain_id, taken)
        except Exception as error:
            log.exception("webhook.left", error=type(error).__name__, **ids)
        else:
            log.info("webhook.tried", end=type(end).__name__, code=end.code if end else "KEYS_MISSING", **ids)
        finally:
            self._busy[chain_id] -= Counter([taken.endpoint_id])  # Without those that come to nothing.

    async def see_to(self, chain_id: UUID, taken: Taken) -> End | None:
        """What came of a delivery that is held; None: its secret could not be read, which is no attempt."""
        call = self._call(chain_id)
        try:
            secrets = [self._keeper.open(each, taken.endpoint_id) for each in taken.secrets]
        except WebhookKeysMissing:
            await self._db.job(call, NotificationsStore, lambda store: store.release_webhook(taken, KEYS_AGAIN))
            return None
        headers = signed(secrets, to_wire("webhookdelivery", taken.id), taken.at, taken.payload)
        answer = await self._poster.post(taken.url, headers, taken.payload)
        end = domain.after_attempt(taken, answer.code, answer.status, self._chance())
        await self._db.job(call, NotificationsStore, lambda store: webhooks.end_attempt(store, taken, end))
        return end

    def _call(self, chain_id: UUID) -> Call:
        return job_call(NAME, "webhooks", chain_id, self._clock())
