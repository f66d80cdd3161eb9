"""What messages say: the whole shipped set with the longest and the emptiest words, and what none may say."""

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from shutil import copytree
from zoneinfo import ZoneInfo

import pytest

from services.notifications.domain.discretion import NO_REPLY_WORD, health_words
from services.notifications.domain.kinds import Channel, MessageKind
from services.notifications.domain.links import PURPOSES
from services.notifications.domain.segments import SMS_MAX, Encoding, length_of
from services.notifications.domain.templates import (
    ABOUT_VISIT,
    BILLS,
    REPLIES,
    SHIPPED_LANGUAGES,
    Spot,
    channels_of,
)
from services.notifications.domain.variables import VARIABLES
from services.notifications.wording import BrokenTemplate, Templates, Words, Written
from services.notifications.wording.checks import faults
from services.notifications.wording.mail import FOLDER, preview
from services.notifications.wording.samples import LONG, SAMPLE, SHORT

DENVER, JUNEAU = ZoneInfo("America/Denver"), ZoneInfo("America/Juneau")
TEMPLATES = Templates()
SET = [
    (kind, channel, language)
    for kind in MessageKind
    for channel in sorted(channels_of(kind))
    for language in SHIPPED_LANGUAGES
]
WITH_REPLY = {MessageKind.VISIT_CONFIRMATION, MessageKind.VISIT_REMINDER, MessageKind.VISIT_MOVED}

CANARIES = Words(
    given_name="canary-given",
    site_name="Harbor Lane",
    phone="+15055550100",
    address="canary-address",
    online=False,
    start=datetime(2027, 3, 15, 14, 5, tzinfo=DENVER),
    end=datetime(2027, 3, 15, 15, 35, tzinfo=DENVER),
    instructions=("canary-instruction", "canary-ketamine"),
    amount="canary-amount",
    due_date=date(2027, 3, 31),
    document="canary-document",
    link="https://example.org/x",
    text="Closed.",
)
LONGEST_NAME = "Señora Núñez y Compañía — Harbor Lane at Old Town Plaza, North East Heights and West Side, Suite 1000"
WORDS = {
    "sample": SAMPLE,
    "short": SHORT,
    "long": LONG,
    "canaries": CANARIES,
    "the longest name": replace(LONG, site_name=LONGEST_NAME[:100]),
    "one long word": replace(LONG, site_name="W" * 100),
    "a long link": replace(LONG, link="https://example.org/" + "x" * 200),
    "a name that GSM has not": replace(SAMPLE, site_name="海港巷"),
    "a phone from elsewhere": replace(LONG, phone="+523312345678901"),
    "markup": replace(SAMPLE, given_name="<b>Al&ex</b>", site_name="A<i> & B", instructions=("<script>",)),
}


def words(start: str = "2027-03-15 14:05", *, online: bool = False) -> Words:
    return replace(SAMPLE, start=datetime.fromisoformat(start).replace(tzinfo=DENVER), online=online)


def written(kind: MessageKind, channel: Channel, language: str, given: Words = SAMPLE) -> Written:
    return TEMPLATES.write(kind, channel, language, given, None)


