"""The whole system on one machine: PostgreSQL, NATS, mail and texts, login, cards, Envoy, four services.

    async with Stack(Options.anywhere(folder)) as stack:
        stack.info.edge_url

Everything it starts ends with it, however it ends; see leash.py.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import psutil

from chassis.provision import database_urls, provision
from deploy.envoy.config import Accounts, Edge, Limits, Rate, Service
from deploy.local import envoy, mail, nats, postgres, services
from deploy.local.cards.accounts import ACCOUNT, take_cards
from deploy.local.cards.keys import CardKeys
from deploy.local.cards.program import cards
from deploy.local.certificates import Authority
from deploy.local.home import Home, Lock, ProcessInfo, ServiceInfo, StackInfo, wait_for_leftovers
from deploy.local.login.program import login
from deploy.local.process import HOST, ROOT, SPARING, LocalError, Program, free_ports, reason, require_free
from deploy.local.services import SERVICES, ServicePorts, Surroundings
from deploy.local.supervisor import Report, State, Supervisor, together
from deploy.local.texts.accounts import take_texts

EDGE_PORT, MAIL_PORT, TEXTS_PORT, LOGIN_PORT, CARDS_PORT = 8080, 8025, 8026, 8090, 8095
LIMITS = Limits(caller=Rate(2_000, 10_000), address=Rate(20_000, 40_000))
"""Everybody here has one address, and programs of one subject load samples and measure: a person needs far less."""
IMAGE = ROOT / "gen" / "image.binpb"
SHARED_BUFFERS = "32MB"
"""Of PostgreSQL, which shares this machine with whatever else runs: what it reads is in the system's cache as well."""


@dataclass(frozen=True)
class Options:
    home: Home
    edge_port: int | None = None
    """None: any free one."""
    mail_port: int | None = None
    login_port: int | None = None
    cards_port: int | None = None
    texts_port: int | None = None
    clock: Path | None = None
    """A file that drives business time in all services; see chassis.clock."""
    postgres_url: str | None = None
    """A server to use, as its administrator, instead of the embedded one."""
    nats_url: str | None = None
    services: Sequence[str] = SERVICES
    tls: bool = False
    """For callers of the edge, and mutually between the edge and services, by an authority made here."""

    @classmethod
    def from_environment(cls) -> "Options":
        home = Home.default()
        return cls(
            home=home,
            edge_port=_port("ATOLL_PORT", EDGE_PORT),
            mail_port=_port("ATOLL_MAIL_PORT", MAIL_PORT),
            login_port=_port("ATOLL_LOGIN_PORT", LOGIN_PORT),
            cards_port=_port("ATOLL_CARDS_PORT", CARDS_PORT),
            texts_port=_port("ATOLL_TEXTS_PORT", TEXTS_PORT),
            clock=home.clock if home.clock.exists() else None,
            postgres_url=os.environ.get("ATOLL_POSTGRES_URL") or None,
            nats_url=os.environ.get("ATOLL_NATS_URL") or None,
        )

    @classmethod
    def anywhere(cls, folder: Path, clock: Path | None = None, *, tls: bool = False) -> "Options":
        """On free ports, beside whatever else runs on this machine."""
        return cls(home=Home(folder.resolve()), clock=clock, tls=tls)


@dataclass(frozen=True)
class Ports:
    edge: int
    mail: int
    login: int
    cards: int
    texts: int
    webhooks: int
    texting: int
    smtp: int
    tokens: int
    envoy_admin: int
    nats: int
    nats_monitor: int
    services: dict[str, ServicePorts]

    @classmethod
    def choose(cls, options: Options) -> "Ports":
        free = free_ports(12 + 3 * len(options.services))
        edge, page, login, cards, texts, hooks, texting, smtp, tokens, admin, events, monitor, *rest = free
        threes = (ServicePorts(*rest[start : start + 3]) for start in range(0, len(rest), 3))
        named = dict(zip(options.services, threes, strict=True))
        chosen = options.edge_port or edge, options.mail_port or page, options.login_port or login
        others = options.cards_port or cards, options.texts_port or texts
        return cls(*chosen, *others, hooks, texting, smtp, tokens, admin, events, monitor, named)


