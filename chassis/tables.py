"""Tables that every service has beside its own, and the row-level security of all of them.

What a role may do with a table follows from the table itself (`security`), and is written out in the migration that
creates it. No role of a running service owns a table, and row-level security is forced.
"""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import SchemaItem

Instant = DateTime(timezone=True)

NAMING = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}
"""PostgreSQL's own habits, spelt out, so that a constraint has the same name everywhere."""


OWN_CHAIN = "chain_id = nullif(current_setting('app.chain', true), '')::uuid"
OWN_SITES = (
    "'*' = current_setting('app.sites', true) "
    "OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))"
)
# A CASE, which PostgreSQL takes for true of every other row: it takes an OR for true of hardly any, and would read all
# of somebody's rows, and sort them, to find the last few.
OWN_SUBJECT = "CASE WHEN '' = coalesce(current_setting('app.patient', true), '') THEN true ELSE {own} END"
NO_PATIENT = "'' = coalesce(current_setting('app.patient', true), '')"
"""Whoever calls does so for a chain, not as a patient for themselves."""
NOT_FOR_PATIENTS = f"CASE WHEN {NO_PATIENT} THEN true ELSE false END"
"""SQL for `shown_if`, of what is no patient's own. A CASE, for the reason above."""
OWN_PATIENT = "'' = coalesce(current_setting('app.patient', true), '') OR {own}"


_FOUND = (
    "SELECT true FROM {parent} WHERE {parent}.chain_id = {table}.chain_id AND {parent}.id = {table}.{column} LIMIT 1"
)


def shown_with(table: str, parent: str, column: str, or_else: str = "") -> str:
    """SQL for `shown_if`: who calls for themselves sees rows of a parent that they see. A CASE, so that of all others'
    rows nothing is asked; a LIMIT, since PostgreSQL would read all of what stands behind an EXISTS into a hash."""
    found = _FOUND.format(table=table, parent=parent, column=column)
    return f"CASE WHEN {NO_PATIENT} THEN true ELSE {or_else}({found}) END"


def service_metadata(*, own_ids: str = "") -> MetaData:
    """Metadata of a service, with the chassis's tables in it.

    `own_ids` (SQL, an array) are the ids of a patient who calls for themselves, where it may be more than the token's.
    """
    metadata = MetaData(naming_convention=NAMING, info={"own_ids": own_ids})
    for table in _chassis.sorted_tables:
        table.to_metadata(metadata)
    return metadata


NO_CHAIN = UUID(int=0)
"""Of the call by which a job looks for the chains that it has work for. It goes into each by a call of that one."""


def chain_list(name: str, metadata: MetaData, service: str) -> Table:
    """The chains that a job has work for. A call of no chain sees all of them."""
    table = chain_table(name, metadata)
    shown = f"USING (current_setting('app.chain', true) = '{NO_CHAIN}')"
    table.info["ddl"] = [f"CREATE POLICY every_chain ON {name} FOR SELECT TO {service} {shown}"]
    return table


def chain_table(
    name: str,
    metadata: MetaData,
    *items: SchemaItem,
    append_only: bool = False,
    own_sites: str | None = None,
    changed_by: str | None = None,
    shown_if: str | None = None,
    written_if: str | None = None,
    kept: timedelta | None = None,
    aged_by: str = "",
    own_ids: str = "",
    own_by: str = "",
) -> Table:
    """A table whose key starts with the chain, so that PostgreSQL can partition or shard by it later.

    Rows of an append-only table are never changed or deleted, by no role of a running service. A row with a site is
    seen by calls of its site, unless `own_sites` (SQL) says by whom else; those may change it, too, unless `changed_by`
    (SQL) says that only some of them may. What `shown_if` (SQL) is false of, nobody sees; what
    `written_if` (SQL) is false of, nobody adds: name the policy in `Store.refusals` to say what that means.

    Rows older by `aged_by`, a column of real time, than they are `kept` are deleted by `chassis.housekeeping`, if the
    service names the table among its `short_lived`.

    `own_ids` is what `service_metadata` says of it, for this table alone. `own_by` is a column with such ids in a table
    that the function behind `own_ids` reads: it does so as the owner, whom the policy leaves out.
    """
    info = {"append_only": append_only, "own_sites": own_sites or OWN_SITES}
    info |= {"changed_by": changed_by, "shown_if": shown_if, "written_if": written_if}
    info |= {"kept": kept, "aged_by": aged_by, "own_ids": own_ids, "own_by": own_by}
    return Table(name, metadata, Column("chain_id", Uuid, primary_key=True), *items, info=info)


