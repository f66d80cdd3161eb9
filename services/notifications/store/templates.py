"""SQL of templates, their versions, and the hosts that they may link to."""

from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import Integer, Text, Uuid, and_, any_, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.etags import StaleEtag
from chassis.ids import to_wire
from chassis.sql import Statement, param, params
from chassis.store import Store
from services.notifications.domain.kinds import Channel, MessageKind
from services.notifications.domain.templates import (
    Content,
    LinkHosts,
    OwnTemplate,
    Spot,
    TemplateHead,
    TemplateNotFound,
    languages_for,
)
from services.notifications.domain.visits import Site
from services.notifications.store.copies import CHAIN, ID
from services.notifications.tables import link_hosts, site, template, template_version

SITE, LANGUAGES = param("site_id", Uuid), param("languages", ARRAY(Text))

ADD_TEMPLATE = Statement(
    pg_insert(template)
    .values(params("chain_id", "id", "site_id", "kind", "channel", "language", "number", "version"))
    .on_conflict_do_nothing()
    .returning(template.c.id)
)
_as_read = and_(template.c.chain_id == CHAIN, template.c.id == ID, template.c.version == param("read_version", Integer))
CHANGE_TEMPLATE = Statement(
    update(template)
    .where(_as_read)
    .values(params("number", "version", "retired_at", "retired_by"))
    .returning(template.c.id)
)
ADD_VERSION = Statement(insert(template_version).values(params(*template_version.c.keys())))

TEMPLATE = Statement(select(template).where(template.c.chain_id == CHAIN, template.c.id == ID))
TEMPLATE_AT = Statement(
    select(template).where(
        template.c.chain_id == CHAIN,
        template.c.kind == param("kind", Text),
        template.c.channel == param("channel", Text),
        template.c.language == param("language", Text),
        template.c.site_id.is_not_distinct_from(SITE),
    )
)
_kind, _channel = param("kind", Text), param("channel", Text)
TEMPLATES = Statement(
    select(template)
    .where(
        template.c.chain_id == CHAIN,
        template.c.id > param("after_id", Uuid),
        or_(SITE.is_(None), template.c.site_id == SITE),
        or_(_kind.is_(None), template.c.kind == _kind),
        or_(_channel.is_(None), template.c.channel == _channel),
    )
    .order_by(template.c.id)
    .limit(param("limit", Integer))
)
_of_template = and_(template_version.c.chain_id == template.c.chain_id, template_version.c.template_id == template.c.id)
_version_columns = [template_version.c[name] for name in ("subject", "text", "html", "created_at", "created_by")]
_spot_columns = [template.c[name] for name in ("id", "site_id", "kind", "channel", "language")]
VERSION = Statement(
    select(*_spot_columns, template_version.c.number, *_version_columns)
    .join(template_version, _of_template)
    .where(template.c.chain_id == CHAIN, template.c.id == ID, template_version.c.number == param("number", Integer))
)
OWN_TEMPLATE = Statement(
    select(*_spot_columns, template_version.c.number, *_version_columns)
    .join(template_version, and_(_of_template, template_version.c.number == template.c.number))
    .where(
        template.c.chain_id == CHAIN,
        template.c.kind == param("kind", Text),
        template.c.channel == param("channel", Text),
        template.c.language == any_(LANGUAGES),
        or_(template.c.site_id.is_(None), template.c.site_id == SITE),
        template.c.retired_at.is_(None),
    )
    .order_by(func.array_position(LANGUAGES, template.c.language), template.c.site_id.is_(None))
    .limit(1)
)

HOSTS = Statement(select(link_hosts).where(link_hosts.c.chain_id == CHAIN))
_hosts = pg_insert(link_hosts).values(params(*link_hosts.c.keys()))
KEEP_HOSTS = Statement(
    _hosts.on_conflict_do_update(
        index_elements=["chain_id"],
        set_={name: _hosts.excluded[name] for name in ("hosts", "version", "changed_at", "changed_by")},
        where=link_hosts.c.version == _hosts.excluded.version - 1,
    ).returning(link_hosts.c.version)
)
SITE_SHOWN = Statement(select(site).where(site.c.chain_id == CHAIN, site.c.id == ID))


