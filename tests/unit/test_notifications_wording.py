"""What messages say: each shipped template, in each language, and what none may say."""

from datetime import datetime
from pathlib import Path
from shutil import copytree
from zoneinfo import ZoneInfo

import pytest

from services.notifications.domain.discretion import health_words
from services.notifications.domain.kinds import MessageKind
from services.notifications.wording import SHIPPED, BrokenTemplate, Templates, Words

DENVER = ZoneInfo("America/Denver")
TEMPLATES = Templates()
LANGUAGES = ["en", "es"]


def words(start: str = "2027-03-15 14:05", *, online: bool = False) -> Words:
    return Words(
        given_name="Ana",
        site_name="Harbor Lane",
        start=datetime.fromisoformat(start).replace(tzinfo=DENVER),
        online=online,
        address="1 Main St, Albuquerque, NM 87101",
        phone="+15055550100",
    )


def test_every_shipped_language_is_tested() -> None:
    assert sorted(path.name for path in SHIPPED.iterdir()) == LANGUAGES


@pytest.mark.parametrize("kind", MessageKind)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("online", [False, True])
def test_no_message_holds_a_health_word(kind: MessageKind, language: str, online: bool) -> None:
    written = TEMPLATES.write(kind, language, words(online=online))
    assert health_words(written.subject) == []
    assert health_words(written.text) == []


@pytest.mark.parametrize("kind", MessageKind)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_message_says_who_when_where_and_how_to_call(kind: MessageKind, language: str) -> None:
    text = TEMPLATES.write(kind, language, words()).text
    for said in ("Ana", "Harbor Lane", "2:05", "MDT", "1 Main St, Albuquerque, NM 87101", "+15055550100"):
        assert said in text


@pytest.mark.parametrize("kind", MessageKind)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_subject_is_one_line_without_the_patient(kind: MessageKind, language: str) -> None:
    subject = TEMPLATES.write(kind, language, words()).subject
    assert "Harbor Lane" in subject
    assert "Ana" not in subject
    assert "\n" not in subject


def test_a_visit_online_has_no_address() -> None:
    text = TEMPLATES.write(MessageKind.VISIT_REMINDER, "en", words(online=True)).text
    assert "Online" in text
    assert "Main St" not in text


@pytest.mark.parametrize(
    ("language", "start", "subject"),
    [
        ("en", "2027-03-15 00:05", "Reminder: Harbor Lane, Monday, March 15, 2027, 12:05 AM MDT"),
        ("en", "2027-01-03 12:00", "Reminder: Harbor Lane, Sunday, January 3, 2027, 12:00 PM MST"),
        ("es", "2027-09-22 08:30", "Recordatorio: Harbor Lane, miércoles 22 de septiembre de 2027, 8:30 a. m. MDT"),
        ("es", "2028-02-29 13:00", "Recordatorio: Harbor Lane, martes 29 de febrero de 2028, 1:00 p. m. MST"),
    ],
)
def test_dates_are_said_in_the_language(language: str, start: str, subject: str) -> None:
    assert TEMPLATES.write(MessageKind.VISIT_REMINDER, language, words(start)).subject == subject


@pytest.mark.parametrize(
    ("tag", "language"), [("es-MX", "es"), ("ES", "es"), ("en-US", "en"), ("vi", "en"), ("", "en")]
)
def test_a_language_that_is_not_shipped_falls_back(tag: str, language: str) -> None:
    assert TEMPLATES.write(MessageKind.VISIT_REMINDER, tag, words()).template.language == language


def test_a_template_that_is_changed_has_another_version(tmp_path: Path) -> None:
    changed = copytree(SHIPPED, tmp_path / "templates")
    path = changed / "en" / "visit_reminder.txt"
    path.write_text(path.read_text().replace("Hello", "Good day"))
    versions = [
        each.write(MessageKind.VISIT_REMINDER, "en", words()).template.version
        for each in (TEMPLATES, Templates(changed))
    ]
    assert versions[0] != versions[1]


def test_a_template_with_a_health_word_keeps_the_service_from_starting(tmp_path: Path) -> None:
    changed = copytree(SHIPPED, tmp_path / "templates")
    with (changed / "es" / "visit_reminder.txt").open("a") as file:
        file.write("Su tratamiento le espera.")
    with pytest.raises(BrokenTemplate, match=r"es/VISIT_REMINDER holds \['tratamiento'\]"):
        Templates(changed)


def test_a_template_without_its_subject_keeps_the_service_from_starting(tmp_path: Path) -> None:
    changed = copytree(SHIPPED, tmp_path / "templates")
    (changed / "es" / "visit_reminder.subject").unlink()
    with pytest.raises(BrokenTemplate, match="es/VISIT_REMINDER"):
        Templates(changed)


def test_a_template_that_asks_for_what_it_may_not_say_cannot_be_filled_in(tmp_path: Path) -> None:
    changed = copytree(SHIPPED, tmp_path / "templates")
    (changed / "en" / "visit_reminder.txt").write_text("Hello {{ family_name }}")
    with pytest.raises(BrokenTemplate, match="en/visit_reminder"):
        Templates(changed).write(MessageKind.VISIT_REMINDER, "en", words())