def _now(name: str) -> Column[object]:
    return Column(name, Instant, nullable=False, server_default=func.now())


_chassis = MetaData(naming_convention=NAMING)

idempotency = chain_table(
    "idempotency",
    _chassis,
    Column("actor", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("request_id", Uuid, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("response", LargeBinary),
    _now("created_at"),
)
# What `chassis.housekeeping` finds old rows by, as those of outbox and inbox. No BRIN: what it says of a range of pages
# never narrows, and pages that were emptied are filled anew, so that after a while it would hold all of them for old.
Index("idempotency_age_idx", idempotency.c.created_at)
outbox = chain_table(
    "outbox",
    _chassis,
    Column("event_id", Uuid, primary_key=True),
    Column("position", BigInteger, Identity(always=True), nullable=False),
    Column("aggregate_id", Uuid, nullable=False),
    Column("subject", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("traceparent", Text, nullable=False),
    _now("created_at"),
    Column("published_at", Instant),
    append_only=True,  # For the service; the relay stamps what it published.
)
Index("outbox_unpublished_idx", outbox.c.position, postgresql_where=outbox.c.published_at.is_(None))
Index("outbox_age_idx", outbox.c.published_at, postgresql_where=outbox.c.published_at.is_not(None))
inbox = chain_table(
    "inbox",
    _chassis,
    Column("consumer", Text, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    _now("received_at"),
    append_only=True,
)
Index("inbox_age_idx", inbox.c.received_at)
# Events that could not be handled. `waits_for` names what a letter needs to be known. At `replay_at` it is tried again:
# after a growing pause if it waits, at once when an event that names what it waits for is handled, or an operator asks.
dead_letter = chain_table(
    "dead_letter",
    _chassis,
    Column("consumer", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("waits_for", Text),
    Column("attempts", Integer, nullable=False),
    _now("buried_at"),
    Column("replay_at", Instant),
)
Index("dead_letter_waiting_idx", dead_letter.c.waits_for, postgresql_where=dead_letter.c.waits_for.is_not(None))
Index("dead_letter_replay_idx", dead_letter.c.replay_at, postgresql_where=dead_letter.c.replay_at.is_not(None))
audit = chain_table(
    "audit",
    _chassis,
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("actor", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("ids", JSONB, nullable=False),
    Column("at", Instant, nullable=False),
    append_only=True,
)
Index("audit_position_idx", audit.c.position)
# What a search walks: see `chassis.trail`.
Index("audit_at_idx", audit.c.chain_id, audit.c.at, audit.c.position)
Index("audit_actor_idx", audit.c.chain_id, audit.c.actor, audit.c.at, audit.c.position)
Index("audit_method_idx", audit.c.chain_id, audit.c.method, audit.c.at, audit.c.position)
# Who an audit row is about: an index of what stands in its `ids`, written with it and checked by `chassis.sealer`.
audit_subject = chain_table(
    "audit_subject",
    _chassis,
    Column("subject_id", Uuid, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("at", Instant, nullable=False),
    append_only=True,
)
# The hash chain over committed audit rows, in the sealer's own order: `chassis.sealer`.
audit_seal = chain_table(
    "audit_seal",
    _chassis,
    Column("sequence", BigInteger, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    _now("sealed_at"),
    UniqueConstraint("chain_id", "position"),
    append_only=True,
)

NOT_THE_SERVICES = frozenset({"audit_seal"})
"""Tables that the service's own role does not see."""
HOUSEKEEPING = {"outbox": "published_at", "idempotency": "created_at", "inbox": "received_at"}
"""Tables whose old rows the relay deletes, and the column that tells their age."""


def security(table: Table, service: str) -> Iterator[str]:
    """The DDL that goes with the creation of `table`: row-level security, and what each role may do."""
    yield f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY"
    yield f"ALTER TABLE {table.name} FORCE ROW LEVEL SECURITY"
    yield f"CREATE POLICY own_chain ON {table.name} USING ({OWN_CHAIN})"
    if "site_id" in table.c:
        own_sites = table.info["own_sites"]
        if own_sites == OWN_SITES:  # Of the service only, where the relay sweeps, which has no sites.
            of = f"TO {service} " if table.info.get("aged_by") else ""
            yield f"CREATE POLICY own_sites ON {table.name} AS RESTRICTIVE {of}USING ({OWN_SITES})"
        else:  # What is not seen, a foreign key refuses to be written about, and says so better than a policy.
            yield f"CREATE POLICY own_sites ON {table.name} AS RESTRICTIVE USING ({own_sites}) WITH CHECK (true)"
            policy = f"CREATE POLICY written_at_own_sites ON {table.name} AS RESTRICTIVE"
            yield f"{policy} FOR INSERT WITH CHECK ({OWN_SITES})"
    yield from _further_policies(table)
    if "patient_id" in table.c:
        yield f"CREATE POLICY own_patient ON {table.name} AS RESTRICTIVE USING ({_own(OWN_PATIENT, table)})"
    if table.info.get("own_by"):
        yield f"CREATE POLICY own_by ON {table.name} AS RESTRICTIVE TO {service} USING ({_own(OWN_SUBJECT, table)})"
    if table.name == "audit_subject":
        # What a patient does is noted under whichever ids it was about: it may be under those of merged records.
        own = f"USING ({_own(OWN_SUBJECT, table)}) WITH CHECK (true)"
        yield f"CREATE POLICY own_subject ON {table.name} AS RESTRICTIVE {own}"
    if table.name not in NOT_THE_SERVICES:
        changes = "INSERT" if table.info.get("append_only") else "INSERT, UPDATE, DELETE"
        yield f"GRANT SELECT, {changes} ON {table.name} TO {service}"
    yield from _of_other_roles(table.name, service)
    if column := table.info.get("aged_by"):
        yield f"CREATE POLICY every_chain ON {table.name} TO {service}_relay USING (true)"
        yield f"GRANT SELECT ({column}), DELETE ON {table.name} TO {service}_relay"


def _own(rule: str, table: Table) -> str:
    column = table.info.get("own_by") or ("subject_id" if "subject_id" in table.c else "patient_id")
    ids = table.info.get("own_ids") or table.metadata.info["own_ids"]
    return rule.format(
        own=f"{column} = ANY ({ids})" if ids else f"{column}::text = current_setting('app.patient', true)"
    )


def _further_policies(table: Table) -> Iterator[str]:
    if changed_by := table.info.get("changed_by"):
        policy = f"ON {table.name} AS RESTRICTIVE FOR"
        yield f"CREATE POLICY changed_by {policy} UPDATE USING ({changed_by}) WITH CHECK (true)"
        yield f"CREATE POLICY deleted_by {policy} DELETE USING ({changed_by})"
    if shown_if := table.info.get("shown_if"):
        yield f"CREATE POLICY shown_if ON {table.name} AS RESTRICTIVE FOR SELECT USING ({shown_if})"
    if written_if := table.info.get("written_if"):
        yield f"CREATE POLICY written_if ON {table.name} AS RESTRICTIVE FOR INSERT WITH CHECK ({written_if})"


def _of_other_roles(table: str, service: str) -> Iterator[str]:
    relay, sealer = f"{service}_relay", f"{service}_sealer"
    if table in HOUSEKEEPING or table == "dead_letter":
        yield f"CREATE POLICY every_chain ON {table} TO {relay} USING (true)"
    if column := HOUSEKEEPING.get(table):
        yield f"GRANT SELECT ({column}), DELETE ON {table} TO {relay}"
    if table == "outbox":
        yield f"GRANT SELECT, UPDATE (published_at) ON {table} TO {relay}"
    if table == "dead_letter":
        yield f"GRANT SELECT, UPDATE (replay_at) ON {table} TO {relay}"
    if table in ("audit", "audit_subject", "audit_seal"):
        yield f"CREATE POLICY every_chain ON {table} TO {sealer} USING (true)"
        yield f"GRANT SELECT{', INSERT' if table == 'audit_seal' else ''} ON {table} TO {sealer}"
