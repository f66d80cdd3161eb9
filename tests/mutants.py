"""Takes each guard away, one at a time, in a copy: a test must turn red. `make mutants`

A guard that can go without a red test is either not needed or not tested. Each row names the one test file that must
notice, and words of the names of its tests (as `pytest -k` takes them), so that few run.

    python -m tests.mutants [FILE…]     only rows whose file, or whose tests, have one of these in their path
"""

import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.support.servers import nats_server, postgres_server

ROOT = Path(__file__).parents[1]
LANES = 2
TEST_S, ROW_S = 40, 120
"""A mutant may hang; that is red as well."""
OUTCOMES = {0: "SURVIVES", 1: "red", 2: "red"}
"""By what pytest exits with; 2 is a module that cannot be imported any more. Anything else is a row that names no test."""

ACCESS, AWAY, CLI, EVENTS, HOUSEKEEPING, ONCE, PROCESS, SCHEMA, SEALER, SERVER, STREAM = (
    f"tests/integration/test_chassis_{name}.py"
    for name in (
        "access",
        "away",
        "cli",
        "events",
        "housekeeping",
        "once",
        "process",
        "schema",
        "sealer",
        "server",
        "stream",
    )
)
VALUES, PROPERTIES = "tests/unit/test_chassis_values.py", "tests/property/test_chassis_properties.py"
RULES, BREAKING = "tests/unit/test_chassis_rules.py", "tests/unit/test_chassis_breaking.py"
REASONS = "tests/contract/test_reasons.py"


class Mutant(NamedTuple):
    file: str
    guard: str
    """What stands there, exactly once."""
    instead: str
    tests: str
    words: str = ""
    """Of the tests that must notice; all of the file if empty."""


