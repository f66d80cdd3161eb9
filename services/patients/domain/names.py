"""Names as a search sees them: words without case, accents and punctuation, and words that are one slip from them."""

import unicodedata
from collections.abc import Iterable

AFTER_EVERYTHING = "\U0010ffff"
"""Sorts after whatever may follow: words that begin with `x` lie in [x, x + AFTER_EVERYTHING)."""
WORD_MAX = 60
"""Longer words are cut to it, in a name and in a question."""
LINE_MAX = 100
"""With a word it goes into a page token, which has a thousand letters."""
SPELT_MIN = 4
"""Shorter words have too many neighbours: they are found by their beginnings only."""

# O'Brien is obrien, J.R. is jr: apostrophes of all kinds, and the full stop. Arabic's stretching line is no letter.
_SILENT = dict.fromkeys(map(ord, "'`.\u00b4\u02bc\u2019\u0640"))
# Letters that do not fall into one and an accent, the dotless i last. Then letters of Arabic that are written one for
# the other: alef wasla, alef maksura, teh marbuta, and Persian's yeh and keheh.
_SPELT_OUT = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "\u0131": "i"}
    | {"\u0671": "\u0627", "\u0649": "\u064a", "\u0629": "\u0647", "\u06cc": "\u064a", "\u06a9": "\u0643"}
)
# Scripts that put no space between family and given name: each character is a word. Han, its extensions, the signs that
# repeat and that stand for zero; Hangul's syllables.
_WORDS_OF_THEIR_OWN = (
    ("\u3005", "\u3007"),
    ("\u3400", "\u4dbf"),
    ("\u4e00", "\u9fff"),
    ("\uac00", "\ud7a3"),
    ("\U00020000", "\U0003ffff"),
)


def search_words(*names: str) -> tuple[str, ...]:
    """The words of names, each once, in their order: what is indexed of a name, and what is asked for by one."""
    words = _spelt(unicodedata.normalize("NFKC", " ".join(names))).split()
    return tuple(dict.fromkeys(word[:WORD_MAX] for word in words))


def line_of(words: Iterable[str]) -> str:
    """All words in one line, each between spaces. One that does not end with a space was cut, and lacks some."""
    line = " ".join(("", *words, ""))
    return line if len(line) <= LINE_MAX else line[:LINE_MAX].rstrip()


def keys_of(asked: str) -> list[str]:
    """What `asked` shares with every word that is one slip from it: itself, and itself without one of its letters.

    Words have the same keys (`name_spelling`), so that a letter too many, too few, another one, or two that changed
    places are found by equality alone.
    """
    shorter = (asked[:i] + asked[i + 1 :] for i in range(len(asked)) if len(asked) >= SPELT_MIN)
    return list(dict.fromkeys((asked, *shorter))) if len(asked) >= SPELT_MIN - 1 else []


def is_slip(asked: str, word: str) -> bool:
    """Whether one letter too many, too few or another one, or two that changed places, make `word` of `asked`."""
    start = _alike(asked, word)
    asked, word = asked[start:], word[start:]
    end = _alike(asked[::-1], word[::-1])
    differ = asked[: len(asked) - end], word[: len(word) - end]
    lengths = len(differ[0]), len(differ[1])
    return lengths in ((0, 1), (1, 0), (1, 1)) or (lengths == (2, 2) and differ[0] == differ[1][::-1])


def _alike(one: str, other: str) -> int:
    """How many first letters are the same."""
    shorter = min(len(one), len(other))
    return next((i for i in range(shorter) if one[i] != other[i]), shorter)


def _spelt(composed: str) -> str:
    """Composed, a syllable is one character however it was typed. Most names need a table only, and are many."""
    if composed.isascii():
        return composed.lower().translate(_ASCII)
    return "".join(map(_as_searched, _unaccented(_parted(composed))))


def _parted(composed: str) -> str:
    return "".join(f" {each} " if _is_word(each) else each for each in composed)


def _is_word(character: str) -> bool:
    return character >= "\u3005" and any(first <= character <= last for first, last in _WORDS_OF_THEIR_OWN)


def _unaccented(text: str) -> str:
    return unicodedata.normalize("NFKD", text).casefold().translate(_SILENT).translate(_SPELT_OUT)


def _as_searched(character: str) -> str:
    """Letters, digits and vowel signs that take a place of their own stay; accents vanish; all else parts words."""
    category = unicodedata.category(character)
    if character.isalnum() or category == "Mc":
        return character
    return "" if category in ("Mn", "Me", "Cf") else " "


_ASCII = {code: _SILENT.get(code, _as_searched(chr(code))) for code in range(128)}
