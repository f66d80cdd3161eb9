"""What the pages of the local stack share: small answers over HTTP, to this machine only."""

import json
import re
from collections.abc import Mapping
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from deploy.local.process import HOST

OURS = re.compile(r"(localhost|127\.0\.0\.1)(:\d+)?")
"""Hosts and, after http://, origins of this machine: a page elsewhere that was given its address gets no further."""
PAGES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)


class Pages(BaseHTTPRequestHandler):
    security: str
    """The pages' content security policy."""

    def answer(
        self, kind: str, text: str, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
    ) -> None:
        self.answer_bytes(f"{kind}; charset=utf-8", text.encode(), status, headers)

    def answer_bytes(
        self, kind: str, body: bytes, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", self.security)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def answer_page(self, template: str, status: HTTPStatus = HTTPStatus.OK, **content: object) -> None:
        self.answer("text/html", PAGES.get_template(template).render(content), status)

    def answer_json(
        self, content: object, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
    ) -> None:
        self.answer("application/json", json.dumps(content), status, headers)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what matters is on the pages."""


def open_pages(port: int, pages: type[Pages], **attributes: object) -> ThreadingHTTPServer:
    """`attributes` are what each of its pages finds as its own."""
    return ThreadingHTTPServer((HOST, port), type("Handler", (pages,), attributes))


def is_ours(headers: Message) -> bool:
    """Whether it was asked for by a name of this machine: not by one that somebody else has pointed here."""
    return OURS.fullmatch(headers.get("Host", "")) is not None


def is_from_here(headers: Message) -> bool:
    """Whether a browser sends it from a page of this very address, which one that hides its own ("null") is not;
    programs name no origin, and are let in."""
    origin = headers.get("Origin")
    return origin is None or origin == f"http://{headers.get('Host')}"


def shared(headers: Message) -> dict[str, str]:
    """What lets pages of this machine read the answer."""
    origin = headers.get("Origin", "")
    ours = OURS.fullmatch(origin.partition("://")[2])
    return {"Vary": "Origin", **({"Access-Control-Allow-Origin": origin} if ours else {})}
