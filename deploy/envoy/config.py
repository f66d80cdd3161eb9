"""Envoy's configuration, from the services found in the descriptor image and a few settings.

Every call gets a route of its own: its name is what the access log holds, and streams alone run without a time limit.

    python -m deploy.envoy.config --issuer https://… --service patients=patients:50051 …
"""

import argparse
import asyncio
import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.json_format import MessageToDict
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chassis.errors import RateLimited
from chassis.keys import jwks_uri
from chassis.status import status_of
from deploy.envoy.fields import fields_lua

TIMEOUT_S = 30
BODY_MAX = 1 << 20
TRANSCODER = "envoy.filters.http.grpc_json_transcoder"
UNTOUCHED = f'{{ {TRANSCODER}: {{ "@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true }} }}'
"""What a route says so that the transcoder leaves it alone."""
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
STATUS_CODES = (
    (400, 3),
    (401, 16),
    (403, 7),
    (404, 5),
    (408, 4),
    (413, 8),
    (415, 3),
    (502, 14),
    (503, 14),
    (504, 4),
)
"""HTTP statuses that the edge itself answers, and their counterpart in google.rpc.Code."""
COMPRESSED = (
    "application/json",
    "application/javascript",
    "application/yaml",
    "image/svg+xml",
    "text/css",
    "text/html",
    "text/javascript",
    "text/plain",
    "text/yaml",
)
"""Types of content that is worth it. Frames of gRPC and gRPC-Web are none of them."""
COMPRESSED_MIN = 1024
"""Bytes. Less is not worth the work, and fits into one packet anyway."""
LIMITED = status_of(RateLimited())
CALLERS_KNOWN_MAX = 20_000
"""Callers, and addresses, of which the edge keeps count at once. Who was quiet longest is forgotten first."""
PAGES = {
    "/openapi.json": ("openapi.json", "application/json"),
    "/docs": ("docs/index.html", "text/html; charset=utf-8"),
    "/docs/": ("docs/index.html", "text/html; charset=utf-8"),
    "/docs/viewer.js": ("docs/viewer.js", "text/javascript; charset=utf-8"),
    "/docs/viewer.css": ("docs/viewer.css", "text/css; charset=utf-8"),
    "/docs/swagger-ui-bundle.js": ("docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    "/docs/swagger-ui.css": ("docs/swagger-ui.css", "text/css; charset=utf-8"),
    "/docs/favicon-32x32.png": ("docs/favicon-32x32.png", "image/png"),
}
"""Path → file below `Edge.pages`, and its type. Open to all."""
NO_GRPC_NAME = "[^:].*[^0-9a-z_.-].*|[^:0-9a-z_.-].*"
"""Names of headers that are none of gRPC's, but for those that HTTP/2 itself has."""
PAGE_MAX = 8 << 20
"""Bytes of a page, which Envoy keeps in memory."""
PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Swagger UI writes styles into its elements.
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
LOCAL_ORIGINS = (r"https?://(localhost|127\.0\.0\.1)(:\d+)?",)


@dataclass(frozen=True, slots=True)
class Service:
    """`name` is the second part of its proto packages: atoll.<name>.v1."""

    name: str
    address: str
    tls_name: str = ""
    """What its certificate is called. If not given: as the host of its address. With TLS to services only."""

    @property
    def certified_as(self) -> str:
        return self.tls_name or self.address.rpartition(":")[0]


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two files in PEM that Envoy can read. It reads them anew when one is moved into their folder."""

    cert_file: str
    key_file: str


@dataclass(frozen=True, slots=True)
class Inside:
    """Mutual TLS to services: what the edge shows to them, and whom it trusts."""

    certificate: Certificate
    ca_file: str


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls a second in the long run, and how many may come at once after a rest."""

    per_s: int
    burst: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one edge: several do not count together."""

    caller: Rate = Rate(200, 1_000)
    """Of one subject of one issuer and chain."""
    address: Rate = Rate(2_000, 4_000)
    """Of one address, before any token is looked at: a whole site may share it."""
    connections: int = 10_000
    """From everybody. Envoy has no bound for those of one address."""
    calls_per_connection: int = 100
    """At once; one more waits in the caller's own HTTP/2 library."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """Where scheduling hands out tokens of service accounts, over HTTP, and under which name it signs them."""

    address: str
    issuer: str
    audience: str = "atoll"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens are let through."""

    name: str
    jwks: str
    """An https URL, or a file."""
    audience: str = "atoll"

    @property
    def host(self) -> str:
        """Of the URL; empty of a file."""
        return (urlsplit(self.jwks).hostname or "") if self.jwks.startswith("https://") else ""

    @property
    def address(self) -> str:
        return f"{self.host}:{urlsplit(self.jwks).port or 443}"


TOKEN_PATHS = "/oauth/token", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"
"""Asked for no token: the first gives one to whoever proves to have a key, the others say what everybody may know."""
DEFAULT_LIMITS = Limits()


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
    others: Sequence[Issuer] = ()
    """Further issuers, as services are told of them by ATOLL_ISSUERS."""
    origins: Sequence[str] = LOCAL_ORIGINS
    """Regular expressions for the web origins whose pages may call."""
    accounts: Accounts | None = None
    """None: no service account calls."""
    limits: Limits = DEFAULT_LIMITS
    certificate: Certificate | None = None
    """What callers are shown. None: they speak in the clear."""
    hsts_s: int = 31_536_000
    """How long a browser that came once speaks TLS only with this host, on any port. Said over TLS; 0 is never."""
    inside: Inside | None = None
    """None: services speak in the clear, or something around them does better."""
    secrets: str = "/etc/envoy"
    """Where Envoy finds the files of `secrets`."""
    pages: str = ""
    """Folder of the API's document and of the page that shows it, as tools.gen writes them into gen/. Empty: neither is
    shown."""
    trusted_hops: int = 0
    """Load balancers before the edge that write X-Forwarded-For: behind them, a caller's address is found there."""


@dataclass(frozen=True, slots=True)
class EdgeCall:
    name: str
    """atoll.patients.v1.PatientService/GetPatient"""
    cluster: str
    streams: bool


def render(edge: Edge, image: bytes) -> str:
    """`image` is the content of gen/image.binpb, which Envoy itself reads from `edge.descriptors`."""
    calls = list(public_calls(image, [service.name for service in edge.services]))
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
        token_paths=TOKEN_PATHS if edge.accounts else (),
        grpc_services=sorted({call.name.partition("/")[0] for call in calls}),
        issuers=[Issuer(edge.issuer, edge.jwks, edge.audience), *edge.others],
        fields=fields_lua(image, [service.name for service in edge.services]),
        pages={path: (f"{edge.pages}/{file}", kind) for path, (file, kind) in PAGES.items()} if edge.pages else {},
        page_max=PAGE_MAX,
        no_grpc_name=NO_GRPC_NAME,
        page_policy=PAGE_POLICY,
        own_answers=_own_answers(),
        limited_bin=base64.b64encode(LIMITED.SerializeToString()).decode(),
        compressed=COMPRESSED,
        compressed_min=COMPRESSED_MIN,
        callers_known_max=CALLERS_KNOWN_MAX,
        timeout_s=TIMEOUT_S,
        body_max=BODY_MAX,
        transcoder=TRANSCODER,
        untouched=UNTOUCHED,
        address=_address,
    )


