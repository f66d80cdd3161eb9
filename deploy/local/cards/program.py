"""The card processor as a program of the local stack."""

import sys
from pathlib import Path

from deploy.local.process import HOST, PYTHON, Program, answers_http


def cards(folder: Path, port: int, webhook_url: str) -> Program:
    return Program(
        name="cards",
        command=(sys.executable, "-m", "deploy.local.cards", str(folder), str(port), webhook_url),
        environment=PYTHON,
        ready=lambda pid: answers_http(f"http://{HOST}:{port}/healthz"),
        fault=lambda log: log.strip().rpartition("\n")[2] or None,
    )
