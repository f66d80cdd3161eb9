"""No line that a process writes holds what may not be in logs: each way in which an error reaches them has a canary."""

import json
import subprocess
import sys

import pytest

from chassis.logs import masked
from deploy.local.process import PYTHON, ROOT

PROCESS = """
import asyncio, logging, sys, threading
import asyncpg, structlog
from chassis.logs import configure_process, log_of_loop
configure_process("notes")
log = structlog.get_logger()

def logged(error, cause=None):
    try:
        raise error from cause
    except Exception:
        log.exception("rpc.bug")

logged(KeyError("CANARY"), ValueError("CANARY"))
logged(asyncpg.DataError("invalid input for query argument $1: 'CANARY'"))
violation = asyncpg.UniqueViolationError("duplicate key")
violation.detail = "Key (email)=(CANARY) already exists."
logged(violation)
logged(OSError("cannot reach postgresql://patients:CANARY@db:5432/patients"))
logged(TypeError("of canary-CANARY@example.test, Bearer CANARY"))
logging.getLogger("library").error("could not send to %s", "CANARY")
try:
    raise ValueError("CANARY")
except ValueError:
    logging.getLogger("library").exception("failed")

async def forgotten():
    async def fails():
        raise ValueError("CANARY")
    asyncio.get_running_loop().set_exception_handler(log_of_loop)
    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task

asyncio.run(forgotten())

def fails():
    raise ValueError("CANARY")

thread = threading.Thread(target=fails)
thread.start()
thread.join()
raise ValueError("CANARY")
"""


def test_no_error_says_in_the_logs_what_was_in_the_data_whichever_way_it_comes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROCESS], env={**PYTHON, "PATH": ""}, cwd=ROOT, capture_output=True, text=True
    )
    assert "CANARY" not in done.stderr + done.stdout
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == [
        *5 * ["rpc.bug"], "library", "library", "loop.trouble", "thread.crashed", "crashed",
    ]  # fmt: skip
    assert lines[3]["exception"][0]["says"] == "cannot reach postgresql://***db:5432/patients"
    assert lines[5]["template"] == "could not send to %s"
    for line in lines[6:]:
        assert line["exception"][0]["type"] == "ValueError"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("postgresql://user:secret@db/x", "postgresql://***db/x"),
        ("nats://token@nats:4222", "nats://***nats:4222"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("got eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln here", "got *** here"),
        ("mail to jo.doe+x@example.co.uk failed", "mail to *** failed"),
        ("text to +15055550123 failed", "text to *** failed"),
        ("text to (505) 555-0123 failed", "text to *** failed"),
        ("text to 505-555-0123", "text to ***"),
        ("[Errno 111] Connect call failed ('127.0.0.1', 5432)", "[Errno 111] Connect call failed ('127.0.0.1', 5432)"),
        ("at 2027-03-01T16:00:00", "at 2027-03-01T16:00:00"),
        ("course_01h455vb4pex5vsknk084sn02q", "course_01h455vb4pex5vsknk084sn02q"),
    ],
)
def test_what_looks_like_a_secret_or_a_way_to_reach_somebody_is_masked(said: str, told: str) -> None:
    assert masked(said) == told
