"""The booking page in a real browser, on a stack of its own: `python -m tests.web [OPTIONS OF NODE'S TEST RUNNER…]`.

Starts the stack with the sample on free ports, builds the page for it, serves that as `make web` does, and runs the
tests beside this file. What they are told of the stack is in stack.ts.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.progress import Progress

from chassis.times import utc_now
from cli.client import open_channel
from cli.sample.load import Sample, westernmost_day
from deploy.local.process import HOST, answers_http, free_ports
from deploy.local.stack import Options, Stack
from tools import node, web
from tools.gen import ROOT

FOLDER = Path(__file__).parent
PATIENTS = 5
SERVES_WITHIN_S = 30.0
STAFF = ("ROLE_FRONT_DESK", "ROLE_CLINICIAN")


def main() -> None:
    node.setup()
    sys.exit(asyncio.run(run(sys.argv[1:])))


async def run(options: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="atoll-web-") as folder:
        async with Stack(Options.anywhere(Path(folder))) as stack, open_channel(stack.info.edge_url) as channel:
            sample = Sample(stack.home, stack.info, channel, westernmost_day(utc_now()), PATIENTS)
            await sample.load(None, Progress(disable=True))
            web.build(stack.info)
            with serving(stack) as page_url:
                told = {"TEST_PAGE_URL": page_url, "TEST_STACK": json.dumps(description(stack, sample))}
                return await asyncio.to_thread(tests, options, told)


def tests(options: list[str], told: Mapping[str, str]) -> int:
    files = sorted(str(path) for path in FOLDER.glob("*.test.ts"))
    command = [str(node.PROGRAMS / "node"), "--test", "--test-concurrency=1", "--test-timeout=180000", *options, *files]
    return subprocess.run(command, cwd=ROOT, env=node.environment(told), check=False).returncode


@contextmanager
def serving(stack: Stack) -> Iterator[str]:
    (port,) = free_ports(1)
    url, environment = f"http://{HOST}:{port}/", node.environment(web.settings(stack.info))
    server = subprocess.Popen([node.PROGRAMS / "node", *web.server(port)], cwd=web.PAGE, env=environment)
    try:
        until = time.monotonic() + SERVES_WITHIN_S
        while not answers_http(url) and time.monotonic() < until:
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()


def description(stack: Stack, sample: Sample) -> object:
    """Staff may do at every site what their roles allow; a patient of the sample is cleared for a course like it."""
    token = stack.home.issuer.token("web-tests", sample.chain_id, {role: ["*"] for role in STAFF})
    cleared = [
        {
            "patientId": booked.patient_id,
            "siteId": booked.site.id,
            "protocolVersionId": booked.protocol.version_id,
            "routeCode": booked.course.route_code,
        }
        for booked in sample.booked
    ]
    return {"apiUrl": stack.info.edge_url, "staffToken": token, "cleared": cleared}


if __name__ == "__main__":
    main()