class Stack:
    info: StackInfo
    """Once it serves."""

    def __init__(self, options: Options, report: Report = lambda name, state, detail: None) -> None:
        self.options, self.home, self._report = options, options.home, report
        self._supervisor = Supervisor(self.home.logs, report, self._record)
        self._lock: Lock | None = None
        self._authority: Authority | None = None

    @property
    def names(self) -> list[str]:
        """Of its processes, in the order of start."""
        embedded = (("postgres", self.options.postgres_url), ("nats", self.options.nats_url))
        return [name for name, url in embedded if url is None] + [
            "mail",
            "login",
            "cards",
            "envoy",
            *self.options.services,
        ]

    async def __aenter__(self) -> "Stack":
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _start(self) -> None:
        options, home, supervisor = self.options, self.home, self._supervisor
        self._prepare()
        if options.nats_url:
            await _require_nats(options.nats_url)
        ports = Ports.choose(options)
        home.issuer.serve_at(_url(ports.login))
        home.service_token.touch(mode=0o600)
        home.service_token.write_text(home.issuer.service_token("services"))
        server_url = await self._start_postgres()
        nats_url = options.nats_url or nats.nats_url(ports.nats)
        self.info = _describe(options, ports, server_url, nats_url)
        take_cards(home, self.info.cards_url)
        take_texts(home, self.info.texts_url, self.info.texting_url)
        around = Surroundings(
            nats_url=nats_url,
            issuer=home.issuer.name,
            jwks=home.issuer.jwks,
            service_token=home.service_token,
            smtp_port=ports.smtp,
            patients_address=self._address("patients"),
            billing_address=self._address("billing"),
            document_keys=home.document_keys,
            message_keys=home.message_keys,
            record_keys=home.record_keys,
            card_accounts=home.card_accounts,
            webhook_port=ports.webhooks,
            text_accounts=home.text_accounts,
            texting_port=ports.texting,
            audit_heads=home.audit_heads,
            audit_key=home.audit_key,
            account_keys=home.account_keys,
            account_jwks=home.account_jwks,
            account_issuer=self.info.edge_url,
            token_listen=f"{HOST}:{ports.tokens}",
            clock=options.clock,
            authority=self._authority,
        )
        programs = [
            services.serve(name, ports.services[name], each.databases, around)
            for name, each in self.info.services.items()
        ]
        halves = [half for half in (programs[::2], programs[1::2]) if half]
        others = asyncio.Event()
        await together(
            self._start_others(ports, others), *(self._start_services(half, ports, others) for half in halves)
        )
        self._record()
        supervisor.watch()

    def _address(self, service: str) -> str:
        """Empty where it is not started."""
        return self.info.services[service].address if service in self.info.services else ""

    def _prepare(self) -> None:
        """Whatever can be refused is refused before anything starts."""
        options, home = self.options, self.home
        needed = (postgres, options.postgres_url), (nats, options.nats_url), (envoy, None)
        for module, url in needed:
            if url is None:
                module.installed()
        try:
            self._lock = Lock(home)
            home.logs.mkdir(exist_ok=True)
        except OSError as error:
            raise LocalError(f"{home.folder} cannot be used: {error.strerror}; set ATOLL_HOME") from error
        wait_for_leftovers(home)
        if options.edge_port:
            require_free(options.edge_port, "the edge", "ATOLL_PORT")
        if options.mail_port:
            require_free(options.mail_port, "the mail page", "ATOLL_MAIL_PORT")
        if options.login_port:
            require_free(options.login_port, "the login page", "ATOLL_LOGIN_PORT")
        if options.cards_port:
            require_free(options.cards_port, "the card processor", "ATOLL_CARDS_PORT")
        if options.texts_port:
            require_free(options.texts_port, "the page of texts", "ATOLL_TEXTS_PORT")
        for name in (*self.names, "migrate", "access"):
            log = home.logs / f"{name}.log"
            if log.exists():
                log.replace(home.logs / f"{name}.previous.log")
        home.make_keys()
        if options.tls:
            self._authority = Authority.open(home.certificates)

    async def _start_postgres(self) -> str:
        if url := self.options.postgres_url:
            await _require_postgres(url)
            return url
        self._report("postgres", State.STARTING, "")
        program = postgres.postgres(self.home.postgres_data, self.home.logs, shared_buffers=SHARED_BUFFERS)
        await self._supervisor.launch(replace(program, environment=SPARING), rank=1)
        return postgres.postgres_url(self.home.postgres_data)

    async def _start_others(self, ports: Ports, started: asyncio.Event) -> None:
        """NATS, the sink of mail and texts, the login page, the card processor and the edge."""
        home, supervisor = self.home, self._supervisor
        if self.options.nats_url is None:
            program = nats.nats(home.folder / "nats", ports.nats, ports.nats_monitor)
            await supervisor.launch(program, rank=2, port=ports.nats)
        edge_url = _url(ports.edge, tls=self.options.tls)
        ca_file = self._authority.ca_file if self._authority else None
        webhooks = f"{_url(ports.webhooks)}/v1/processorWebhooks/{ACCOUNT}"
        texts = mail.Texts(home.texts, ports.texts, _url(ports.texting))
        await together(
            supervisor.launch(mail.mail(home.mail, ports.smtp, ports.mail, texts), rank=2, port=ports.mail),
            supervisor.launch(login(home.folder, ports.login, edge_url, ca_file), rank=2, port=ports.login),
            supervisor.launch(cards(home.cards, ports.cards, webhooks), rank=2, port=ports.cards),
        )
        folder, (certificate, inside) = home.folder / "envoy", envoy.shown_by(self._authority)
        edge = Edge(
            services=[Service(name, f"{HOST}:{each.calls}", tls_name=name) for name, each in ports.services.items()],
            listen=f"{HOST}:{ports.edge}",
            admin=f"{HOST}:{ports.envoy_admin}",
            issuer=home.issuer.name,
            jwks=str(home.issuer.jwks),
            accounts=Accounts(f"{HOST}:{ports.tokens}", edge_url),
            descriptors=str(IMAGE),
            access_log=str(home.logs / "access.log"),
            pages=str(IMAGE.parent),
            limits=LIMITS,
            hsts_s=0,  # A browser would hold every port of this host to it.
            secrets=str(folder),
            certificate=certificate,
            inside=inside,
        )
        await supervisor.launch(envoy.envoy(folder, edge), rank=3, port=ports.edge)
        started.set()

    async def _start_services(self, programs: Sequence[Program], ports: Ports, others: asyncio.Event) -> None:
        """On the newest schema, once the others are there. By halves of them: Alembic and PostgreSQL wait for each
        other, so that one alone keeps one processor busy. Their roles have the administrator's password, if the server
        asks for one."""
        server_url, names = self.info.postgres_url, [each.name for each in programs]
        for name in names:
            self._report(name, State.MIGRATING, "")
        await together(*(provision(server_url, name, password=_password(server_url)) for name in names))
        await self._supervisor.run_once(services.migrate({name: self.info.services[name].databases for name in names}))
        await others.wait()
        launches = (self._supervisor.launch(each, rank=4, port=ports.services[each.name].calls) for each in programs)
        await together(*launches)

    def _record(self) -> None:
        running = dict[str, ProcessInfo]()
        for name in self.names:
            process = self._supervisor.processes[name]
            with suppress(psutil.NoSuchProcess):  # It will be recorded when it has been started again.
                running[name] = ProcessInfo.of(process.running.pid, process.port, process.restarts)
        self.info.processes = running
        self.home.record(self.info)

    async def _stop(self) -> None:
        await self._supervisor.stop()
        if self._lock:
            self.home.stack_file.unlink(missing_ok=True)
            self._lock.release()


