"""What a template of a chain's own must be like to be saved: each rule, and where it is broken."""

import re
import time
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from services.notifications.domain.kinds import Channel, MessageKind
from services.notifications.domain.templates import Content, OwnTemplate, Spot
from services.notifications.domain.variables import VARIABLES, variables_of
from services.notifications.wording import BrokenTemplate, Templates
from services.notifications.wording.checks import faults
from services.notifications.wording.samples import SAMPLE
from services.notifications.wording.templates import Source, source_of, write
from tests.support.service import NOW

ROOT = Path(__file__).parents[2]
EMAIL = Spot(MessageKind.VISIT_REMINDER, Channel.EMAIL, "en", None)
SMS = replace(EMAIL, channel=Channel.SMS)
VIETNAMESE = replace(SMS, language="vi")
VOICE = replace(EMAIL, channel=Channel.VOICE)
IN_APP = replace(EMAIL, channel=Channel.IN_APP)
HOSTS = frozenset({"example.org"})
NAMED = "{{ site_name }} {{ phone }} "
LOOP = "{% for each in instructions %}{{ each }}{% endfor %}"
GUARDED = "{% if may_name_treatment %}Your ketamine infusion is near.{% else %}You are expected.{% endif %}"

Found = list[tuple[str, str, str]]
"""Field, rule and description of each fault."""


def of(spot: Spot, text: str = "See you.", subject: str = "", html: str = "") -> Found:
    has_subject = spot.channel in (Channel.EMAIL, Channel.IN_APP)
    content = Content(subject or ("Soon" if has_subject else ""), text, html)
    return [(each.field, each.rule, each.description) for each in faults(spot, content, HOSTS)]


def rules(found: Found) -> list[tuple[str, str]]:
    return [(field, rule) for field, rule, _ in found]


@pytest.mark.parametrize(
    ("spot", "text"),
    [
        (SMS, NAMED + "{{ day }}, {{ hour }}. Reply C to confirm, R to reschedule, STOP to opt out."),
        (SMS, "{{ site_name }}{% if link %} {{ link }}{% endif %} {{ phone }}"),
        (SMS, "{{ site_name }} {{ phone }}. Your visit is not cancelled."),
        (VOICE, "This is {{ site_name }}. {{ day | upper }}."),
        (EMAIL, "Hello {{ given_name }}, {{ place }} {% if not online %}{{ address }}{% endif %}" + LOOP),
        (EMAIL, "See https://example.org/parking or call. " + GUARDED),
        (
            EMAIL,
            "{% if day == hour and online or ends %}{{ ends if ends else hour }}{% endif %}{{ link | default('') }}.",
        ),
        (EMAIL, "Write to desk@example.net."),
        (IN_APP, "Hello {{ given_name }}, {{ day }}"),
    ],
)
def test_what_keeps_the_rules_is_saved(spot: Spot, text: str) -> None:
    assert of(spot, text) == []


