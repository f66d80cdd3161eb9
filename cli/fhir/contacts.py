"""FHIR's addresses and phone numbers, as they are sent."""

from collections.abc import Mapping
from typing import Any

import phonenumbers

from cli.fhir.elements import dicts_of, text_of, texts_of

HOME_REGION = "US"  # Of numbers that are sent as they are dialled there: the API reads them so.
REGIONS = {
    "AUS": "AU", "AUT": "AT", "BEL": "BE", "BRA": "BR", "CAN": "CA", "CHE": "CH", "CHN": "CN", "DEU": "DE", "DNK": "DK",
    "ESP": "ES", "FIN": "FI", "FRA": "FR", "GBR": "GB", "IND": "IN", "IRL": "IE", "ITA": "IT", "JPN": "JP", "KOR": "KR",
    "MEX": "MX", "NLD": "NL", "NOR": "NO", "NZL": "NZ", "POL": "PL", "PRI": "PR", "PRT": "PT", "SWE": "SE", "USA": "US",
}  # fmt: skip
"""Countries by three letters, as FHIR allows, to two, as the numbering plans are named."""


def envelope_of(address: Mapping[str, Any]) -> str:
    """The address in lines; its `text` only where it has no parts."""
    lines, country = texts_of(address.get("line")), text_of(address.get("country"))
    region = f"{text_of(address.get('state'))} {text_of(address.get('postalCode'))}".strip()
    city = ", ".join(filter(None, (text_of(address.get("city")), region)))
    return "\n".join(filter(None, (*lines, city, country))) or _lines(text_of(address.get("text")))


def _lines(text: str) -> str:
    return "\n".join(filter(None, map(str.strip, text.splitlines())))


def region_of(resource: Mapping[str, Any]) -> str | None:
    """Of the numbering plan that the patient's phones are in, if an address tells."""
    for address in dicts_of(resource.get("address")):
        country = text_of(address.get("country")).upper()
        region = REGIONS.get(country, country)
        if region in phonenumbers.SUPPORTED_REGIONS:
            return region
    return None


def dialled_from_abroad(number: str, region: str | None) -> str:
    """A national number with its country; as it is where that is not known, or where it is no such number."""
    if region is None or region == HOME_REGION:
        return number
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return number
    if not phonenumbers.is_possible_number(parsed):
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