def _describe(options: Options, ports: Ports, server_url: str, nats_url: str) -> StackInfo:
    password = _password(server_url)
    return StackInfo(
        supervisor=ProcessInfo.of(os.getpid()),
        edge_url=_url(ports.edge, tls=options.tls),
        mail_url=_url(ports.mail),
        smtp_address=f"{HOST}:{ports.smtp}",
        postgres_url=server_url,
        nats_url=nats_url,
        nats_monitor_url=_url(ports.nats_monitor),
        cards_url=_url(ports.cards),
        texts_url=_url(ports.texts),
        texting_url=_url(ports.texting),
        cards_key=CardKeys.of(options.home.cards).publishable,
        issuer=options.home.issuer.name,
        clock=str(options.clock) if options.clock else None,
        ca_file=str(Authority.open(options.home.certificates).ca_file) if options.tls else None,
        services={
            name: ServiceInfo(
                address=f"{HOST}:{each.calls}",
                probe_address=f"{HOST}:{each.probe}",
                metrics_address=f"{HOST}:{each.metrics}",
                databases=database_urls(server_url, name, password=password),
            )
            for name, each in ports.services.items()
        },
    )


def _password(url: str) -> str:
    return unquote(urlsplit(url).password or "")


def _url(port: int, *, tls: bool = False) -> str:
    return f"{'https' if tls else 'http'}://{HOST}:{port}"


async def _require_postgres(url: str) -> None:
    try:
        connection = await asyncpg.connect(url, timeout=5)
        await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise LocalError(f"ATOLL_POSTGRES_URL names a server that cannot be used: {reason(error)}") from error


async def _require_nats(url: str) -> None:
    if trouble := await nats.trouble_at(url):
        raise LocalError(f"ATOLL_NATS_URL names a server that cannot be used: {trouble}")


def _port(setting: str, default: int) -> int | None:
    """0 is any free one."""
    text = os.environ.get(setting) or str(default)
    if not text.isdecimal() or int(text) >= 1 << 16:
        raise LocalError(f"{setting} is {text!r}, not a port")
    return int(text) or None
