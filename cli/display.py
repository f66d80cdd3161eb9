"""The processes of a stack on the terminal: live while they start, then a line for each change."""

import time
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from deploy.local.supervisor import State

STYLES = {
    State.WAITING: "dim",
    State.MIGRATING: "cyan",
    State.STARTING: "cyan",
    State.READY: "green",
    State.DIED: "bold red",
    State.STOPPED: "dim",
}
BUSY = (State.MIGRATING, State.STARTING)


@dataclass
class _Row:
    state: State = State.WAITING
    since: float = field(default_factory=time.monotonic)
    """When it was first busy."""
    took: float | None = None


class Display:
    """`report` is what a Stack calls. On a terminal, used as a context it shows a live table."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._rows: dict[str, _Row] = {}
        self._live: Live | None = None

    def expect(self, names: list[str]) -> None:
        self._rows = {name: _Row() for name in names}

    def __enter__(self) -> "Display":
        if self.console.is_terminal:
            self._live = Live(console=self.console, get_renderable=self._table, refresh_per_second=12)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def report(self, name: str, state: State, detail: str) -> None:
        row, now = self._rows.setdefault(name, _Row()), time.monotonic()
        if row.state not in BUSY and state in BUSY:
            row.since, row.took = now, None
        if state is State.READY:
            row.took = now - row.since
        if state is State.DIED:
            row.since, row.took = now, None
        changed, row.state = row.state is not state, state
        if not self._live and changed and state not in BUSY:
            took = f" [dim]{row.took:.1f} s[/]" if state is State.READY and row.took is not None else ""
            text = f": {escape(detail)}" if detail else took
            self.console.print(f"[{STYLES[state]}]{state.value:>9}[/]  {name}{text}")

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 2), show_header=False)
        now = time.monotonic()
        for name, row in self._rows.items():
            busy = row.state in BUSY
            seconds = now - row.since if busy else row.took
            table.add_row(
                Spinner("dots", style="cyan") if busy else Text("●", style=STYLES[row.state]),
                name,
                Text(row.state.value, style=STYLES[row.state]),
                Text("" if seconds is None else f"{seconds:.1f} s", style="dim"),
            )
        return table


def progress_display(console: Console) -> Progress:
    """For work that is counted."""
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console)
