"""Templates of chains' own, their versions, and the hosts that they may link to."""

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Integer, Text, UniqueConstraint, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

from chassis.tables import OWN_SITES, Instant, chain_table
from services.notifications.domain.kinds import Channel, MessageKind
from services.notifications.tables.columns import belongs_to, id_column, metadata, one_of

# What is for every site has no site: all see it, and only who has every site changes it.
_EVERY_OR_OWN_SITES = f"site_id IS NULL OR {OWN_SITES}"


template = chain_table(
    "template",
    metadata,
    id_column(key=True),
    Column("site_id", Uuid),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("number", Integer, nullable=False),  # Of the last version.
    Column("version", Integer, nullable=False),
    Column("retired_at", Instant),
    Column("retired_by", Text),
    belongs_to("site", "site_id"),
    UniqueConstraint("chain_id", "kind", "channel", "language", "site_id", postgresql_nulls_not_distinct=True),
    one_of("kind", MessageKind),
    one_of("channel", Channel),
    CheckConstraint("number > 0", name="number"),
    CheckConstraint("(retired_by IS NULL) = (retired_at IS NULL)", name="retired"),
    own_sites=_EVERY_OR_OWN_SITES,
    changed_by=OWN_SITES,
)


template_version = chain_table(
    "template_version",
    metadata,
    id_column("template_id", key=True),
    Column("number", Integer, primary_key=True),
    Column("site_id", Uuid),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("html", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    ForeignKeyConstraint(["chain_id", "template_id"], ["template.chain_id", "template.id"]),
    CheckConstraint("number > 0", name="number"),
    append_only=True,
    own_sites=_EVERY_OR_OWN_SITES,
)


link_hosts = chain_table(
    "link_hosts",
    metadata,
    Column("hosts", ARRAY(Text), nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("changed_by", Text, nullable=False),
)
