"""Links: made with a message, used once."""

from services.notifications import events
from services.notifications.domain.links import Link, LinkOutOfDate, LinkPurpose, Sign, link_id_of, token_of
from services.notifications.store import NotificationsStore


async def make_link(store: NotificationsStore, link: Link, sign: Sign) -> str:
    """Its token, the same however often it is made."""
    await store.add_link(link)
    return token_of(store.call.chain_id, link.id, link.purpose, sign)


async def use_link(store: NotificationsStore, token: str, purpose: LinkPurpose, sign: Sign) -> Link:
    link = await store.link_to_use(link_id_of(store.call.chain_id, token, purpose, sign))
    link.check(store.call.now)
    if purpose is LinkPurpose.CONFIRM_VISIT:
        link.check_visit(await store.visit(link.about_id))
    if purpose is LinkPurpose.ACCEPT_OFFER and await store.is_closed(link.about_id):
        raise LinkOutOfDate()
    await store.use_link(link.id)
    if purpose is LinkPurpose.CONFIRM_VISIT:
        told = events.visit_confirmation_received(link.about_id, link.patient_id, link.site_id)
        store.emit(told, about=link.about_id)
    if purpose is LinkPurpose.ACCEPT_OFFER:
        taken = events.offer_acceptance_received(link.about_id, link.patient_id, link.site_id)
        store.emit(taken, about=link.about_id)
    return link
