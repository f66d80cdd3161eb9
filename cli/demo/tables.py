"""What the demo shows when it is over: tables for people."""

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from rich.table import Table

from chassis.money import MINOR_DIGITS
from chassis.times import to_instant
from cli.demo.checks import Check
from cli.demo.life import Settled
from cli.sample.courses import Booked

VISITS_SHOWN = 9


def courses_table(booked: Sequence[Booked]) -> Table:
    table = Table(title="Courses: each visit in the site's local time, with its room", title_justify="left")
    for column in ("Site", "Course", "Protocol", "Visits"):
        table.add_column(column, no_wrap=column != "Visits", overflow="fold")
    for each in booked:
        visits = ", ".join(_visit(visit, each) for visit in each.course.visits[:VISITS_SHOWN])
        more = len(each.course.visits) - VISITS_SHOWN
        rest = f", and {more} more" if more > 0 else ""
        table.add_row(each.site.code, _short(each.course.id), each.protocol.code, visits + rest)
    return table


def _visit(visit: Any, booked: Booked) -> str:
    local = to_instant(visit.start_time).astimezone(ZoneInfo(booked.site.time_zone))
    rooms = [
        booked.site.resources[resource.resource_id]
        for resource in visit.resources
        if resource.requirement_key == "room"
    ]
    return f"{local:%a %d %b %H:%M} {rooms[0] if rooms else 'telehealth'}"


def money_table(booked: Sequence[Booked], settled: Mapping[str, Settled]) -> Table:
    table = Table(title="Money: told, billed, paid", title_justify="left")
    for column in ("Site", "Course", "Estimated", "Deposit", "Tax", "Invoiced", "Paid", "Due"):
        table.add_column(column, justify="left" if column in ("Site", "Course") else "right", no_wrap=True)
    for each in booked:
        account, tax = settled[each.course.id].account, settled[each.course.id].tax
        amounts = (
            each.estimated, account.deposit_due, tax, account.invoiced, account.paid, account.due
        )  # fmt: skip
        table.add_row(each.site.code, _short(each.course.id), *map(dollars, amounts))
    return table


def messages_table(rows: Sequence[tuple[str, str, str, int]]) -> Table:
    table = Table(title="Messages", title_justify="left")
    for column in ("Site", "Outcome", "Why", "Messages"):
        table.add_column(column, justify="right" if column == "Messages" else "left")
    for site, outcome, why, count in rows:
        table.add_row(site, outcome, why, str(count))
    return table


def checks_table(checks: Sequence[Check]) -> Table:
    table = Table(title="Checks", title_justify="left")
    for column in ("", "Check", "Found"):
        table.add_column(column)
    for check in checks:
        table.add_row("[green]holds[/]" if check.holds else "[bold red]FAILS[/]", check.name, check.found)
    return table


def dollars(money: Any) -> str:
    per_unit = 10 ** MINOR_DIGITS["USD"]
    return f"{money.units:,}.{money.nanos * per_unit // 1_000_000_000:02d}"


def _short(id: str) -> str:
    return f"…{id[-6:]}"
