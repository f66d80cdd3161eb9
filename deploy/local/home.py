"""The folder where a local stack keeps its data, and what a running stack says about itself there."""

import base64
import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import psutil
from joserfc.jwk import ECKey, KeySet
from pydantic import TypeAdapter, ValidationError

from chassis.provision import DatabaseUrls
from chassis.signing import new_key
from deploy.local.files import write_whole
from deploy.local.issuer import Issuer
from deploy.local.process import ROOT, LocalError

LEFTOVERS_GONE_WITHIN_S = 30.0


@dataclass(frozen=True)
class Home:
    folder: Path

    @classmethod
    def default(cls) -> "Home":
        folder = Path(os.environ.get("ATOLL_HOME") or ROOT / ".atoll").resolve()
        if folder.exists() and not folder.is_dir():
            raise LocalError(f"ATOLL_HOME is {folder}, which is no folder")
        return cls(folder)

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def postgres_data(self) -> Path:
        return self.folder / "postgres" / "data"

    @property
    def mail(self) -> Path:
        return self.folder / "mail"

    @property
    def service_token(self) -> Path:
        return self.folder / "service-token"

    @property
    def document_keys(self) -> Path:
        """What billing encrypts documents with: see chassis/keyring.py."""
        return self.folder / "document-keys.json"

    @property
    def message_keys(self) -> Path:
        """What notifications encrypts replies and secrets of webhooks with, and makes digests of addresses with."""
        return self.folder / "message-keys.json"

    @property
    def record_keys(self) -> Path:
        """What patients seals texts of records with: see docs/adr/0029."""
        return self.folder / "record-keys.json"

    @property
    def account_keys(self) -> Path:
        """What scheduling signs tokens of service accounts with: see services/scheduling/accounts/keys.py."""
        return self.folder / "account-keys.json"

    @property
    def account_jwks(self) -> Path:
        """Their public halves."""
        return self.folder / "account-jwks.json"

    @property
    def certificates(self) -> Path:
        """Of the development authority, and what it issued."""
        return self.folder / "tls"

    @property
    def cards(self) -> Path:
        """Keys and books of the card processor: see deploy/local/cards."""
        return self.folder / "cards"

    @property
    def card_accounts(self) -> Path:
        """What billing is told of the accounts there: ATOLL_PROCESSORS_FILE."""
        return self.folder / "card-accounts.json"

    @property
    def texts(self) -> Path:
        """Keys of the provider of texts, and what was said: see deploy/local/texts."""
        return self.folder / "texts"

    @property
    def text_accounts(self) -> Path:
        """What notifications is told of the account there: ATOLL_TEXTING_ACCOUNTS_FILE."""
        return self.folder / "text-accounts.json"

    @property
    def audit_heads(self) -> Path:
        """The folder of signed heads of audit trails, a file for each service: see chassis/heads.py."""
        return self.folder / "audit-heads"

    @property
    def audit_key(self) -> Path:
        """What they are signed with."""
        return self.folder / "audit-key.json"

    def make_keys(self) -> None:
        """On first use, so that what is encrypted with them outlives a restart of the stack."""
        self.audit_heads.mkdir(exist_ok=True)
        if not self.audit_key.exists():
            write_whole(self.audit_key, json.dumps(new_key(f"dev-{os.urandom(4).hex()}")))
        for path in (self.document_keys, self.message_keys, self.record_keys):
            if not path.exists():
                key, digest = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
                write_whole(path, json.dumps({"current": "dev-1", "keys": {"dev-1": key}, "digest": digest}))
        if not self.account_keys.exists():
            signing = ECKey.generate_key("P-256", {"use": "sig"}, auto_kid=True)
            sealing = base64.b64encode(os.urandom(32)).decode()
            content = {"current": "dev-1", "keys": {"dev-1": sealing}, "signing": [signing.as_dict(private=True)]}
            write_whole(self.account_jwks, json.dumps(KeySet([signing]).as_dict(private=False)), 0o644)
            write_whole(self.account_keys, json.dumps(content))  # The last: where it is, its public half is.

    @property
    def stack_file(self) -> Path:
        return self.folder / "stack.json"

    @property
    def sites_file(self) -> Path:
        """Written by the sample: {"chain_id": "chain_…", "sites": {"abq": "site_…"}}."""
        return self.folder / "sites.json"

    @property
    def clock(self) -> Path:
        """Drives business time, where it is: a demo that was kept goes on at the hour at which its story ended."""
        return self.folder / "clock"

    @property
    def sample_loaded(self) -> Path:
        """There once all of the sample is."""
        return self.folder / "sample-loaded"

    @cached_property
    def issuer(self) -> Issuer:
        return Issuer.open(self.folder / "issuer")

    def running(self) -> "StackInfo":
        """The stack that runs here now, or LocalError."""
        info = self.recorded()
        if info is None or not _lives(info.supervisor):
            raise LocalError(f"no stack runs on {self.folder}: start one with `atoll up`")
        return info

    def recorded(self) -> "StackInfo | None":
        """What the last stack left here, be it alive or not."""
        try:
            return STACK_INFO.validate_json(self.stack_file.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def record(self, info: "StackInfo") -> None:
        """For its owner only: it may hold the password of a database."""
        write_whole(self.stack_file, STACK_INFO.dump_json(info, indent=2).decode())


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    pid: int
    created: float
    """With the pid, tells it from a later process that was given the same number."""
    port: int | None = None
    restarts: int = 0

    @classmethod
    def of(cls, pid: int, port: int | None = None, restarts: int = 0) -> "ProcessInfo":
        return cls(pid, psutil.Process(pid).create_time(), port, restarts)


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """Addresses are host:port."""

    address: str
    probe_address: str
    metrics_address: str
    databases: DatabaseUrls


@dataclass(slots=True)
class StackInfo:
    supervisor: ProcessInfo
    edge_url: str
    mail_url: str
    smtp_address: str
    postgres_url: str
    """As the server's administrator."""
    nats_url: str
    nats_monitor_url: str
    cards_url: str
    """Of the card processor, and of its page."""
    cards_key: str
    """Its publishable key."""
    texts_url: str
    """Of the provider of texts, and of its page."""
    texting_url: str
    """Scheme and host where notifications hears of receipts and replies."""
    issuer: str
    """Its name, which is the address of the login page."""
    services: Mapping[str, ServiceInfo]
    processes: Mapping[str, ProcessInfo] = field(default_factory=dict)
    clock: str | None = None
    """The file that drives business time, if it is not the real one."""
    ca_file: str | None = None
    """Whom to trust where `edge_url` is https."""

    @property
    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self.processes.items()}


STACK_INFO = TypeAdapter(StackInfo)


class Lock:
    """Held by the one stack that runs on a folder. Goes with the process, however that ends."""

    def __init__(self, home: Home) -> None:
        home.folder.mkdir(parents=True, exist_ok=True)
        self._file = (home.folder / "lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.seek(0)
            holder = self._file.read().strip()
            self._file.close()
            raise LocalError(f"a stack already runs on {home.folder} (process {holder}): stop it first") from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        self._file.close()


def wait_for_leftovers(home: Home) -> None:
    """A supervisor that was killed takes its processes with it, but they need a moment to end."""
    info, until = home.recorded(), time.monotonic() + LEFTOVERS_GONE_WITHIN_S
    for name, process in (info.processes if info else {}).items():
        while _lives(process):
            if time.monotonic() > until:
                raise LocalError(f"{name} of an earlier stack still runs (process {process.pid}): end it first")
            time.sleep(0.05)


def _lives(process: ProcessInfo) -> bool:
    try:
        found = psutil.Process(process.pid)
        return abs(found.create_time() - process.created) < 1 and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
