"""Limits that PostgreSQL sets: pgbench with the SQL that a call of ours sends, in the same shape of transaction."""

import re
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from bench.harness import LIMIT_S, Limit
from bench.load import Load
from chassis.db import Database
from chassis.pool import open_pool
from deploy.local.postgres import installed

NUMBER = "%N%"
"""Stands in a value for the twelve digits that make it another one in each transaction."""
FIRST, LAST = 10**11, 10**12 - 1

Query = tuple[str, tuple[Any, ...]]
_argument = re.compile(r"\$(\d+)")
_named = re.compile(r":(?=[A-Za-z_])")  # pgbench takes it for a variable, in strings, too.
_plain_read = re.compile(r"\s*SELECT\b")
_setting = re.compile(r"SET LOCAL (\S+) = ('(?:[^']|'')*')")


async def recorded(url: str, work: Callable[[Database], Awaitable[object]]) -> list[Query]:
    """What `work` sends to PostgreSQL, from BEGIN to COMMIT."""
    queries = list[Query]()

    def note(query: Any) -> None:
        queries.append((query.query, tuple(query.args or ())))

    async with open_pool(url, size=1, planned_once=True) as pool:
        await work(Database(pool))  # Types are introspected once for each connection.
        async with pool.acquire() as conn:
            conn.add_query_logger(note)
        await work(Database(pool))
        async with pool.acquire() as conn:
            conn.remove_query_logger(note)
    return queries


def writes_of(queries: Iterable[Query]) -> list[Query]:
    """Without what is only read: that adds to our time, not to the limit's."""
    return [query for query in queries if not _plain_read.match(query[0])]


def script(queries: Iterable[Query], other: Mapping[str, str], first: int = FIRST, last: int = LAST) -> str:
    """A transaction of pgbench. `other` names texts that are another in each, and what to write for them."""
    lines = [f"\\set n random({first}, {last})"]
    for text, arguments in queries:
        if arguments:
            lines.append(_with_values(" ".join(text.split()), [_literal(each, other) for each in arguments]))
        else:
            lines += _begun(text)
    return "".join(f"{line};\n" if not line.startswith("\\") else f"{line}\n" for line in lines)


def _begun(text: str) -> list[str]:
    """BEGIN, and all settings in one statement: pgbench sends each by itself, and they are not to cost the limit more
    than the call."""
    begin, *more = text.split("; ", 1)
    settings = [f"set_config('{name}', {value}, true)" for part in more for name, value in _setting.findall(part)]
    return [begin, f"SELECT {', '.join(settings)}"] if settings else [text]


def _with_values(text: str, values: Sequence[str]) -> str:
    return _argument.sub(lambda found: values[int(found[1]) - 1], text)


def _literal(value: Any, other: Mapping[str, str]) -> str:
    if value is None or isinstance(value, bool | int | float):
        return "NULL" if value is None else str(value)
    text = _text(value)
    for one, instead in other.items():
        text = text.replace(one, instead)
    quoted = _named.sub("' || chr(58) || '", text.replace("'", "''")).replace("\n", "' || chr(10) || '")
    literal = f"'{quoted}'" if quoted == text.replace("'", "''") else f"('{quoted}')"
    return f"(replace({literal}, '{NUMBER}', :n::text))" if NUMBER in text else literal


def _text(value: Any) -> str:
    """As PostgreSQL reads it."""
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return "{" + ",".join("NULL" if each is None else _element(_text(each)) for each in value) + "}"
    return str(value)


def _element(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def numbered(id: UUID) -> str:
    """An id with another end."""
    return f"{str(id)[:24]}{NUMBER}"


def pgbench(
    url: str, scripts: Sequence[str], clients: int, *, given: Mapping[str, object] = {}, mode: str = "prepared"
) -> Limit:
    """What runs one of the scripts after another, at random."""

    async def take() -> Load:
        return _run(url, scripts, clients, given, mode)

    return take


def _run(url: str, scripts: Sequence[str], clients: int, given: Mapping[str, object], mode: str) -> Load:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = ["-n", "-M", mode, "-c", str(clients), "-j", "2", "-T", str(max(1, round(LIMIT_S))), "--log"]
        options += [part for name, value in given.items() for part in ("-D", f"{name}={value}")]
        for n, text in enumerate(scripts):
            (folder / f"{n}.sql").write_text(text)
            options += ["-f", str(folder / f"{n}.sql")]
        logs = folder / "logs"
        logs.mkdir()
        command = [str(installed() / "pgbench"), *options, url]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=logs)
        assert ended.returncode == 0, ended.stderr[-2000:]
        latencies = [int(line.split()[2]) / 1e6 for file in logs.iterdir() for line in file.read_text().splitlines()]
    [line] = [line for line in ended.stdout.splitlines() if line.startswith("tps")]
    return Load(seconds=len(latencies) / float(line.split()[2]), latencies=sorted(latencies))