CHASSIS = [
    # Who may call.
    Mutant("chassis/auth.py", 'aud={"essential": True, "value": audience}', "aud={}", ACCESS, "bad_one"),
    Mutant("chassis/auth.py", 'iss={"essential": True, "value": issuer}', "iss={}", ACCESS, "bad_one"),
    Mutant("chassis/auth.py", 'if token.header.get("typ") != TYPE:', "if False:", ACCESS, "bad_one"),
    Mutant("chassis/auth.py", '    if is_service and grants.keys() != {"ROLE_SERVICE"}:', "    if False:", ACCESS, "bad_one"),
    Mutant("chassis/auth.py", "if caller is None or until <= now:", "if caller is None:", ACCESS, "expired_is_refused"),
    Mutant("chassis/auth.py", "min(caller.expires + LEEWAY_S, now + CACHED_S)", "now + 3600", ACCESS, "expired_is_refused or published_no_more"),
    Mutant("chassis/auth.py", "await self._keys.current(unknown_key=True)", "keys", ACCESS, "published_since"),
    Mutant("chassis/auth.py", "(OSError, ValueError, TypeError, KeyError, JoseError, httpx.HTTPError)", "(httpx.HTTPError)", ACCESS, "old_ones_stay"),
    Mutant("chassis/auth.py", "            raise TryAgain()\n", "            pass\n", ACCESS, "no_key_was_ever"),
    Mutant("chassis/auth.py", "(KEYS_AGAIN_S if waits else KEYS_FRESH_S)", "math.inf", ACCESS, "published"),
    Mutant("chassis/auth.py", "if staff and access.scope != SCOPE_SELF:", "if held:", ACCESS, "patient"),
    Mutant("chassis/auth.py", "if ROLE_PATIENT in held and self.patient_id:", "if ROLE_PATIENT in held:", ACCESS, "without_a_patient"),
    Mutant("chassis/auth.py", "if (name := Role.Name(role)) in self.grants}", "if (name := Role.Name(role)) in self.grants or (self.grants and (name := next(iter(self.grants))))}", ACCESS, "does_not_name"),
    Mutant("chassis/auth.py", "if access.scope == SCOPE_CHAIN or None in staff:", "if True:", ACCESS, "another_site"),
    Mutant("chassis/endpoint.py", "        _check_site(request, sites)\n", "", ACCESS, "before_anything"),
    Mutant("chassis/endpoint.py", "        _check_patient(request, patient_id)\n", "", ACCESS, "names_another"),
    Mutant("chassis/endpoint.py", "        check_fields(request)\n", "", ACCESS, "broken_field"),
    Mutant("chassis/endpoint.py", "except DecodeError:", "except KeyError:", ACCESS, "no_message"),
    Mutant("chassis/endpoint.py", 'await context.abort(code, "internal error")', "await context.abort(code, repr(sys.exc_info()[1]))", ACCESS, "unforeseen"),
    Mutant("chassis/endpoint.py", "chain_id=caller.chain_id or", "chain_id=None or", ACCESS, "choose_its_chain"),
    Mutant("chassis/endpoint.py", "            patient_id=patient_id,\n", "", ACCESS, "patient_sees"),
    Mutant("chassis/endpoint.py", "if not (self._access.roles and", "if False and not (self._access.roles and", SERVER, "do_not_say"),
    # In time.
    Mutant("chassis/endpoint.py", "            request, call, _ = await self._open(raw, context, ids)\n", "            _work_seconds = 0\n", STREAM, "deadline"),
    Mutant("chassis/endpoint.py", "if left is not None and left < WORK_MIN_S:", "if False:", VALUES, "too_little_time"),
    Mutant("chassis/endpoint.py", "min(left or DEADLINE_MAX_S, DEADLINE_MAX_S) - ANSWER_S", "min(left or DEADLINE_MAX_S, DEADLINE_MAX_S)", VALUES, "time_to_answer"),
    Mutant("chassis/endpoint.py", "            code = grpc.StatusCode.CANCELLED\n", "            pass\n", STREAM, "goes_away"),
    # Streams.
    Mutant("chassis/endpoint.py", "bound = asyncio.timeout(min(age_left, token_left))", "bound = asyncio.timeout(age_left)", STREAM, "token_does"),
    Mutant("chassis/endpoint.py", "            if token_left <= age_left:\n                raise TokenExpired() from None", "            pass", STREAM, "token_does"),
    Mutant("chassis/endpoint.py", "bound = asyncio.timeout(min(age_left, token_left))", "bound = asyncio.timeout(token_left)", STREAM, "greatest_age"),
    Mutant("chassis/endpoint.py", "patience = asyncio.timeout(STREAM_WRITE_S)", "patience = asyncio.timeout(None)", STREAM, "takes_nothing"),
    Mutant("chassis/endpoint.py", "async with asyncio.timeout(REFUSAL_S):", "async with asyncio.timeout(None):", STREAM, "takes_nothing"),
    # Servers.
    Mutant("chassis/server.py", "await self._health.enter_graceful_shutdown()", "pass", SERVER, "finish"),
    Mutant("chassis/server.py", "await self._calls.stop(GRACE_S)", "await self._calls.stop(None)", SERVER, "finish"),
    Mutant("chassis/server.py", "        if self._in_hand:\n            await asyncio.wait(self._in_hand)\n", "", SERVER, "outlives_the_grace"),
    Mutant("chassis/server.py", '("grpc.max_receive_message_length", MESSAGE_MAX),', "", ACCESS, "above_the_bound"),
    Mutant("chassis/service.py", 'loop.add_reader(parent.sentinel, stopped.set)', "pass", PROCESS, "end_with_the_process"),
    Mutant("chassis/service.py", "sys.exit(any(process.exitcode for process in processes))", "sys.exit(0)", PROCESS, "takes_the_service"),
    Mutant("chassis/metrics.py", "int(port) and int(port) + offset", "int(port)", SERVER, "second_worker"),
    Mutant("chassis/durability.py", "if value not in wanted:", "if False:", SERVER, "postgresql_that_may"),
    Mutant("chassis/durability.py", 'if not config.get("config", {}).get("sync_always"):', "if False:", SERVER, "nats_that"),
    Mutant("chassis/durability.py", "if nats_monitor_url is None:", "if False:", SERVER, "postgresql_that_may"),
    Mutant("chassis/service.py", "        if settings.production:\n", "        if False:\n", PROCESS, "production"),
    Mutant("chassis/clock.py", "    if settings.production:\n", "    if False:\n", VALUES, "production"),
    Mutant("chassis/clock.py", "seen = status.st_mtime_ns, status.st_ino", "seen = int(status.st_mtime), 0", VALUES, "jump"),
    Mutant("chassis/clock.py", "max(utc_now() - self._written, timedelta())", "(utc_now() - self._written)", VALUES, "at_its_rate"),
    Mutant("chassis/election.py", 'if not await conn.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):', "if False:", SERVER, "only_one"),
    Mutant("chassis/election.py", "            await cancelled(*running)\n", "            pass\n", SERVER, "only_one"),
    Mutant("chassis/election.py", "while waiting := [", "if waiting := [", SERVER, "cancelled_again"),
    Mutant("chassis/election.py", "        except Exception:\n", "        except KeyError:\n", SERVER, "part_that_fails"),
    # Once.
    Mutant("chassis/store.py", 'if claimed and claimed["ours"]:', "if claimed:", ONCE, "same_request"),
    Mutant("chassis/store.py", 'or earlier["request_hash"] != digest', "", ONCE, "of_another_request"),
    Mutant("chassis/store.py", '{"actor": self.call.actor, "method"', '{"actor": "", "method"', ONCE, "its_caller"),
    Mutant("chassis/store.py", '"method": self.call.method, "request_id"', '"method": "", "request_id"', ONCE, "its_method"),
    Mutant("chassis/store.py", "_locks.where(_ours).scalar_subquery()", "_locks.scalar_subquery()", ONCE, "replay_takes_no"),
    Mutant("chassis/store.py", '        assert self._last[0] is SETTLE, "one last write"\n', "", ONCE, "last_write"),
    Mutant("chassis/db.py", "ordered = sorted(set(locks))", "ordered = list(locks)", ONCE, "one_order"),
    Mutant("chassis/db.py", "earlier = await store.claim(request, ordered)", "earlier = await store.claim(request, [])", ONCE, "rival"),
    Mutant("chassis/db.py", "            except RETRYABLE:\n                continue\n", "", ONCE, "three_times"),
    Mutant("chassis/db.py", "range(ATTEMPTS_MAX)", "range(2 * ATTEMPTS_MAX)", ONCE, "three_times"),
    Mutant("chassis/db.py", "            if audited:\n                await store.note_read(request)\n", "", ONCE, "leaves_an_audit_row"),
    Mutant("chassis/db.py", "read_only=not audited", "read_only=False", ONCE, "cannot_write"),
    Mutant("chassis/db.py", "                await _roll_back(conn)\n", "                pass\n", ONCE, "cancelled"),
    Mutant("chassis/db.py", "            await store.settle(request, response)\n", "", ONCE, "same_request"),
    Mutant("chassis/db.py", "            await store.settle_job()\n", "", ONCE, "job_commits"),
    Mutant("chassis/db.py", "set_config('app.chain', '{call.chain_id}', true)", "set_config('app.chain', '{call.chain_id}', false)", ONCE, "gone_with_it"),
    Mutant("chassis/db.py", "set_config('app.patient', '{call.patient_id or ''}', true)", "set_config('app.patient', '', true)", ACCESS, "patient_sees"),
    Mutant("chassis/db.py", "set_config('app.sites', '{sites}', true)", "set_config('app.sites', '*', true)", ACCESS, "absent"),
    Mutant("chassis/store.py", "await self.rows(LOCK, lock_id=sorted(set(ids)))", "await self.rows(LOCK, lock_id=[])", ONCE, "no_claim"),
    # Away.
    Mutant("chassis/db.py", "    OSError,\n", "", AWAY, "exhausted or taken_so"),
    Mutant("chassis/db.py", "    asyncpg.LockNotAvailableError,\n", "", AWAY, "lock"),
    Mutant("chassis/db.py", "    asyncpg.OperatorInterventionError,  #", "    #", AWAY, "taken_so"),
    Mutant("chassis/db.py", "    asyncpg.InsufficientResourcesError,  #", "    #", AWAY, "taken_so"),
    Mutant("chassis/db.py", "self._pool.acquire(timeout=ACQUIRE_S)", "self._pool.acquire()", AWAY, "exhausted"),
    Mutant("chassis/provision.py", "await admin.execute(f\"ALTER ROLE {service} SET {name} = '{value}'\")", "pass", AWAY, "bounded"),
    Mutant("chassis/status.py", "if error.kind in MAY_BE_ASKED_AGAIN:", "if False:", REASONS, "helps"),
    # In the database.
    Mutant("chassis/tables.py", 'yield f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY"', "", ACCESS, "without_a_where"),
    Mutant("chassis/tables.py", 'yield f"ALTER TABLE {table.name} FORCE ROW LEVEL SECURITY"', "", SCHEMA, "tables_say and patients"),
    Mutant("chassis/tables.py", 'if "site_id" in table.c:', "if False:", ACCESS, "absent or takes_no_row"),
    Mutant("chassis/tables.py", 'if "patient_id" in table.c:', "if False:", ACCESS, "patient_sees or takes_no_row"),
    Mutant("chassis/tables.py", '"INSERT" if table.info.get("append_only") else', '"INSERT, UPDATE, DELETE" if table.info.get("append_only") else', ACCESS, "rewrite"),
    Mutant("chassis/tables.py", "if table.name not in NOT_THE_SERVICES:", "if True:", ACCESS, "rewrite"),
    # Events out.
    Mutant("chassis/relay.py", "            except Exception as error:\n", "            except KeyError as error:\n", EVENTS, "nats_is_away"),
    Mutant("chassis/relay.py", "    .where(outbox.c.published_at.is_(None))\n", "", EVENTS, "published_once"),
    Mutant("chassis/relay.py", "    .order_by(outbox.c.position)\n", "    .order_by(outbox.c.position.desc())\n", EVENTS, "in_the_order"),
    Mutant("chassis/relay.py", "skip_locked=True", "", EVENTS, "two_relays"),
    Mutant("chassis/relay.py", "            await asyncio.gather(*acks)\n", "", EVENTS, "not_acknowledge"),
    Mutant("chassis/relay.py", "                ack.cancel()\n", "                pass\n", EVENTS, "breaks_off"),
    Mutant("chassis/relay.py", "if not self._js._nc.is_connected:", "if False:", EVENTS, "nats_is_away"),
    Mutant("chassis/relay.py", "outbox.c.created_at >= param", "outbox.c.created_at <= param", EVENTS, "on_demand"),
    Mutant("chassis/relay.py", ", outbox.c.published_at.is_not(None))", ")", EVENTS, "on_demand"),
    Mutant("chassis/relay.py", "            except NoStreamResponseError:\n                raise\n", "", EVENTS, "whole_jetstream"),
    Mutant("chassis/store.py", "traceparent=self.call.traceparent,\n", "", EVENTS, "trace"),
    # Events in.
    Mutant("chassis/db.py", "if await store.first_time(call.method, event_id):", "if True:", EVENTS, "handled_once"),
    Mutant("chassis/db.py", "                await store.settle_event(event)\n", "", EVENTS, "by_itself or trace"),
    Mutant("chassis/consumer.py", "if _is_final(error) or deliveries", "if deliveries", EVENTS, "rule_refuses or decoded"),
    Mutant("chassis/consumer.py", " or deliveries >= ATTEMPTS_MAX", "", EVENTS, "buried_in_the_end"),
    Mutant("chassis/consumer.py", "return error.kind in FOR_GOOD", "return True", EVENTS, "buried_in_the_end"),
    Mutant("chassis/consumer.py", "            await msg.ack()\n", "            pass\n", EVENTS, "done_with"),
    Mutant("chassis/consumer.py", "                await msg.term()\n", "                pass\n", EVENTS, "rule_refuses"),
    Mutant("chassis/consumer.py", "waited = age.total_seconds() >= WAIT_MAX_S", "waited = False", EVENTS, "waits_too_long"),
    Mutant("chassis/consumer.py", "WAIT_DELAYS_S[min(deliveries, len(WAIT_DELAYS_S)) - 1]", "WAIT_DELAYS_S[0]", EVENTS, "growing_while"),
    Mutant("chassis/consumer.py", '"attempts": dead_letter.c.attempts + 1', '"attempts": dead_letter.c.attempts', EVENTS, "one_more_attempt"),
    Mutant("chassis/consumer.py", '            "replay_at": None,\n', "", EVENTS, "one_more_attempt"),
    Mutant("chassis/consumer.py", "dead_letter.c.replay_at.is_not(None), dead_letter.c.consumer", "dead_letter.c.consumer", EVENTS, "and_not_before"),
    Mutant("chassis/consumer.py", "        except BadId:  #", "        except KeyError:  #", EVENTS, "chain_that_is_none"),
    Mutant("chassis/consumer.py", "        except Exception:  # Neither", "        except KeyError:  # Neither", EVENTS, "neither_handled"),
    Mutant("chassis/store.py", "ids=sorted(set(all_ids(event)))", "ids=[id for _, id in ids_of(event)]", EVENTS, "by_itself"),
    Mutant("chassis/service.py", 'partial(replays.run_replays, relay_pool)', "partial(consumer.run_replays, relay_pool)", EVENTS, "by_itself"),
    Mutant("chassis/service.py", "    await ensure_stream(js, service.stream, settings.nats_replicas)\n", "", EVENTS, "whole_jetstream"),
    # Audit.
    Mutant("chassis/sealer.py", "audit.c.position == any_(param(\"gaps\", ARRAY(BigInteger)))", "and_(audit.c.position < 0, audit.c.position == any_(param(\"gaps\", ARRAY(BigInteger))))", SEALER, "commits_late"),
    Mutant("chassis/sealer.py", "self._gaps = dict.fromkeys(range(max(1, last - GAP_SPAN), last), utc_now())", "self._gaps = {}", SEALER, "starts_anew"),
    Mutant("chassis/sealer.py", "if since > oldest and n not in seen", "if n not in seen", SEALER, "rolled_back"),
    Mutant("chassis/sealer.py", "hashlib.sha256(previous + json", "hashlib.sha256(json", SEALER, "made_anew or slipped_in_with"),
    Mutant("chassis/sealer.py", '        "actor": row["actor"],\n', "", SEALER, "changed_removed"),
    Mutant("chassis/sealer.py", '        "at": row["at"].isoformat(),\n', "", SEALER, "changed_removed"),
    Mutant("chassis/sealer.py", '        "position": row["position"],\n', "", SEALER, "changed_removed"),
    Mutant("chassis/sealer.py", "if kept and kept.sequence > sequence:", "if False:", SEALER, "cut_off"),
    Mutant("chassis/sealer.py", "elif kept and kept.sequence == sequence and kept.hash != digest:", "elif False:", SEALER, "made_anew"),
    Mutant("chassis/sealer.py", 'if row["position"] is None:', "if False:", SEALER, "changed_removed"),
    Mutant("chassis/sealer.py", 'elif row["sequence"] != sequence:', "elif False:", SEALER, "changed_removed"),
    Mutant("cli/audit.py", 'slipped_in = f"{verdict.late} rows were put in below the seals" if verdict.late else ""', 'slipped_in = ""', CLI, "leaves_alone"),
    Mutant("cli/audit.py", "        raise typer.Exit(1)\n", "        return\n", CLI, "touched"),
    # Housekeeping.
    Mutant("chassis/housekeeping.py", 'param("before", Instant)', 'param("before", Instant) + timedelta(days=1)', HOUSEKEEPING, "once_it_is_older"),
    Mutant("chassis/tables.py", 'HOUSEKEEPING = {"outbox": "published_at"', 'HOUSEKEEPING = {"outbox": "created_at"', HOUSEKEEPING, "never_published"),
    # Values.
    Mutant("chassis/sql.py", "if values.keys() != self._wanted:", "if False:", VALUES, "statement"),
    Mutant("chassis/ids.py", ' or suffix[:1] > "7":', ":", VALUES, "no_id_of_the_kind"),
    Mutant("chassis/ids.py", "if prefix != kind", "if False", VALUES, "no_id_of_the_kind"),
    Mutant("chassis/ids.py", "isinstance(value, str) and ID.fullmatch(value):", "isinstance(value, str):", VALUES, "place_of_an_id"),
    Mutant("chassis/money.py", "if fraction or abs(wire.nanos) >= NANOS:", "if False:", VALUES, "money_that_is_none"),
    Mutant("chassis/money.py", "if wire.units * wire.nanos < 0:", "if False:", VALUES, "money_that_is_none"),
    Mutant("chassis/money.py", "if total > MINOR_MAX:", "if False:", VALUES, "money_that_is_none"),
    Mutant("chassis/money.py", "if self.currency != other.currency:", "if False:", VALUES, "one_currency"),
    Mutant("chassis/times.py", "except (ValueError, OverflowError):", "except KeyError:", VALUES, "beyond_the_calendar"),
    Mutant("chassis/etags.py", "number.isascii() and ", "", VALUES, "no_etag"),
    Mutant("chassis/pages.py", "if asked != question or not", "if not", VALUES, "same_question"),
    Mutant("chassis/pages.py", "call.chain_id.bytes, call.method.encode()", 'b"", call.method.encode()', VALUES, "same_question"),
    Mutant("chassis/pages.py", "call.chain_id.bytes, call.method.encode()", 'call.chain_id.bytes, b""', VALUES, "same_question"),
    Mutant("chassis/pages.py", "not all(isinstance(part, str) for part in key)", "False", VALUES, "no_texts"),
    Mutant("chassis/pages.py", ", SIZE_MAX)", ", 10**6)", VALUES, "two_hundred"),
    Mutant("chassis/logs.py", "structlog.processors.ExceptionRenderer(where_it_happened)", "structlog.processors.dict_tracebacks", VALUES, "trace_says"),
    Mutant("chassis/tracing.py", "if TRACEPARENT.fullmatch(given):", "if given.count('-') == 3:", VALUES, "trace_goes_on"),
]  # fmt: skip