class TemplateStore(Store):
    async def own_template(
        self, kind: MessageKind, channel: Channel, language: str, site_id: UUID | None
    ) -> OwnTemplate | None:
        """The text of the chain's own that goes before the shipped one, if any: in the nearest language; of two in the
        same the site's own. No English one goes before a text that is shipped in the patient's language."""
        row = await self.row(
            OWN_TEMPLATE, kind=kind, channel=channel, languages=languages_for(language), site_id=site_id
        )
        return _own(row) if row else None

    async def template(self, template_id: UUID) -> TemplateHead:
        if row := await self.row(TEMPLATE, id=template_id):
            return _head(row)
        raise TemplateNotFound(template_id=to_wire("template", template_id))

    async def template_at(self, spot: Spot) -> TemplateHead | None:
        values = {"kind": spot.kind, "channel": spot.channel, "language": spot.language}
        row = await self.row(TEMPLATE_AT, site_id=spot.site_id, **values)
        return _head(row) if row else None

    async def templates(
        self, site_id: UUID | None, kind: MessageKind | None, channel: Channel | None, after_id: UUID, limit: int
    ) -> list[TemplateHead]:
        """None: of any. In the order of their making."""
        found = await self.rows(TEMPLATES, site_id=site_id, kind=kind, channel=channel, after_id=after_id, limit=limit)
        return [_head(row) for row in found]

    async def template_version(self, template_id: UUID, number: int) -> OwnTemplate:
        if row := await self.row(VERSION, id=template_id, number=number):
            return _own(row)
        raise TemplateNotFound(template_id=to_wire("template", template_id), number=number)

    async def add_template(self, head: TemplateHead) -> None:
        """StaleEtag where somebody else began it at the same time."""
        spot = head.spot
        values = {"kind": spot.kind, "channel": spot.channel, "language": spot.language, "site_id": spot.site_id}
        if not await self.rows(ADD_TEMPLATE, id=head.id, number=head.number, version=head.version, **values):
            raise StaleEtag()

    async def change_template(self, head: TemplateHead) -> None:
        """From the version before. StaleEtag where somebody else changed it at the same time."""
        values = {"number": head.number, "retired_at": head.retired_at, "retired_by": head.retired_by}
        changed = await self.rows(
            CHANGE_TEMPLATE, id=head.id, read_version=head.version - 1, version=head.version, **values
        )
        if not changed:
            raise StaleEtag()

    async def add_template_version(self, new: OwnTemplate) -> None:
        await self.rows(
            ADD_VERSION,
            template_id=new.id,
            number=new.number,
            site_id=new.spot.site_id,
            subject=new.content.subject,
            text=new.content.text,
            html=new.content.html,
            created_at=new.created_at,
            created_by=new.created_by,
        )

    async def link_hosts(self) -> LinkHosts:
        row = await self.row(HOSTS)
        return LinkHosts(tuple(row["hosts"]), row["version"]) if row else LinkHosts((), 0)

    async def keep_link_hosts(self, changed: LinkHosts) -> None:
        """From the version before. StaleEtag where somebody else changed them at the same time."""
        values = {"changed_at": self.call.now, "changed_by": self.call.actor}
        if not await self.rows(KEEP_HOSTS, hosts=list(changed.hosts), version=changed.version, **values):
            raise StaleEtag()

    async def site_shown(self, site_id: UUID) -> Site | None:
        row = await self.row(SITE_SHOWN, id=site_id)
        return (
            Site(row["id"], row["discreet_name"], ZoneInfo(row["time_zone"]), row["address"], row["phone"])
            if row
            else None
        )


def _spot(row: Record) -> Spot:
    return Spot(MessageKind(row["kind"]), Channel(row["channel"]), row["language"], row["site_id"])


def _head(row: Record) -> TemplateHead:
    return TemplateHead(
        id=row["id"],
        spot=_spot(row),
        number=row["number"],
        version=row["version"],
        retired_at=row["retired_at"],
        retired_by=row["retired_by"],
    )


def _own(row: Record) -> OwnTemplate:
    return OwnTemplate(
        id=row["id"],
        number=row["number"],
        spot=_spot(row),
        content=Content(row["subject"], row["text"], row["html"]),
        created_at=row["created_at"],
        created_by=row["created_by"],
    )
