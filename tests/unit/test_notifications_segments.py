"""How long a text is as networks count it, and which words no text may say."""

import re

import pytest

from services.notifications.domain.discretion import health_words
from services.notifications.domain.segments import Encoding, Length, length_of, to_gsm
from services.notifications.domain.templates import languages_for

GSM, UCS = Encoding.GSM_7, Encoding.UCS_2


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", Length(GSM, 0, 1)),
        ("a" * 160, Length(GSM, 160, 1)),
        ("a" * 161, Length(GSM, 161, 2)),
        ("a" * 306, Length(GSM, 306, 2)),
        ("a" * 307, Length(GSM, 307, 3)),
        ("¿ñ é ü Ñ à¡@£$", Length(GSM, 14, 1)),
        ("€[]{}|^~\\", Length(GSM, 18, 1)),
        ("€" * 80, Length(GSM, 160, 1)),
        ("€" * 81, Length(GSM, 162, 2)),
        ("á", Length(UCS, 1, 1)),
        ("á" * 70, Length(UCS, 70, 1)),
        ("á" * 71, Length(UCS, 71, 2)),
        ("á" * 135, Length(UCS, 135, 3)),
        ("🌊", Length(UCS, 2, 1)),
        ("`", Length(UCS, 1, 1)),
    ],
)
def test_a_text_is_as_long_as_networks_count_it(text: str, length: Length) -> None:
    assert length_of(text) == length


@pytest.mark.parametrize(
    ("text", "gsm"),
    [
        ("áíóúÁÍÓÚ", "aiouAIOU"),
        ("éñüÑÜ¿¡àèìòù", "éñüÑÜ¿¡àèìòù"),
        ("“Ana’s” – «uno»…", '"Ana\'s" - "uno"...'),  # noqa: RUF001
        ("a\u00a0b\u202fc", "a b c"),
        ("ﬁ", "fi"),
        ("海港 🌊", "海港 🌊"),
    ],
)
def test_what_the_alphabet_of_networks_has_not_is_written_as_it_has_it(text: str, gsm: str) -> None:
    assert to_gsm(text) == gsm


TELLING = """
ketamine Ketamina esketamine SPRAVATO infusion infusión infusiones IV I.V. injection inyección lozenge nasal
dose dosis depression depresión depressive anxiety ansiedad PTSD TEPT trauma bipolar schizophrenia
esquizofrenia suicidal suicidio psychiatry psiquiatra psicólogo therapy terapia treatment tratamiento tratar
clinic clínica hospital doctor médica medicine patient paciente nurse prescription receta diagnosis
diagnóstico symptoms síntomas pain dolor migraine migraña insomnia opioid naltrexone Zoloft Prozac Xanax
lorazepam midazolam litio antidepressant telehealth telemedicina rehab detox addiction adicción fasting ayunas
PHQ-9 GAD-7 overdose sobredosis mental health salud enfermera farmacia pills pastillas TMS OCD
"""


@pytest.mark.parametrize("word", re.findall(r"\S+", TELLING))
def test_a_word_that_tells_what_the_appointment_is_for_is_found(word: str) -> None:
    assert health_words(f"Your {word} at Harbor Lane"), word


@pytest.mark.parametrize(
    "text",
    [
        "Harbor Lane: see you Mon, Mar 15, 2:05 PM MDT. Reply C to confirm, R to reschedule, STOP to opt out.",
        "Su cita es el miércoles 22 de septiembre. Llame al teléfono 505-555-0100. ¿Preguntas?",
        "Call us by telephone. Parking is behind the house; two dogs live here.",
        "Painted Rock, River Road, Sanders Street, Curiosity Lane",
    ],
)
def test_words_that_tell_nothing_are_left_alone(text: str) -> None:
    assert health_words(text) == []


@pytest.mark.parametrize(
    ("wanted", "languages"),
    [
        ("es", ["es"]),
        ("es-MX", ["es-MX", "es"]),
        ("ES_mx", ["es-MX", "es"]),
        ("vi", ["vi", "en"]),
        ("zh-Hant-TW", ["zh-Hant-TW", "zh-Hant", "zh", "en"]),
        ("", ["", "en"]),
    ],
)
def test_english_stands_in_only_for_a_language_that_is_not_shipped(wanted: str, languages: list[str]) -> None:
    assert languages_for(wanted) == languages
