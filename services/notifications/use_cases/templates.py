"""Templates of a chain's own: saved in versions, retired; and the hosts that they may link to."""

from dataclasses import dataclass, replace
from uuid import UUID

from chassis.auth import AccessDenied
from chassis.errors import NotYetKnown, Violation
from chassis.etags import StaleEtag
from services.notifications.domain.messages import TemplateRef
from services.notifications.domain.templates import (
    Content,
    LinkHosts,
    LinkHostsRefused,
    OwnTemplate,
    Spot,
    TemplateHead,
    TemplateRefused,
    telling_hosts,
)
from services.notifications.domain.visits import Site
from services.notifications.store import NotificationsStore
from services.notifications.wording import Templates
from services.notifications.wording.checks import faults, of_other_channel
from services.notifications.wording.mail import label_of
from services.notifications.wording.templates import Source, source_of


@dataclass(frozen=True, slots=True)
class SaveVersion:
    id: UUID  # Of the template, if it is begun by this.
    spot: Spot
    version: int
    """Of the template as it was read; 0: there was none."""
    content: Content


async def save_version(store: NotificationsStore, command: SaveVersion) -> tuple[TemplateHead, OwnTemplate]:
    spot, call = command.spot, store.call
    _require_all_sites_for(store, spot.site_id)
    if spot.site_id:
        await store.site_zone(spot.site_id)
    await check(store, spot, command.content)
    before = await store.template_at(spot)
    if (before.version if before else 0) != command.version:
        raise StaleEtag()
    if before:
        number, version = before.number + 1, before.version + 1
        head = replace(before, number=number, version=version, retired_at=None, retired_by=None)
        await store.change_template(head)
    else:
        head = TemplateHead(command.id, spot, number=1, version=1, retired_at=None, retired_by=None)
        await store.add_template(head)
    saved = OwnTemplate(head.id, head.number, spot, command.content, call.now, call.actor)
    await store.add_template_version(saved)
    return head, saved


async def check(store: NotificationsStore, spot: Spot, content: Content) -> None:
    """TemplateRefused with every fault."""
    if found := faults(spot, content, frozenset((await store.link_hosts()).hosts)):
        raise TemplateRefused(*found)


async def to_preview(
    store: NotificationsStore, templates: Templates, spot: Spot, given: Content | None
) -> tuple[Source, Site | None]:
    """What a preview is written from: what is given, or what is used now; and the site that it speaks of."""
    site = await store.site_shown(spot.site_id) if spot.site_id else None
    if spot.site_id and site is None:
        raise NotYetKnown("site", spot.site_id)
    if given:
        await check(store, spot, given)
        return Source(given, label_of(spot.language), TemplateRef("", "", spot.language)), site
    if found := list(of_other_channel(spot)):
        raise TemplateRefused(*found)
    own = await store.own_template(spot.kind, spot.channel, spot.language, spot.site_id)
    return source_of(own) if own else templates.shipped(spot.kind, spot.channel, spot.language), site


async def retire(store: NotificationsStore, template_id: UUID, version: int) -> TemplateHead:
    before = await store.template(template_id)
    _require_all_sites_for(store, before.spot.site_id)
    retired = before.retired(store.call.actor, store.call.now)
    if before.version != version:
        raise StaleEtag()
    await store.change_template(retired)
    return retired


async def set_link_hosts(store: NotificationsStore, wanted: LinkHosts) -> LinkHosts:
    """`wanted.version` is that of the list as it was read; 0: there was none."""
    if found := telling_hosts(wanted.hosts):
        what = "a link's host is read by whoever sees the message"
        raise LinkHostsRefused(*(Violation(f"link_hosts.hosts[{n}]", "HEALTH_WORD", what) for n in found))
    if (await store.link_hosts()).version != wanted.version:
        raise StaleEtag()
    changed = replace(wanted, version=wanted.version + 1)
    await store.keep_link_hosts(changed)
    return changed


def _require_all_sites_for(store: NotificationsStore, site_id: UUID | None) -> None:
    """What is for every site is for who has every site."""
    if site_id is None and store.call.sites is not None:
        raise AccessDenied()
