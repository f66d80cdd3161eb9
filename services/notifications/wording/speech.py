"""How days, times and phone numbers are said in each language: of no machine's locale."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time

from chassis.money import Money
from services.notifications.domain.kinds import Channel

ZONES = {
    "E": ("Eastern Time", "hora del Este"),
    "C": ("Central Time", "hora del Centro"),
    "M": ("Mountain Time", "hora de la Montaña"),
    "P": ("Pacific Time", "hora del Pacífico"),
    "AK": ("Alaska Time", "hora de Alaska"),
    "H": ("Hawaii Time", "hora de Hawái"),
    "A": ("Atlantic Time", "hora del Atlántico"),
}
"""How the zones of the United States are called: their abbreviations ("MST") nobody would understand in a call."""
US_PHONE = re.compile(r"\+1(\d{3})(\d{3})(\d{4})")


@dataclass(frozen=True)
class Calendar:
    weekdays: tuple[str, ...]  # From Monday.
    months: tuple[str, ...]
    online: str
    zone: int  # Which of a zone's names.


ENGLISH = Calendar(
    ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    (
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ),
    "Online",
    0,
)  # fmt: skip
SPANISH = Calendar(
    ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"),
    (
        "enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre", "noviembre",
        "diciembre",
    ),
    "En línea",
    1,
)  # fmt: skip
CALENDARS = {"en": ENGLISH, "es": SPANISH}


def calendar_of(language: str) -> Calendar | None:
    return CALENDARS.get(language.partition("-")[0])


def say_day(day: date, language: str, channel: Channel) -> str:
    """ "Monday, March 15, 2027"; short in a text, without its year in a call. ISO 8601 in a language not known here."""
    calendar = calendar_of(language)
    if calendar is None:
        return f"{day:%Y-%m-%d}"
    weekday, month = calendar.weekdays[day.weekday()], calendar.months[day.month - 1]
    if channel is Channel.SMS:
        weekday, month = weekday[:3], month[:3]
    if calendar is SPANISH:
        said = f"{weekday} {day.day} {month}" if channel is Channel.SMS else f"{weekday} {day.day} de {month}"
        return said if channel in (Channel.SMS, Channel.VOICE) else f"{said} de {day.year}"
    said = f"{weekday}, {month} {day.day}"
    return said if channel in (Channel.SMS, Channel.VOICE) else f"{said}, {day.year}"


def say_hour(local: datetime, language: str, channel: Channel) -> str:
    """ "2:05 PM MDT", in a call "2:05 PM Mountain Time"; by 24 hours in a language not known here."""
    calendar = calendar_of(language)
    if calendar is None:
        return f"{local:%H:%M} {local.tzname()}"
    clock = f"{(local.hour + 11) % 12 + 1}:{local.minute:02}"
    if channel is Channel.VOICE:
        return f"{clock} {_part_of_day(local.time(), calendar)}{_spoken_zone(local, calendar)}"
    half = ("AM", "PM") if calendar is ENGLISH else ("a. m.", "p. m.")
    return f"{clock} {half[local.hour >= 12]} {local.tzname()}"


def _part_of_day(wall: time, calendar: Calendar) -> str:
    if calendar is ENGLISH:
        return "AM" if wall.hour < 12 else "PM"
    return "de la mañana" if wall.hour < 12 else "de la tarde" if wall.hour < 20 else "de la noche"


def _spoken_zone(local: datetime, calendar: Calendar) -> str:
    """A zone that has no name here is left out: the call is about a place, and the hour is that place's own."""
    abbreviation = local.tzname() or ""
    names = ZONES.get(abbreviation[:-2]) if abbreviation[-2:] in ("ST", "DT") else None
    if names is None:
        return ""
    return f" {names[0]}" if calendar is ENGLISH else f", {names[1]}"


def say_phone(phone: str, channel: Channel) -> str:
    """ "505-555-0100" for one of North America, in a call digit by digit; any other as E.164 has it."""
    parts = US_PHONE.fullmatch(phone)
    groups = list(parts.groups()) if parts else [phone]
    if channel is Channel.VOICE:
        return ", ".join(" ".join(group.lstrip("+")) for group in groups)
    return "-".join(groups)


def say_money(amount: Money) -> str:
    """ "$1,590.00", as both languages have it in the United States."""
    units, minor = divmod(amount.minor, 100)
    return f"${units:,}.{minor:02}" if amount.currency == "USD" else f"{units:,}.{minor:02} {amount.currency}"