@pytest.mark.parametrize(
    ("spot", "text", "fault"),
    [
        (EMAIL, "Hello\n{{ family_name }}", ("text", "VARIABLE_UNKNOWN", "line 2: family_name")),
        (EMAIL, "{{ amount }}", ("text", "VARIABLE_UNKNOWN", "line 1: amount")),
        (SMS, NAMED + "{{ given_name }}", ("text", "VARIABLE_NOT_DISCREET", "line 1: given_name")),
        (VOICE, "{{ address }}", ("text", "VARIABLE_NOT_DISCREET", "line 1: address")),
        (EMAIL, "{{ online }}", ("text", "VARIABLE_NOT_TEXT", "line 1: online")),
        (EMAIL, "{{ instructions }}", ("text", "VARIABLE_NOT_TEXT", "line 1: instructions")),
        (EMAIL, "Hello\n\n{{ day", ("text", "SYNTAX_ERROR", "line 3: ")),
        (EMAIL, "{% if day %}x", ("text", "SYNTAX_ERROR", "line 1: ")),
        (EMAIL, "{{ day }}\n{{ day | nosuch }}", ("text", "NOT_ALLOWED", "line 2: filter nosuch")),
        (EMAIL, "Your ketamine\nvisit", ("text", "HEALTH_WORD", "line 1, column 6: ketamine")),
        (EMAIL, "{{ day }}\n  {{ day }} su terapia", ("text", "HEALTH_WORD", "line 2, column 16: terapia")),
        (EMAIL, "{{ 'ketamine' }}", ("text", "HEALTH_WORD", "line 1, column 5: ketamine")),
        (EMAIL, "{% if online %}infusion{% endif %}", ("text", "HEALTH_WORD", "line 1, column 16: infusion")),
        (EMAIL, GUARDED.replace("expected", "a patient"), ("text", "HEALTH_WORD", "line 1, column 79: patient")),
        (VOICE, "Your keta{# #}mine", ("text", "HEALTH_WORD", "filled in: ketamine")),
        (SMS, NAMED + "Reply CANCEL.", ("text", "REPLY_WORD_OPTS_OUT", "line 1, column 35: ")),
        (SMS, NAMED + "o responda cancelar", ("text", "REPLY_WORD_OPTS_OUT", "line 1, column 40: ")),
        (EMAIL, "See https://example.com/x", ("text", "LINK_HOST_NOT_ALLOWED", "line 1, column 5: ")),
        (EMAIL, "See http://example.org/x", ("text", "LINK_HOST_NOT_ALLOWED", "line 1, column 5: ")),
        (EMAIL, "https://example.org@example.com/", ("text", "LINK_HOST_NOT_ALLOWED", "line 1, column 1: ")),
        (EMAIL, "https://example.org.example.com/", ("text", "LINK_HOST_NOT_ALLOWED", "line 1, column 1: ")),
        (EMAIL, "https://a.example.org/", ("text", "LINK_HOST_NOT_ALLOWED", "line 1, column 1: ")),
        (EMAIL, "See example.com/pay", ("text", "LINK_HOST_NOT_ALLOWED", "line 1, column 5: ")),
        (EMAIL, "https://example.org/{{ given_name }}", ("text", "LINK_HOLDS_VARIABLE", "line 1, column 1: ")),
        (EMAIL, "https://example.org/{% if day %}1{% endif %}", ("text", "LINK_HOLDS_VARIABLE", "line 1, column 1: ")),
        (SMS, "{{ phone }} {% if day %}{{ site_name }}{% endif %}", ("text", "SITE_NOT_NAMED", "")),
        (SMS, "{{ site_name }}", ("text", "CONTACT_NOT_NAMED", "")),
        (SMS, NAMED + "a" * 130, ("text", "TOO_LONG", "filled in: 174 of 160 characters, GSM_7, 2 segments")),
        (VIETNAMESE, NAMED + "ệ" * 130, ("text", "TOO_LONG", "filled in: 174 of 160 characters, UCS_2")),
        (VOICE, "word " * 130, ("text", "TOO_LONG", "filled in: 649 of 600 characters")),
        (EMAIL, "{% if link %}See you.{% endif %}", ("text", "NOTHING_SAID", "filled in: ")),
        (EMAIL, "{{ day | join(1) }}{{ day < 1 }}", ("text", "CANNOT_BE_FILLED_IN", "filled in: ")),
    ],
)  # fmt: skip
def test_a_broken_rule_is_named_with_its_field_and_its_place(
    spot: Spot, text: str, fault: tuple[str, str, str]
) -> None:
    [(field, rule, description)] = of(spot, text)
    assert (field, rule) == fault[:2]
    assert description.startswith(fault[2])


@pytest.mark.parametrize(
    "text",
    [
        "{{ day.__class__ }}",
        "{{ day['__class__'] }}",
        "{{ instructions[0] }}",
        "{{ day.upper() }}",
        "{{ range(9) }}",
        "{{ 'a' * 999999999 }}",
        "{{ 9 ** 9 }}",
        "{{ day ~ hour }}{% set x = 1 %}",
        "{% macro a() %}{% endmacro %}",
        "{% include 'x' %}",
        "{% import 'x' as x %}",
        "{% extends 'x' %}",
        "{% block a %}{% endblock %}",
        "{% filter upper %}a{% endfilter %}",
        "{% for a in 'abc' %}{% endfor %}",
        "{% for a in instructions %}{% for b in instructions %}{% endfor %}{% endfor %}",
        "{% for a in instructions recursive %}{% endfor %}",
        "{% for a in instructions if a %}{% endfor %}",
        "{% for a, b in instructions %}{% endfor %}",
        "{% for a in [1, 2] %}{% endfor %}",
        "{{ {'a': 1} }}",
        "{{ day is defined }}",
        "{{ day | replace('a', 'b') }}",
        "{{ day | attr('x') }}",
        "{{ day | center(999999999) }}",
        "{{ day | safe }}",
        "{{ instructions | join(**{'d': 'x'}) }}",
        "{{ self }}",
        "{{ loop }}",
        "{% if day %}" * 50 + "{% endif %}" * 50,
        "{{ " + "not " * 100 + "day }}",
        "{{ " + "(" * 2000 + "day" + ")" * 2000 + " }}",
        "{% raw %}{{ x }}{% endraw %}{% call a() %}{% endcall %}",
    ],
)
def test_nothing_of_jinja_is_allowed_that_reaches_further_than_the_variables(text: str) -> None:
    found = {rule for _, rule, _ in of(EMAIL, text)}
    assert found
    assert found <= {"NOT_ALLOWED", "SYNTAX_ERROR", "VARIABLE_UNKNOWN"}, found


