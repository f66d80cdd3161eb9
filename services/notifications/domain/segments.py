"""How long a text message is, as networks count it. Pure.

3GPP TS 23.038: a text of the GSM alphabet alone takes 7 bits a character (those of the extension table twice that), 160
in one segment or 153 in each of several; one with any other character takes 16 bits for each UTF-16 unit, 70 or 67.
"""

from dataclasses import dataclass
from enum import StrEnum
from unicodedata import combining, normalize

SMS_MAX = 160
"""Characters of one text: 47 CFR 64.1200(a)(9)(iv) allows a health-care message no more. In GSM that is one segment."""
BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = frozenset("\f^{}\\[~]|€")
ALIKE = str.maketrans(
    {
        "‘": "'", "’": "'", "“": '"', "”": '"', "«": '"', "»": '"', "–": "-", "—": "-", "…": "...",  # noqa: RUF001
        "\u00a0": " ", "\u202f": " ", "\t": " ",
    }
)  # fmt: skip
"""What typists and programs put where the GSM alphabet has something like it."""


class Encoding(StrEnum):
    GSM_7 = "GSM_7"
    UCS_2 = "UCS_2"


@dataclass(frozen=True, slots=True)
class Length:
    encoding: Encoding
    characters: int
    """As the network counts them: those of the extension table, and those beyond U+FFFF, as two."""
    segments: int


def length_of(text: str) -> Length:
    if all(letter in BASIC or letter in EXTENDED for letter in text):
        septets = len(text) + sum(letter in EXTENDED for letter in text)
        return Length(Encoding.GSM_7, septets, _segments(septets, 160, 153))
    units = len(text.encode("utf-16-be")) // 2
    return Length(Encoding.UCS_2, units, _segments(units, 70, 67))


def _segments(count: int, alone: int, each: int) -> int:
    return 1 if count <= alone else -(-count // each)


def to_gsm(text: str) -> str:
    """With its typographic signs and accents as the GSM alphabet has them; what has no likeness there stays."""
    return "".join(map(_nearest, text.translate(ALIKE)))


def _nearest(letter: str) -> str:
    if letter in BASIC or letter in EXTENDED:
        return letter
    bare = "".join(part for part in normalize("NFKD", letter) if not combining(part))
    return bare if bare and all(part in BASIC for part in bare) else letter
