"""What a chain says of its messages: its cadence and its policy."""

from dataclasses import replace

from chassis.etags import StaleEtag
from services.notifications.domain.cadence import Cadence, Rule, check_rules
from services.notifications.domain.policies import ChainPolicy, check_policy
from services.notifications.store import NotificationsStore


async def change_cadence(store: NotificationsStore, rules: tuple[Rule, ...], version: int) -> Cadence:
    check_rules(rules)
    before, _ = await store.planning()
    if before.version != version:
        raise StaleEtag()
    new = Cadence(before.version + 1, rules)
    await store.add_cadence(new)
    return new


async def change_policy(store: NotificationsStore, told: ChainPolicy) -> ChainPolicy:
    check_policy(told)
    _, before = await store.planning()
    if before.version != told.version:
        raise StaleEtag()
    new = replace(told, version=before.version + 1)
    await store.keep_policy(new)
    return new
