"""Names as a search sees them: words without case, accents and punctuation."""

import unicodedata

AFTER_EVERYTHING = "\U0010ffff"
"""Sorts after whatever may follow: words that begin with `x` lie in [x, x + AFTER_EVERYTHING)."""

# O'Brien is obrien, J.R. is jr: apostrophes of all kinds, and the full stop.
_SILENT = dict.fromkeys(map(ord, "'`.\u00b4\u02bc\u2019"))
# Letters that do not fall into one and an accent. The last is the dotless i.
_SPELT_OUT = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "\u0131": "i"}
)


def search_words(*names: str) -> tuple[str, ...]:
    """The words of names, each once, in their order: what is indexed of a name, and what is asked for by one."""
    words = "".join(map(_as_searched, _unaccented(" ".join(names)))).split()
    return tuple(dict.fromkeys(words))


def _unaccented(text: str) -> str:
    return unicodedata.normalize("NFKD", text).casefold().translate(_SILENT).translate(_SPELT_OUT)


def _as_searched(character: str) -> str:
    """Letters, digits and vowel signs that take a place of their own stay; accents vanish; all else parts words."""
    category = unicodedata.category(character)
    if character.isalnum() or category == "Mc":
        return character
    return "" if category in ("Mn", "Me") else " "