def secrets(edge: Edge) -> dict[str, str]:
    """By name of a file, which stands in `edge.secrets`: Envoy watches only certificates that have one of their own."""
    inside = edge.inside.certificate if edge.inside else None
    given = {"public": edge.certificate, "inside": inside}
    return {f"{name}.json": _secret(name, each) for name, each in given.items() if each}


def _secret(name: str, certificate: Certificate) -> str:
    tls = {
        "certificate_chain": {"filename": certificate.cert_file},
        "private_key": {"filename": certificate.key_file},
    }
    secret = {"@type": f"{TLS}.Secret", "name": name, "tls_certificate": tls}
    return json.dumps({"resources": [secret]}, indent=2)


def _own_answers() -> dict[int, object]:
    """HTTP status → what it looks like in JSON, if the edge answers with it."""
    plain = {http: {"code": code, "message": "%LOCAL_REPLY_BODY%", "details": []} for http, code in STATUS_CODES}
    return {**plain, 429: MessageToDict(LIMITED)}


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


def _rate(text: str) -> Rate:
    per_s, _, burst = text.partition(":")
    return Rate(int(per_s), int(burst or per_s))


def _listened(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return text


def _service(text: str) -> Service:
    name, _, rest = text.partition("=")
    address, _, tls_name = rest.partition(",")
    if not (name and address):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=HOST:PORT[,TLS_NAME]")
    return Service(name, _listened(address), tls_name)


def _accounts(text: str) -> Accounts:
    issuer, _, endpoint = text.partition("=")
    if not (issuer and endpoint):
        raise argparse.ArgumentTypeError(f"{text!r} is not ISSUER=HOST:PORT")
    return Accounts(_listened(endpoint), issuer)


def main() -> None:
    arguments = argparse.ArgumentParser(description="Writes Envoy's configuration to standard output")
    arguments.add_argument("--listen", type=_listened, default="0.0.0.0:8080")  # In a container of its own.
    arguments.add_argument("--admin", type=_listened, default="127.0.0.1:9901")
    arguments.add_argument("--issuer", required=True)
    arguments.add_argument(
        "--jwks", help="an https URL, or a file that Envoy can read; if not given, what its discovery document says now"
    )
    arguments.add_argument("--audience", default="atoll", help="of its tokens")
    arguments.add_argument(
        "--also", nargs=3, action="append", default=[], metavar=("ISSUER", "AUDIENCE", "JWKS"), help="a further issuer"
    )
    arguments.add_argument("--accounts", type=_accounts, metavar="ISSUER=HOST:PORT", help="scheduling's token endpoint")
    arguments.add_argument("--image", type=Path, default=Path("gen/image.binpb"))
    arguments.add_argument("--descriptors", default="/etc/envoy/image.binpb", help="where Envoy finds the image")
    arguments.add_argument(
        "--pages", default="", help="where Envoy finds openapi.json and docs/; none are shown if empty"
    )
    arguments.add_argument("--access-log", default="/dev/stdout")
    arguments.add_argument("--origin", action="append", help="regular expression of a web origin; may be repeated")
    arguments.add_argument("--certificate", nargs=2, metavar=("CERT", "KEY"), help="shown to callers; else no TLS")
    arguments.add_argument("--inside", nargs=3, metavar=("CERT", "KEY", "CA"), help="mutual TLS to services")
    arguments.add_argument("--secrets", default="/etc/envoy", help="where Envoy finds what --write-secrets wrote")
    arguments.add_argument("--write-secrets", type=Path, metavar="FOLDER", help="needed with either of the two above")
    arguments.add_argument("--trusted-hops", type=int, default=0, help="load balancers that write X-Forwarded-For")
    arguments.add_argument("--caller-rate", type=_rate, default=DEFAULT_LIMITS.caller, metavar="PER_SECOND[:BURST]")
    arguments.add_argument("--address-rate", type=_rate, default=DEFAULT_LIMITS.address, metavar="PER_SECOND[:BURST]")
    arguments.add_argument("--connections", type=int, default=DEFAULT_LIMITS.connections, help="at once")
    arguments.add_argument(
        "--service", type=_service, action="append", required=True, metavar="NAME=HOST:PORT[,TLS_NAME]"
    )
    given = arguments.parse_args()
    try:
        image = given.image.read_bytes()
        keys = given.jwks or asyncio.run(jwks_uri(given.issuer))
    except OSError as error:
        arguments.error(f"--image {given.image}: {error.strerror}")
    except (ValueError, httpx.HTTPError) as error:
        arguments.error(f"--issuer {given.issuer} does not say where its keys are ({error}): name them by --jwks")
    edge = Edge(
        services=given.service,
        listen=given.listen,
        admin=given.admin,
        issuer=given.issuer,
        accounts=given.accounts,
        jwks=keys,
        audience=given.audience,
        others=[Issuer(issuer, jwks, audience) for issuer, audience, jwks in given.also],
        descriptors=given.descriptors,
        access_log=given.access_log,
        pages=given.pages,
        origins=given.origin or LOCAL_ORIGINS,
        limits=Limits(given.caller_rate, given.address_rate, given.connections),
        trusted_hops=given.trusted_hops,
        certificate=Certificate(*given.certificate) if given.certificate else None,
        inside=Inside(Certificate(*given.inside[:2]), given.inside[2]) if given.inside else None,
        secrets=given.secrets,
    )
    if (edge.certificate or edge.inside) and not given.write_secrets:
        arguments.error("--certificate and --inside need --write-secrets")
    for name, text in secrets(edge).items():
        (given.write_secrets / name).write_text(text)
    print(render(edge, image))


if __name__ == "__main__":
    main()