@pytest.mark.parametrize(
    "html",
    [
        "<p>Hello <strong>{{ given_name }}</strong><br></p><ul><li>{{ day }}</li></ul>",
        '<p><a href="{{ link }}">Open</a> <a href="https://example.org/">y</a> <a href="tel:+15055550100">x</a></p>',
        "<p>5 > 4 &lt; 6</p>",
    ],
)
def test_plain_markup_may_stand_in_an_email(html: str) -> None:
    assert of(EMAIL, html=html) == []


@pytest.mark.parametrize(
    ("html", "rule"),
    [
        ("<script>x</script>", "HTML_NOT_ALLOWED"),
        ('<p>a</p>\n<img src="https://example.org/a.png">', "HTML_NOT_ALLOWED"),
        ('<p style="color:red">x</p>', "HTML_NOT_ALLOWED"),
        ('<p onclick="x">x</p>', "HTML_NOT_ALLOWED"),
        ("<style>p{}</style>", "HTML_NOT_ALLOWED"),
        ("<!-- x -->", "HTML_NOT_ALLOWED"),
        ("<![CDATA[x]]>", "HTML_NOT_ALLOWED"),
        ("5 < 4", "HTML_NOT_ALLOWED"),
        ("<p", "HTML_NOT_ALLOWED"),
        ("<{{ day }}>", "HTML_NOT_ALLOWED"),
        ("<{% if day %}script{% endif %}>", "HTML_NOT_ALLOWED"),
        ('<a href="{{ day }}">x</a>', "HTML_NOT_ALLOWED"),
        ("<a href={{ link }}>x</a>", "HTML_NOT_ALLOWED"),
        ('<a href="javascript:x">x</a>', "LINK_HOST_NOT_ALLOWED"),
        ('<a href="https://example.com/">x</a>', "LINK_HOST_NOT_ALLOWED"),
        ('<a href="//example.com/">x</a>', "LINK_HOST_NOT_ALLOWED"),
        ('<p href="https://example.org/">x</p>', "LINK_HOST_NOT_ALLOWED"),
        ("<p>ketamine</p>", "HEALTH_WORD"),
        ("<p>{{ given_name }}{{ family_name }}</p>", "VARIABLE_UNKNOWN"),
    ],
)
def test_no_other_markup_may(html: str, rule: str) -> None:
    found = of(EMAIL, html=html)
    assert {field for field, _, _ in found} == {"html"}
    assert rule in {found for _, found, _ in found}


def test_a_fault_of_markup_names_its_place() -> None:
    [(field, _, description), *_] = of(EMAIL, html="<p>a</p>\n  <img>")
    assert (field, description[:16]) == ("html", "line 2, column 3")


@pytest.mark.parametrize(
    ("subject", "rule"),
    [
        ("Hello {{ given_name }}", "VARIABLE_NOT_DISCREET"),
        ("Your infusion", "HEALTH_WORD"),
        ("One\nTwo", "SUBJECT_NOT_ONE_LINE"),
        ("a" * 160, "TOO_LONG"),
    ],
)
@pytest.mark.parametrize("spot", [EMAIL, IN_APP])
def test_a_subject_is_one_discreet_line(spot: Spot, subject: str, rule: str) -> None:
    assert rules(of(spot, subject=subject)) == [("subject", rule)]


def test_every_fault_of_every_part_is_named_at_once() -> None:
    found = of(EMAIL, "{{ nobody }} and {{ nothing }}", "{{ given_name }}", "<p>ketamine, terapia</p>")
    assert rules(found) == [
        ("subject", "VARIABLE_NOT_DISCREET"),
        ("text", "VARIABLE_UNKNOWN"),
        ("text", "VARIABLE_UNKNOWN"),
        ("html", "HEALTH_WORD"),
        ("html", "HEALTH_WORD"),
    ]


def test_of_many_faults_as_many_are_named_as_fit_into_an_answer() -> None:
    assert len(of(EMAIL, html="<img>" * 1000)) == 20


