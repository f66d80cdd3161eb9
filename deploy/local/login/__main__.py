"""`python -m deploy.local.login HOME PORT EDGE_URL`; runs until SIGTERM, and not at all in production mode."""

import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from deploy.local.home import Home
from deploy.local.issuer import Issuer
from deploy.local.login.people import STAFF_ROLES, People
from deploy.local.login.protocol import Asked, Codes, Refused, Untrusted, discovery
from deploy.local.pages import Pages, is_ours, open_pages, shared
from deploy.local.process import LocalError

BODY_MAX = 64 << 10
HERE = "http://localhost:* http://127.0.0.1:* https://localhost:* https://127.0.0.1:*"
FIRST_SEARCH = "sample"
"""Finds some of the sample's patients."""


class LoginPages(Pages):
    security = f"default-src 'none'; style-src 'unsafe-inline'; form-action 'self' {HERE}; frame-ancestors 'none'"
    issuer: Issuer
    people: People
    codes: Codes

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not self._is_ours():
            return
        if path == "/healthz":
            self.answer("text/plain", "ok")
        elif path == "/.well-known/openid-configuration":
            self._answer_pages(discovery(self.issuer.name))
        elif path == "/jwks.json":
            self.answer("application/json", self.issuer.jwks.read_text(), headers=shared(self.headers))
        elif path == "/authorize":
            self._authorize(None)
        elif path == "/":
            self._show(None)
        else:
            self.answer("text/plain", "no such page", HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        if not self._is_ours() or (form := self._form()) is None:
            return
        if path == "/token":
            self._exchange({name: values[0] for name, values in form.items()})
        elif path == "/authorize":
            self._authorize(form)
        elif path == "/":
            person = self.people.person(form)
            self._show(None, token=person.token(self.issuer) if person else "", nobody=person is None)
        else:
            self.answer("text/plain", "no such page", HTTPStatus.NOT_FOUND)

    def do_OPTIONS(self) -> None:
        """A page's browser asks before the page may."""
        methods = {"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Allow-Headers": "content-type"}
        self.answer("text/plain", "", headers=shared(self.headers) | methods)

    def _authorize(self, form: Mapping[str, list[str]] | None) -> None:
        """The page; or, once it was sent, back to the client."""
        query = dict(parse_qsl(urlsplit(self.path).query))
        try:
            asked = Asked.of(query)
        except Untrusted as error:
            self.answer_page("login/refused.html.j2", HTTPStatus.BAD_REQUEST, why=str(error))
            return
        try:
            asked.check(query)
        except Refused as error:
            self._redirect(asked, error.content)
            return
        if form is None:
            self._show(asked)
        elif "cancel" in form:
            self._redirect(asked, {"error": "access_denied", "error_description": "the sign-in was given up"})
        elif person := self.people.person(form):
            self._redirect(asked, {"code": self.codes.issue(asked, person)})
        else:
            self._show(asked, nobody=True)

    def _show(self, asked: Asked | None, *, token: str = "", nobody: bool = False) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        find = query.pop("find", FIRST_SEARCH)
        self.answer_page(
            "login/page.html.j2",
            asked=asked,
            query=query,
            action=f"/authorize?{urlencode(query)}" if asked else "/",
            find=find,
            patients=self.people.patients(find),
            chain=self.people.chain,
            sites=self.people.sites,
            roles=STAFF_ROLES,
            token=token,
            nobody=nobody,
            edge=self.people.edge,
        )

    def _redirect(self, asked: Asked, answer: Mapping[str, str]) -> None:
        state = {"state": asked.state} if asked.state else {}
        query = urlencode({**answer, **state, "iss": self.issuer.name})
        target = f"{asked.redirect_uri}{'&' if '?' in asked.redirect_uri else '?'}{query}"
        self.answer("text/plain", "", HTTPStatus.SEE_OTHER, {"Location": target, "Cache-Control": "no-store"})

    def _exchange(self, form: Mapping[str, str]) -> None:
        headers = {**shared(self.headers), "Cache-Control": "no-store"}
        try:
            self.answer_json(self.codes.exchange(form, self.issuer), headers=headers)
        except Refused as error:
            self.answer_json(error.content, HTTPStatus.BAD_REQUEST, headers)

    def _form(self) -> dict[str, list[str]] | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > BODY_MAX:
            self.answer("text/plain", "a form is sent, and a small one", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return None
        return parse_qs(self.rfile.read(int(length)).decode(errors="replace"))

    def _is_ours(self) -> bool:
        ours = is_ours(self.headers)
        if not ours:
            self.answer("text/plain", "for this machine only", HTTPStatus.FORBIDDEN)
        return ours

    def _answer_pages(self, content: object) -> None:
        self.answer_json(content, headers=shared(self.headers))


def main() -> None:
    folder, port, edge_url = sys.argv[1:]
    home = Home(Path(folder))
    try:
        issuer = home.issuer
    except LocalError as error:
        sys.exit(str(error))
    people = People(home.sites_file, edge_url, issuer)
    open_pages(int(port), LoginPages, issuer=issuer, people=people, codes=Codes()).serve_forever()


if __name__ == "__main__":
    main()
