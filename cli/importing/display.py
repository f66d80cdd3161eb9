"""An import on the terminal, while it runs."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cli.importing.report import Outcome, Summary


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f}/s", style="progress.data.speed")


class _Refused(ProgressColumn):
    def __init__(self, summary: Summary) -> None:
        super().__init__()
        self._summary = summary

    def render(self, task: Task) -> Text:
        refused = self._summary.count(Outcome.REFUSED)
        return Text(f"{refused:,} refused", style="red" if refused else "dim")


def import_display(console: Console, summary: Summary) -> Progress:
    """How far, how fast, how long yet, how many were refused."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
        _Refused(summary),
        console=console,
    )
