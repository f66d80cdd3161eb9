"""The login page as a program of the local stack."""

import sys
from pathlib import Path

from deploy.local.process import HOST, PYTHON, Program, answers_http


def login(home: Path, port: int, edge_url: str, ca_file: Path | None = None) -> Program:
    return Program(
        name="login",
        command=(sys.executable, "-m", "deploy.local.login", str(home), str(port), edge_url),
        environment={**PYTHON, **({"SSL_CERT_FILE": str(ca_file)} if ca_file else {})},
        ready=lambda pid: answers_http(f"http://{HOST}:{port}/healthz"),
        fault=lambda log: log.strip().rpartition("\n")[2] or None,
    )
