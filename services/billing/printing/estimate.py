"""What the document of a Good Faith Estimate shows: everything that 45 CFR 149.610(c)(1) asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

from chassis.ids import to_wire
from services.billing.domain.codes import ServiceCode
from services.billing.domain.disclaimers import DISCLAIMERS
from services.billing.domain.estimates import Estimate, Line
from services.billing.printing import NOBODY, day_text, money_text


def content_of(estimate: Estimate, issued: date, patient: Mapping[str, Any] = NOBODY) -> dict[str, Any]:
    """Of one that has all its prices. `issued` is the day in the site's zone."""
    assert estimate.total is not None
    first, last = estimate.service_date, estimate.last_date or estimate.service_date
    return {
        "number": to_wire("estimate", estimate.id),
        "version": estimate.version,
        "issued": day_text(issued),
        "patient": dict(patient),
        "scheduled": estimate.course_id is not None,
        "primary": {"item": estimate.primary.description, "date": day_text(estimate.primary.days[0])},
        "series": {
            "first": day_text(first),
            "last": day_text(last),
            "count": estimate.visit_count,
            "days_between": estimate.days_between,
        },
        "providers": _providers(estimate),
        "total": money_text(estimate.total),
        "separate": list(estimate.content.separate_items),
        "beyond": estimate.beyond_count,
        "disclaimers": [asdict(each) for each in DISCLAIMERS.get(estimate.content.disclaimer_version, ())],
        "disclaimer_version": estimate.content.disclaimer_version,
    }


def _providers(estimate: Estimate) -> list[dict[str, Any]]:
    """Those that render any of the items, each with its own."""
    shown = []
    for provider in estimate.content.providers:
        lines = [line for line in estimate.lines if _renderer(estimate, line) == provider.id]
        totals = [line.total for line in lines if line.total is not None]
        taxes = [line.tax for line in lines if line.tax is not None]
        if totals:
            shown.append(
                {
                    "name": provider.display_name,
                    "credential": provider.credential,
                    "npi": provider.npi,
                    "tin": provider.tin,
                    "state": provider.state,
                    "address": provider.address,
                    "lines": [_line(line, lines) for line in lines],
                    "tax": money_text(sum(taxes[1:], taxes[0])) if taxes else "",
                    "total": money_text(sum(totals[1:], totals[0])),
                }
            )
    return shown


def _renderer(estimate: Estimate, line: Line) -> UUID:
    return line.provider_id or estimate.site_id


def _line(line: Line, beside: Sequence[Line]) -> dict[str, Any]:
    """Its days where visits like these stand on several lines: prices, codes or taxes of their days differ."""
    alike = [each for each in beside if each.kind == line.kind]
    assert line.unit_price is not None
    assert line.amount is not None
    return {
        "description": line.description,
        "dates": _span(line.days) if len(alike) > 1 else "",
        "codes": [_code(each) for each in line.codes],
        "count": line.count,
        "unit_price": money_text(line.unit_price),
        "amount": money_text(line.amount),
    }


def _span(days: Sequence[date]) -> str:
    first, last = min(days), max(days)
    return day_text(first) if first == last else f"{day_text(first)} \N{EN DASH} {day_text(last)}"


def _code(code: ServiceCode) -> str:
    text = "-".join((code.code, *code.modifiers))
    return text if code.units == 1 else f"{text} x {code.units}"
