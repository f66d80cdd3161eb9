"""Envoy's configuration, from the services found in the descriptor image and a few settings.

Every call gets a route of its own: its name is what the access log holds, and streams alone run without a time limit.

    python -m deploy.envoy.config --jwks https://… --issuer https://… --service patients=patients:50051 …
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from jinja2 import Environment, FileSystemLoader, StrictUndefined

TIMEOUT_S = 30
BODY_MAX = 1 << 20
TRANSCODER = "envoy.filters.http.grpc_json_transcoder"
UNTOUCHED = f'{{ {TRANSCODER}: {{ "@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true }} }}'
"""What a route says so that the transcoder leaves it alone."""
STATUS_CODES = (
    (400, 3),
    (401, 16),
    (403, 7),
    (404, 5),
    (408, 4),
    (413, 8),
    (415, 3),
    (429, 8),
    (502, 14),
    (503, 14),
    (504, 4),
)
"""HTTP statuses that the edge itself answers, and their counterpart in google.rpc.Code."""
LOCAL_ORIGINS = (r"https?://(localhost|127\.0\.0\.1)(:\d+)?",)


@dataclass(frozen=True, slots=True)
class Service:
    """`name` is the second part of its proto packages: atoll.<name>.v1."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Edge:
    services: Sequence[Service]
    listen: str
    admin: str
    issuer: str
    jwks: str
    """An https URL, or a file."""
    descriptors: str
    access_log: str
    audience: str = "atoll"
    origins: Sequence[str] = LOCAL_ORIGINS
    """Regular expressions for the web origins whose pages may call."""


@dataclass(frozen=True, slots=True)
class EdgeCall:
    name: str
    """atoll.patients.v1.PatientService/GetPatient"""
    cluster: str
    streams: bool


def render(edge: Edge, image: bytes) -> str:
    """`image` is the content of gen/image.binpb, which Envoy itself reads from `edge.descriptors`."""
    calls = list(public_calls(image, [service.name for service in edge.services]))
    issuer = urlsplit(edge.jwks)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  # YAML, not HTML; values from outside pass through tojson.
    )
    return environment.get_template("envoy.yaml.j2").render(
        edge=edge,
        calls=calls,
        grpc_services=sorted({call.name.partition("/")[0] for call in calls}),
        issuer_host=issuer.hostname,
        issuer_address=f"{issuer.hostname}:{issuer.port or 443}",
        status_codes=STATUS_CODES,
        timeout_s=TIMEOUT_S,
        body_max=BODY_MAX,
        transcoder=TRANSCODER,
        untouched=UNTOUCHED,
        address=_address,
    )


def public_calls(image: bytes, services: Sequence[str]) -> Iterator[EdgeCall]:
    files = FileDescriptorSet.FromString(image)
    for file in files.file:
        for name in services:
            if file.package.startswith(f"atoll.{name}.v"):
                for service in file.service:
                    for method in service.method:
                        full_name = f"{file.package}.{service.name}/{method.name}"
                        yield EdgeCall(full_name, name, method.server_streaming or method.client_streaming)


def _address(host_port: str) -> str:
    host, _, port = host_port.rpartition(":")
    return f'{{ socket_address: {{ address: "{host}", port_value: {int(port)} }} }}'


def main() -> None:
    arguments = argparse.ArgumentParser(description="Writes Envoy's configuration to standard output")
    arguments.add_argument("--listen", default="0.0.0.0:8080")  # In a container of its own.
    arguments.add_argument("--admin", default="127.0.0.1:9901")
    arguments.add_argument("--issuer", required=True)
    arguments.add_argument("--jwks", required=True, help="an https URL, or a file that Envoy can read")
    arguments.add_argument("--image", type=Path, default=Path("gen/image.binpb"))
    arguments.add_argument("--descriptors", default="/etc/envoy/image.binpb", help="where Envoy finds the image")
    arguments.add_argument("--access-log", default="/dev/stdout")
    arguments.add_argument("--origin", action="append", help="regular expression of a web origin; may be repeated")
    arguments.add_argument("--service", action="append", required=True, metavar="NAME=HOST:PORT")
    given = arguments.parse_args()
    edge = Edge(
        services=[Service(*each.split("=", 1)) for each in given.service],
        listen=given.listen,
        admin=given.admin,
        issuer=given.issuer,
        jwks=given.jwks,
        descriptors=given.descriptors,
        access_log=given.access_log,
        origins=given.origin or LOCAL_ORIGINS,
    )
    print(render(edge, given.image.read_bytes()))


if __name__ == "__main__":
    main()
