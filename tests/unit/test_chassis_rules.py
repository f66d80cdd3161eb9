"""The project's own rules find what they are for, and leave alone what is well."""

import json

import pytest

from tools.rules import findings, lock_findings

DOC = '"""What belongs here."""\n'
STORE, DOMAIN, RPC = "services/billing/store.py", "services/billing/domain/prices.py", "services/billing/rpc/notes.py"

FOUND = [
    (STORE, "async def f(conn): await conn.execute('COMMIT')"),
    (STORE, "async def f(conn): await conn.commit()"),
    ("cli/events.py", "async def f(conn): await conn.execute(' begin ')"),
    (DOMAIN, "from datetime import datetime\nNOW = datetime.now()"),
    (DOMAIN, "import datetime\nNOW = datetime.datetime.now()"),
    ("services/billing/use_cases.py", "from chassis.times import utc_now\ndef f(): return utc_now()"),
    (STORE, "import time\ndef f(): return time.time()"),
    (STORE, "from datetime import date\ndef f(): return date.today()"),
    (DOMAIN, "from uuid import uuid4\nID = uuid4()"),
    (DOMAIN, "from chassis.ids import new_id\nID = new_id()"),
    (DOMAIN, "import random\nX = random.random()"),
    ("services/billing/domain.py", "import random\nX = random.random()"),
    (RPC, "import grpc"),
    ("services/billing/rpc.py", "from grpc.aio import Server"),
    (STORE, "from sqlalchemy.orm import Session"),
    (STORE, "def f(log, request): log.info('done', request=request)"),
    ("chassis/endpoint.py", "def f(log, message): log.warning('done', message)"),
    ("tests/unit/test_x.py", "def test_it(): assert True"),
    ("tests/unit/test_x.py", "async def test_booking_works(): assert True"),
    (STORE, "amount_minor: float = 1"),
    (STORE, "def f(price: float) -> None: return None"),
    (STORE, "TOTAL = total = 1.5"),
    (STORE, "def f(amount): return float(amount)"),
    (STORE, "async def f(): return Statement(select(1))"),
]
WELL = [
    ("chassis/db.py", "async def f(conn): await conn.execute('COMMIT')"),
    ("services/billing/migrations/versions/0001_x.py", "def f(op): op.execute('COMMIT')"),
    (DOMAIN, "from datetime import time\nNOON = time(12)\ndef f(start): return start.time(), start.date()"),
    (STORE, "from time import monotonic\ndef f(): return monotonic()"),
    (STORE, "from chassis.ids import new_id\nID = new_id()"),
    ("chassis/server.py", "import grpc"),
    (STORE, "def f(log, request): log.info('done', request_id=request.request_id)"),
    ("tests/unit/test_x.py", "def test_a_price_is_found(): assert True"),
    ("tests/support/x.py", "def test_it(): assert True"),
    (STORE, "amount_minor: int = 1\ntotal_s: str = '1.5'\nRATE = 1.5"),
    (STORE, "ALL = Statement(select(1))\ndef _of(x): return Statement(x)"),
]


@pytest.mark.parametrize(("path", "source"), FOUND)
def test_what_breaks_a_rule_is_found(path: str, source: str) -> None:
    found = findings(path, DOC + source)
    assert len(found) == 1
    assert found[0].startswith(f"{path}:")


@pytest.mark.parametrize(("path", "source"), WELL)
def test_what_keeps_the_rules_is_left_alone(path: str, source: str) -> None:
    assert findings(path, DOC + source) == []


def test_a_module_without_a_docstring_is_found_and_an_empty_one_is_not() -> None:
    assert findings("chassis/x.py", "A = 1\n") == [
        "chassis/x.py:1: a module begins with a docstring that says what belongs in it"
    ]
    assert findings("chassis/__init__.py", "") == []
    assert findings("tests/unit/x.py", "A = 1\n") == []


def npm_lock(**package: str) -> str:
    return json.dumps({"packages": {"node_modules/a": {"version": "1.0.0", **package}}}, indent=2)


def test_a_lock_with_an_address_or_without_a_hash_is_found() -> None:
    assert list(lock_findings("requirements.lock", "a==1 \\\n    --hash=sha256:00\n")) == []
    assert len(list(lock_findings("requirements.lock", "a @ https://a.example/a.whl\n"))) == 1
    assert list(lock_findings("package-lock.json", npm_lock(integrity="sha512-0"))) == []
    assert len(list(lock_findings("package-lock.json", npm_lock()))) == 1
    addressed = npm_lock(integrity="sha512-0", resolved="https://a.example/a.tgz")
    assert len(list(lock_findings("package-lock.json", addressed))) == 1