PATIENTS: list[Mutant] = []
SCHEDULING: list[Mutant] = []
BILLING: list[Mutant] = []
NOTIFICATIONS: list[Mutant] = []

MUTANTS = [*CHASSIS, *PATIENTS, *SCHEDULING, *BILLING, *NOTIFICATIONS]


class Lane(threading.Thread):
    """A copy of the project and servers of its own, on which one mutant runs after another."""

    def __init__(self, folder: Path, waiting: "queue.SimpleQueue[Mutant]", outcomes: Counter[str]) -> None:
        super().__init__()
        self._copy, self._waiting, self._outcomes = folder / "copy", waiting, outcomes
        shutil.copytree(ROOT, self._copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))

    def run(self) -> None:
        with postgres_server() as postgres_url, nats_server() as nats_url:
            servers = {"ATOLL_POSTGRES_URL": postgres_url, "ATOLL_NATS_URL": nats_url}
            while True:
                try:
                    mutant = self._waiting.get_nowait()
                except queue.Empty:
                    return
                outcome = self._outcome_of(mutant, {**os.environ, **servers, "PYTHONDONTWRITEBYTECODE": "1"})
                self._outcomes[outcome] += 1
                print(f"{outcome:8}", mutant.file, mutant.guard.strip().splitlines()[0], flush=True)

    def _outcome_of(self, mutant: Mutant, environment: dict[str, str]) -> str:
        source = (ROOT / mutant.file).read_text()
        if source.count(mutant.guard) != 1:
            return "ABSENT" if mutant.guard not in source else "TWICE"
        (self._copy / mutant.file).write_text(source.replace(mutant.guard, mutant.instead))
        command = [sys.executable, "-m", "pytest", "-x", "--timeout", str(TEST_S), mutant.tests, "-k", mutant.words]
        for _ in range(
            2
        ):  # Python 3.11 fails to parse a file now and then ("AST constructor recursion depth mismatch").
            done = self._run(command, environment)
            if done.returncode in OUTCOMES and b"AST constructor" not in done.stdout + done.stderr:
                break
        (self._copy / mutant.file).write_text(source)
        return OUTCOMES.get(done.returncode, f"EXIT {done.returncode}")

    def _run(self, command: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[bytes]":
        try:
            return subprocess.run(command, cwd=self._copy, env=environment, capture_output=True, timeout=ROW_S)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 1, b"", b"")


def main(*paths: str) -> None:
    waiting, outcomes = queue.SimpleQueue[Mutant](), Counter[str]()
    chosen = [each for each in MUTANTS if not paths or any(path in each.file + each.tests for path in paths)]
    for mutant in chosen:
        waiting.put(mutant)
    with tempfile.TemporaryDirectory(prefix="atoll-mutants-") as folder:
        Path(folder).chmod(0o755)
        lanes = [Lane(Path(folder) / str(number), waiting, outcomes) for number in range(LANES)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
    print(f"{len(chosen)} mutants:", ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common()))
    sys.exit(outcomes["red"] != len(chosen))


if __name__ == "__main__":
    main(*sys.argv[1:])