class Shown(HTMLParser):
    """The text of a page that is seen or read out, and what it would fetch or run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.said, self.fetched, self.links, self._hidden = "", list[str](), list[str](), 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag == "title"
        self.fetched += [tag] if tag in ("img", "script", "link", "iframe", "style", "form") else []
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.fetched += [value or "" for name, value in attrs if name == "src" or "url(" in (value or "")]

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag == "title"

    def handle_data(self, data: str) -> None:
        self.said += "" if self._hidden else data


@pytest.mark.parametrize("name", WORDS)
def test_every_message_can_be_written_whatever_it_has_to_say(name: str) -> None:
    for kind, channel, language in SET:
        message = written(kind, channel, language, WORDS[name])
        assert message.text.strip(), (kind, channel, language)
        assert "None" not in message.subject + message.text, (kind, channel, language)
        assert bool(message.subject) == (channel in (Channel.EMAIL, Channel.IN_APP)), (kind, channel, language)
        assert (message.html is not None) == (channel is Channel.EMAIL), (kind, channel, language)


def discreet_parts(kind: MessageKind, channel: Channel, message: Written) -> Iterator[str]:
    yield message.subject
    if channel in (Channel.SMS, Channel.VOICE) or kind is MessageKind.COMPANION_PICK_UP:
        yield message.text


@pytest.mark.parametrize("name", WORDS)
def test_nothing_that_others_may_see_or_hear_holds_a_health_word_or_anything_of_the_patient(name: str) -> None:
    for kind, channel, language in SET:
        message = written(kind, channel, language, WORDS[name])
        for part in (*discreet_parts(kind, channel, message), preview(WORDS[name], kind, language)):
            assert health_words(part) == [], (kind, channel, language)
            assert "canary" not in part, (kind, channel, language)
            assert "Al" not in part.split(), (kind, channel, language)


def test_every_other_part_holds_no_health_word_without_permission_to_name_treatment() -> None:
    for kind, channel, language in SET:
        if channel is Channel.EMAIL:
            message = written(kind, channel, language, CANARIES)
            for part in (message.text, message.html or ""):
                assert health_words(part) == [], (kind, language)


def test_what_is_known_of_a_patient_stands_only_where_it_may() -> None:
    """By kind and channel: each canary, and all messages in which it is seen."""
    seen = dict[str, set[tuple[str, str]]]()
    for kind, channel, language in SET:
        message = written(kind, channel, language, CANARIES)
        for canary in set(re.findall(r"canary-\w+", message.text + (message.html or ""))):
            seen.setdefault(canary, set()).add((channel, kind))
    private = {channel for spots in seen.values() for channel, _ in spots}
    assert private == {Channel.EMAIL, Channel.IN_APP}
    assert {kind for _, kind in seen["canary-given"]} == set(MessageKind) - REPLIES - {MessageKind.COMPANION_PICK_UP}
    assert {channel for channel, _ in seen["canary-given"]} == {Channel.EMAIL}
    assert {kind for _, kind in seen["canary-amount"]} == BILLS
    assert {kind for _, kind in seen["canary-address"]} <= ABOUT_VISIT - {MessageKind.COMPANION_PICK_UP}
    assert {channel for channel, _ in seen["canary-ketamine"]} == {Channel.IN_APP}


def test_an_instruction_that_names_treatment_is_in_an_email_by_permission_only() -> None:
    without = written(MessageKind.VISIT_PREPARATION, Channel.EMAIL, "en", CANARIES)
    assert "canary-instruction" in without.text
    assert "canary-ketamine" not in without.text + (without.html or "")
    assert "Please read it here:\n\nhttps://example.org/x" in without.text
    permitted = replace(CANARIES, may_name_treatment=True)
    allowed = written(MessageKind.VISIT_PREPARATION, Channel.EMAIL, "en", permitted)
    assert "canary-ketamine" in allowed.text
    assert "There is more" not in allowed.text
    no_link = written(MessageKind.VISIT_PREPARATION, Channel.EMAIL, "en", replace(CANARIES, link=None))
    assert "which we do not write in an email. Please call 505-555-0100." in no_link.text


@pytest.mark.parametrize("name", WORDS)
def test_every_text_is_of_at_most_160_characters_in_one_segment_and_names_sender_and_contact(name: str) -> None:
    for kind, channel, language in SET:
        if channel is Channel.SMS:
            text = written(kind, channel, language, WORDS[name]).text
            length = length_of(text)
            assert length.characters <= SMS_MAX, (kind, language, text)
            if name != "a name that GSM has not":
                assert (length.encoding, length.segments) == (Encoding.GSM_7, 1), (kind, language, text)
            assert text.startswith(WORDS[name].site_name[:6]), (kind, language, text)
            assert WORDS[name].phone[-4:] in text, (kind, language, text)
            assert not NO_REPLY_WORD.search(text), (kind, language, text)


def test_a_text_about_a_visit_that_stands_says_how_to_answer() -> None:
    for kind in WITH_REPLY:
        text = written(kind, Channel.SMS, "en", LONG).text
        assert "Reply C to confirm, R to reschedule, STOP to opt out." in text
        text = written(kind, Channel.SMS, "es", LONG).text
        assert "Responda C para confirmar, R para otra hora, STOP para baja." in text


def test_every_text_says_how_to_opt_out_where_that_fits_and_is_no_answer() -> None:
    texts = {kind: written(kind, channel, "en").text for kind, channel, _ in SET if channel is Channel.SMS}
    without = {kind for kind, text in texts.items() if "STOP" not in text}
    assert without == REPLIES - {MessageKind.HELP, MessageKind.OPT_IN_CONFIRMED} | {
        MessageKind.VISIT_PREPARATION,
        MessageKind.ANNOUNCEMENT,
    }


@pytest.mark.parametrize(
    ("site_name", "shown"),
    [
        ("Harbor Lane", "Harbor Lane: see you"),
        (
            "Harbor Lane at Old Town Plaza, North East Heights and West Side",
            "Harbor Lane at Old Town Plaza, North East Heights and...: see",
        ),
        ("W" * 100, "W" * 53 + "...: see you"),
        ("Café “Ávila” – Ñ", 'Café "Avila" - Ñ: see you'),  # noqa: RUF001
    ],
)  # fmt: skip
def test_a_long_name_is_cut_at_a_word_and_written_in_the_alphabet_of_networks(site_name: str, shown: str) -> None:
    text = written(MessageKind.VISIT_REMINDER, Channel.SMS, "en", replace(LONG, site_name=site_name)).text
    assert text.startswith(shown), text


def test_a_shipped_template_has_a_place_for_a_link_where_one_comes() -> None:
    """And where it says what to do without one."""
    placed = {
        kind for kind, channel, language in SET if "link" in TEMPLATES.shipped(kind, channel, language).content.text
    }
    assert placed - PURPOSES.keys() == {MessageKind.VISIT_PREPARATION, MessageKind.VISIT_FOLLOW_UP}
    assert PURPOSES.keys() <= placed


def test_a_link_that_does_not_fit_is_left_out_before_the_site_is_unnamed() -> None:
    text = written(MessageKind.ESTIMATE_READY, Channel.SMS, "en", WORDS["a long link"]).text
    assert text.startswith("Harbor Lane of Old Town, North: your estimate is ready. Questions: 505-555-0100.")


def test_an_announcement_that_does_not_fit_is_refused() -> None:
    with pytest.raises(BrokenTemplate):
        written(MessageKind.ANNOUNCEMENT, Channel.SMS, "en", replace(SAMPLE, text="Closed. " * 20))


@pytest.mark.parametrize("given", [{"text": "No ketamine today."}, {"link": "https://example.org/depression-scale"}])
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.VOICE])
def test_what_is_handed_in_with_a_health_word_goes_into_no_text_or_call(
    given: dict[str, str], channel: Channel
) -> None:
    with pytest.raises(BrokenTemplate):
        written(MessageKind.ANNOUNCEMENT, channel, "en", replace(SAMPLE, **given))  # type: ignore[arg-type]


def test_a_companions_email_links_nowhere_that_tells() -> None:
    given = replace(SAMPLE, link="https://ketamine.example.org/x")
    with pytest.raises(BrokenTemplate):
        written(MessageKind.COMPANION_PICK_UP, Channel.EMAIL, "en", given)


def test_a_word_that_stands_in_a_token_by_chance_keeps_no_text_back() -> None:
    link = "https://example.org/x/Q7-iv_Dose4"
    assert link in written(MessageKind.INVOICE_ISSUED, Channel.SMS, "en", replace(SAMPLE, link=link)).text


def test_a_message_about_a_visit_without_its_start_is_refused() -> None:
    with pytest.raises(BrokenTemplate):
        written(MessageKind.VISIT_REMINDER, Channel.EMAIL, "en", replace(SAMPLE, start=None))
    assert "confirmed" in written(MessageKind.CONFIRM_RECEIVED, Channel.SMS, "en", replace(SAMPLE, start=None)).text


def test_a_companion_is_told_when_it_ends() -> None:
    text = written(MessageKind.COMPANION_PICK_UP, Channel.SMS, "en", SAMPLE).text
    assert "pick-up on Mon, Mar 15, 3:35 PM MDT" in text


@pytest.mark.parametrize("kind", [MessageKind.VISIT_CONFIRMATION, MessageKind.VISIT_REMINDER])
@pytest.mark.parametrize("language", SHIPPED_LANGUAGES)
def test_an_email_about_a_visit_says_who_when_where_and_how_to_call(kind: MessageKind, language: str) -> None:
    message = written(kind, Channel.EMAIL, language)
    for text in (message.text, Shown(message.html or "").said):
        for said in ("Alex", "Harbor Lane", "2:05", "MDT", "1 Main St, Albuquerque, NM 87101", "505-555-0100"):
            assert said in text


def test_a_visit_online_has_no_address() -> None:
    for language, online in (("en", "Online"), ("es", "En línea")):
        text = written(MessageKind.VISIT_REMINDER, Channel.EMAIL, language, words(online=True)).text
        assert online in text
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
    assert written(MessageKind.VISIT_REMINDER, Channel.EMAIL, language, words(start)).subject == subject


@pytest.mark.parametrize(
    ("language", "start", "zone", "said"),
    [
        ("en", "2027-03-15 14:05", "America/Denver", "on Monday, March 15, at 2:05 PM Mountain Time."),
        ("en", "2027-03-15 09:00", "America/Juneau", "at 9:00 AM Alaska Time."),
        ("en", "2027-03-15 09:00", "Asia/Kathmandu", "at 9:00 AM. If"),
        ("es", "2027-03-15 14:05", "America/New_York", "el lunes 15 de marzo, 2:05 de la tarde, hora del Este."),
        ("es", "2027-03-15 20:00", "Pacific/Honolulu", "8:00 de la noche, hora de Hawái."),
        ("es", "2027-03-15 08:00", "America/Phoenix", "8:00 de la mañana, hora de la Montaña."),
    ],
)
def test_a_call_says_what_can_be_spoken(language: str, start: str, zone: str, said: str) -> None:
    local = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))
    text = written(MessageKind.VISIT_REMINDER, Channel.VOICE, language, replace(SAMPLE, start=local)).text
    assert said in text
    assert "5 0 5, 5 5 5, 0 1 0 0" in text
    assert "\n" not in text


def test_an_hour_that_occurs_twice_names_its_zone() -> None:
    start = datetime(2027, 11, 7, 7, 30, tzinfo=ZoneInfo("UTC"))
    hours = [
        written(
            MessageKind.VISIT_REMINDER, Channel.SMS, "en", replace(SAMPLE, start=instant.astimezone(DENVER))
        ).text.split(". Reply")[0][-11:]
        for instant in (start, start + timedelta(hours=1))
    ]
    assert hours == ["1:30 AM MDT", "1:30 AM MST"]


@pytest.mark.parametrize(
    ("tag", "language"), [("es-MX", "es"), ("ES", "es"), ("en-US", "en"), ("vi", "en"), ("", "en"), ("es_419", "es")]
)
def test_a_language_that_is_not_shipped_falls_back(tag: str, language: str) -> None:
    assert written(MessageKind.VISIT_REMINDER, Channel.SMS, tag).template.language == language


def test_every_page_fetches_nothing_and_says_its_language_and_what_the_text_says() -> None:
    for kind, channel, language in SET:
        if channel is Channel.EMAIL:
            message = written(kind, channel, language, CANARIES)
            page = Shown(message.html or "")
            assert page.fetched == [], kind
            assert f'<html lang="{language}">' in (message.html or "")
            assert set(page.links) <= {"https://example.org/x", "tel:+15055550100"}, kind
            said = re.sub(r"\W+", "", page.said)
            for line in message.text.replace("https://example.org/x", "").splitlines():
                assert re.sub(r"\W+", "", line) in said, (kind, language, line)


def test_the_preview_beside_a_subject_shows_the_site_and_the_time_before_anything_else() -> None:
    page = written(MessageKind.VISIT_REMINDER, Channel.EMAIL, "en", CANARIES).html or ""
    said = re.sub(r"[\s\u034f\u200c]+", " ", Shown(page).said).strip()
    assert said.startswith("Harbor Lane, Monday, March 15, 2027, 2:05 PM MDT ")
    assert said.index("canary") > len("Harbor Lane, Monday, March 15, 2027, 2:05 PM MDT")
    padding = page[: page.index("canary-given")].count("&zwnj;")
    assert padding >= 100  # So that no mail program goes on to the greeting.
    assert preview(CANARIES, MessageKind.INVOICE_ISSUED, "en") == "Harbor Lane"


def test_markup_in_what_is_said_is_shown_and_not_obeyed() -> None:
    page = written(MessageKind.VISIT_REMINDER, Channel.EMAIL, "en", WORDS["markup"]).html or ""
    assert "&lt;b&gt;Al&amp;ex&lt;/b&gt;" in page
    assert "&lt;script&gt;" in page
    assert "<script" not in page


def test_a_shipped_template_passes_what_a_chains_own_must_pass() -> None:
    for kind, channel, language in SET:
        content = TEMPLATES.shipped(kind, channel, language).content
        assert faults(Spot(kind, channel, language, None), content, frozenset()) == [], (kind, channel, language)


def test_every_variable_is_one_of_what_may_be_said_and_is_used_by_a_shipped_template() -> None:
    sources = "".join(
        content.subject + content.text + content.html
        for place in SET
        for content in (TEMPLATES.shipped(*place).content,)
    )
    unused = {each.name for each in VARIABLES if not re.search(rf"\b{each.name}\b", sources)}
    assert unused == {"address", "online", "may_name_treatment"}  # Which `place` and `instructions` say better.
    derived = {"place", "day", "hour", "ends", "due_day", "instructions_held_back"}
    assert {each.name for each in VARIABLES} - derived == {each.name for each in fields(Words)} - {
        "start", "end", "due_date",
    }  # fmt: skip


def change(folder: Path, name: str, old: str, new: str) -> Templates:
    changed = copytree(FOLDER, folder / "templates")
    path = changed / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return Templates(changed)


def test_a_template_that_is_changed_has_another_version(tmp_path: Path) -> None:
    changed = change(tmp_path, "en/visit_reminder.toml", "Hello", "Good day")
    place = MessageKind.VISIT_REMINDER, Channel.EMAIL, "en"
    versions = [each.write(*place, SAMPLE, None).template.version for each in (TEMPLATES, changed)]
    assert versions[0] != versions[1]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("Le recordamos", "Su tratamiento le espera.", r"es/VISIT_REMINDER holds \['tratamiento'\]"),
        ("[sms]", "[telegram]", "es/VISIT_REMINDER"),
        ("subject =", "title =", "es/VISIT_REMINDER"),
        ("{{ given_name }}", "{{ family_name }}", "es/VISIT_REMINDER"),
        ("{{ given_name }}", "{{ given_name", "es/VISIT_REMINDER"),
        ("Recordatorio: {{ site_name }}", "{{ given_name }}", "es/VISIT_REMINDER"),
    ],
)
def test_a_template_that_must_not_be_shipped_keeps_the_service_from_starting(
    tmp_path: Path, old: str, new: str, why: str
) -> None:
    with pytest.raises(BrokenTemplate, match=why):
        change(tmp_path, "es/visit_reminder.toml", old, new)


def test_a_template_that_is_missing_keeps_the_service_from_starting(tmp_path: Path) -> None:
    changed = copytree(FOLDER, tmp_path / "templates")
    (changed / "es" / "help.toml").unlink()
    with pytest.raises(BrokenTemplate, match="es/HELP"):
        Templates(changed)


def test_a_template_that_lacks_a_channel_keeps_the_service_from_starting(tmp_path: Path) -> None:
    whole = (FOLDER / "es" / "help.toml").read_text()
    with pytest.raises(BrokenTemplate, match=r"es/HELP: \['sms'\]"):
        change(tmp_path, "es/help.toml", whole, "")


def test_a_kind_that_does_not_go_out_by_a_channel_says_so() -> None:
    with pytest.raises(BrokenTemplate, match="HELP by EMAIL"):
        written(MessageKind.HELP, Channel.EMAIL, "en")