@pytest.mark.parametrize("text", ["{{ day }}" * 1111, "a." * 5000, "<a " * 3333, "- a.b-" * 1666, "https:" * 1666])
def test_a_template_that_is_meant_to_be_slow_to_check_is_not(text: str) -> None:
    begin = time.process_time()
    of(EMAIL, text[:5000], html=text[:10000])
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("spot", "content", "fault"),
    [
        (EMAIL, Content("", "x"), ("subject", "SUBJECT_MISSING")),
        (EMAIL, Content("x", " "), ("text", "TEXT_MISSING")),
        (SMS, Content("x", NAMED), ("subject", "SUBJECT_NOT_ALLOWED")),
        (VOICE, Content("", "x", "<p>x</p>"), ("html", "HTML_NOT_ALLOWED")),
        (IN_APP, Content("x", "x", "<p>x</p>"), ("html", "HTML_NOT_ALLOWED")),
        (replace(EMAIL, kind=MessageKind.HELP), Content("x", "x"), ("channel", "CHANNEL_NOT_OF_KIND")),
        (replace(VOICE, kind=MessageKind.INVOICE_ISSUED), Content("", "x"), ("channel", "CHANNEL_NOT_OF_KIND")),
        (replace(IN_APP, kind=MessageKind.COMPANION_PICK_UP), Content("x", "x"), ("channel", "CHANNEL_NOT_OF_KIND")),
    ],
)
def test_each_channel_has_its_parts(spot: Spot, content: Content, fault: tuple[str, str]) -> None:
    assert [(each.field, each.rule) for each in faults(spot, content, HOSTS)] == [fault]


def test_a_companions_email_says_no_more_than_a_text() -> None:
    spot = replace(EMAIL, kind=MessageKind.COMPANION_PICK_UP)
    assert rules(of(spot, "{{ site_name }} {{ day }} {{ ends }} {{ phone }}")) == []
    assert rules(of(spot, "{{ given_name }}")) == [("text", "VARIABLE_UNKNOWN")]
    assert all(each.discreet for each in variables_of(MessageKind.COMPANION_PICK_UP))


def test_an_answer_to_a_text_need_not_name_a_phone() -> None:
    spot = replace(SMS, kind=MessageKind.REPLY_RECEIVED)
    assert of(spot, "{{ site_name }}: thank you.") == []


def test_the_page_about_templates_names_every_rule_and_every_variable() -> None:
    page = (ROOT / "docs" / "templates.md").read_text()
    source = (ROOT / "services" / "notifications" / "wording" / "checks.py").read_text()
    source += (ROOT / "services" / "notifications" / "wording" / "engine.py").read_text()
    named = set(re.findall(r'"([A-Z]{4,}(?:_[A-Z]+)+)"', source))
    assert len(named) > 15
    assert {rule for rule in named if not re.search(rf"\b{rule}\b", page)} == set()
    assert {each.name for each in VARIABLES if f"`{each.name}`" not in page} == set()


def own(spot: Spot, content: Content) -> OwnTemplate:
    return OwnTemplate(UUID(int=1), 3, spot, content, NOW, "user")


def test_a_message_is_written_from_the_chains_own_text_and_says_so() -> None:
    html = '<p>Dear {{ given_name }}</p><a href="{{ link }}">x</a>'
    mine = own(replace(EMAIL, language="vi"), Content("{{ site_name }} {{ day }}", "{{ hour }}", html))
    given = replace(SAMPLE, given_name="<i>", link='https://example.org/?a="b"')
    message = Templates().write(MessageKind.VISIT_REMINDER, Channel.EMAIL, "vi", given, mine)
    assert (message.subject, message.text) == ("Harbor Lane 2027-03-15", "14:05 MDT\n")
    page = message.html or ""
    assert '<p>Dear &lt;i&gt;</p><a href="https://example.org/?a=&#34;b&#34;">x</a>' in page
    assert '<html lang="vi">' in page
    assert message.template.code.startswith("template_")
    assert (message.template.version, message.template.language) == ("3", "vi")


def test_a_text_of_another_language_keeps_its_letters() -> None:
    mine = own(VIETNAMESE, Content("", "{{ site_name }}: hẹn gặp lại"))
    assert Templates().write(SMS.kind, Channel.SMS, "vi", SAMPLE, mine).text == "Harbor Lane: hẹn gặp lại"


def test_what_slipped_past_the_checks_is_still_held_by_the_sandbox() -> None:
    for text in ("{{ day.__class__.__mro__ }}", "{{ given_name }}", "{{ nobody }}", "{{ range(9) }}"):
        source = replace(source_of(own(VOICE, Content("", text))))
        with pytest.raises(BrokenTemplate):
            write(MessageKind.VISIT_REMINDER, Channel.VOICE, SAMPLE, source)
    assert isinstance(source, Source)
