"""Rules of protocol templates, and the five clinic programmes expressed as templates."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import pytest

from chassis.errors import BadRequest
from services.scheduling.domain.protocols import Anchor, ProtocolTemplateInvalid, SegmentKind, template_of
from services.scheduling.events import template_to_wire
from services.scheduling.rpc.protocols import template_from_wire
from services.scheduling.store.protocols import kept_template, template_column
from tests.support.scheduling import TEMPLATE, bands, domain_template, phase, requirement, segment

TALKING = segment("CONSULTATION", 45, therapist=1)
TELEHEALTH = {
    "code": "telehealth",
    "display_name": "Talk",
    "requirements": [requirement("therapist", "STAFF", "therapist")],
    "segments": [TALKING],
    "bands": bands(any=0),
    "telehealth": True,
}


def infusion(minutes: int, observed: int, *, code: str = "infusion", **more: int) -> dict[str, Any]:
    return {
        "code": code,
        "display_name": "Infusion",
        "requirements": [
            requirement("nurse", "STAFF", "infusion"),
            requirement("room", "ROOM", "private"),
            requirement("monitor", "EQUIPMENT"),
        ],
        "segments": [
            segment("PREPARATION", 15, nurse=1, room=1),
            segment("ADMINISTRATION", minutes, nurse=2, room=1, monitor=1),
            segment("OBSERVATION", observed, nurse=1, room=1, monitor=1),
            segment("TURNOVER", 10, room=1),
        ],
        "bands": bands(**more or {"any": 0}),
    }


IV = [{"code": "iv", "display_name": "Infusion"}]
CLEARED = {"needs_clearance": True}
PROGRAMMES: Mapping[str, Mapping[str, Any]] = {
    "P1": {
        "routes": [*IV, {"code": "nasal", "display_name": "Spray"}, {"code": "oral", "display_name": "Lozenge"}],
        "visit_types": [infusion(45, 30), TELEHEALTH],
        "phases": [
            phase("induction", "INDUCTION", "infusion", (1, 6, 12), (10, 14, 18), **CLEARED),
            phase("talk", "FOLLOW_UP", "telehealth", (1, 2, 12), (0, 7, 14)),
        ],
    },
    "P1 alongside": {
        "routes": IV,
        "visit_types": [TELEHEALTH],
        "phases": [phase("talk", "MAINTENANCE", "telehealth", (1, 12, 60), (5, 7, 21))],
    },
    "P2": {
        "routes": IV,
        "visit_types": [infusion(40, 30)],
        "phases": [phase("induction", "INDUCTION", "infusion", (1, 4, 20), (2, 7, 21), **CLEARED)],
    },
    "P3": {
        "routes": [*IV, {"code": "nasal", "display_name": "Spray"}],
        "visit_types": [TELEHEALTH, infusion(60, 30)],
        "phases": [
            phase("assessment", "ASSESSMENT", "telehealth", (1, 1, 1), (0, 0, 0)),
            phase("induction", "INDUCTION", "infusion", (4, 8, 10), (2, 3, 5), **CLEARED),
        ],
    },
    "P4": {
        "routes": [*IV, {"code": "im", "display_name": "Injection"}],
        "visit_types": [infusion(60, 60, up_to_40=40, up_to_60=60, longer=0)],
        "phases": [phase("induction", "INDUCTION", "infusion", (1, 6, 6), (2, 4, 14), **CLEARED)],
    },
    "P5": {
        "routes": IV,
        "visit_types": [infusion(40, 20), TELEHEALTH],
        "phases": [
            phase("induction", "INDUCTION", "infusion", (6, 6, 6), (2, 3, 4), **CLEARED),
            phase("follow_up", "FOLLOW_UP", "telehealth", (1, 1, 3), (7, 14, 30)),
        ],
    },
}


@pytest.mark.parametrize("programme", PROGRAMMES)
def test_each_of_the_five_programmes_is_a_valid_template(programme: str) -> None:
    template = domain_template(PROGRAMMES[programme])
    template.check()
    assert template_of(asdict(template)) == template


def test_a_template_survives_the_wire_and_plain_data() -> None:
    template = domain_template()
    wire = template_to_wire(template)
    assert wire.phases[1].needs_clearance
    assert wire.visit_types[1].segments[1].uses[0].lane_count == 2
    assert template_of(asdict(template)) == template


def test_all_that_a_template_can_say_survives_the_wire_and_plain_data() -> None:
    data = changed(lambda t: t["phases"].append(review()))
    data["phases"][1] |= {"window_days": 21, "entry_gap": {"days_min": 0, "days_preferred": 7, "days_max": 60}}
    data["visit_types"][TREATMENT] |= {"notice_minutes": 1440, "grid_minutes": 30}
    data["visit_types"][TREATMENT]["requirements"][0] |= {"credential_codes": ["RN", "MD"], "same_across_visits": True}
    template = domain_template(
        data
        | {
            "gates": [gate("RIDE_HOME", "treatment"), dated("TELEMEDICINE", (2027, 1, 1), (2027, 12, 31))],
            "instructions": [instruction("fast")],
        }
    )
    template.check()
    assert kept_template(template_column(template)) == template
    assert template_from_wire(template_to_wire(template)) == template
    treatment = template.visit_type("treatment")
    assert (treatment.notice, treatment.grid, template.visit_type("talk").grid) == (timedelta(days=1), 30, 15)


def test_a_template_kept_before_gates_and_windows_were_known_is_still_read() -> None:
    data = asdict(domain_template())
    for name in ("gates", "instructions"):
        del data[name]
    for phase_data in data["phases"]:
        del phase_data["window_days"], phase_data["anchor"], phase_data["entry_gap"]
    for visit_type in data["visit_types"]:
        del visit_type["notice_minutes"], visit_type["grid_minutes"]
        for each in visit_type["requirements"]:
            del each["credential_codes"], each["same_across_visits"]
    assert template_of(data) == domain_template()


@pytest.mark.parametrize(
    ("last", "months", "first_day", "last_day"),
    [
        (date(2027, 1, 31), 1, date(2027, 2, 21), date(2027, 3, 7)),  # Due on the last day of February.
        (date(2028, 1, 30), 1, date(2028, 2, 22), date(2028, 3, 7)),  # Of a leap year.
        (date(2027, 11, 15), 3, date(2028, 2, 8), date(2028, 2, 22)),
        (date(2027, 5, 3), 0, date(2027, 5, 3), date(2027, 5, 10)),  # Never before what it follows.
    ],
)
def test_a_re_evaluation_is_due_calendar_months_after_its_anchor(
    last: date, months: int, first_day: date, last_day: date
) -> None:
    assert Anchor("induction", months, tolerance_days=7).days(last) == (first_day, last_day)


@pytest.mark.parametrize("months", [0, 1, 13])
@pytest.mark.parametrize("tolerance", [0, 2])
@pytest.mark.parametrize("since", [date(2027, 2, 26), date(2028, 2, 26), date(2027, 3, 28), date(2027, 12, 29)])
def test_the_days_of_an_anchors_last_visit_are_those_from_which_a_re_evaluation_is_due(
    since: date, tolerance: int, months: int
) -> None:
    anchor = Anchor("induction", months, tolerance)
    for day in (since + timedelta(days=n) for n in range(6)):
        around = (day + timedelta(days=n) for n in range(-31 * months - 9, 5))
        kept = [each for each in around if anchor.days(each)[0] <= day <= anchor.days(each)[1]]
        first, last = anchor.last_visit_days(day)
        assert [first + timedelta(days=n) for n in range((last - first).days + 1)] == kept


def test_a_visit_type_knows_what_it_holds_and_how_long() -> None:
    treatment = domain_template().visit_type("treatment")
    assert (treatment.minutes, treatment.stay_minutes) == (90, 80)
    assert [(need.start, need.end, need.lane_count) for need in treatment.needs["nurse"]] == [
        (0, 10, 1),
        (10, 50, 2),
        (50, 80, 1),
    ]
    assert treatment.planned_band_code == "short"


@pytest.mark.parametrize(("minutes", "band"), [(40, "up_to_40"), (41, "up_to_60"), (60, "up_to_60"), (61, "longer")])
def test_a_band_holds_the_minutes_of_administration_up_to_its_bound(minutes: int, band: str) -> None:
    visit_type = domain_template(PROGRAMMES["P4"]).visit_type("infusion")
    whole = ((SegmentKind.OBSERVATION, 500), (SegmentKind.ADMINISTRATION, minutes))
    assert visit_type.band_code(whole) == band


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    data = deepcopy(dict(TEMPLATE))
    change(data)
    return data


TALK, TREATMENT = 0, 1  # Where the visit types stand.
REVIEW = "template.phases[3]"


def review(code: str = "review", *, anchor_phase: str = "induction", **changes: int) -> dict[str, Any]:
    """A re-evaluation a month after the last treatment."""
    anchor = {"phase_code": anchor_phase, "months": 1, "tolerance_days": 7}
    return phase(code, "FOLLOW_UP", "talk", (1, 1, 1), (0, 0, 0), anchor=anchor) | changes


def gate(kind: str, *visit_types: str) -> dict[str, Any]:
    return {
        "kind": f"GATE_KIND_{kind}",
        "stage": "GATE_STAGE_CHECK_IN",
        "effect": "GATE_EFFECT_BLOCK",
        "visit_type_codes": list(visit_types),
    }


Day = tuple[int, int, int]


def dated(kind: str, first: Day | None, last: Day | None) -> dict[str, Any]:
    told = {"effective_date": first, "expire_date": last}
    days = {name: dict(zip(("year", "month", "day"), day, strict=True)) for name, day in told.items() if day}
    return gate(kind) | days


@pytest.mark.parametrize("kind", ["ESTIMATE_DELIVERED", "FASTING", "OBSERVATION_SERVED", "VITALS"])
def test_what_nobody_knows_at_booking_is_no_gate_of_it(kind: str) -> None:
    template = domain_template({**TEMPLATE, "gates": [gate(kind) | {"stage": "GATE_STAGE_BOOKING"}]})
    assert [(each.field, each.rule) for each in template.faults()] == [
        ("template.gates[0].stage", "LATER_THAN_BOOKING")
    ]


def test_a_gate_may_stand_again_for_other_days() -> None:
    gates = [dated("TELEMEDICINE", None, (2026, 12, 31)), dated("TELEMEDICINE", (2027, 1, 1), None)]
    domain_template({**TEMPLATE, "gates": gates}).check()


def test_a_day_of_a_gate_that_the_calendar_has_not_is_refused_by_its_field() -> None:
    with pytest.raises(BadRequest) as refused:
        domain_template({**TEMPLATE, "gates": [gate("FASTING"), dated("CONSENT", (2027, 2, 30), None)]})
    assert [each.field for each in refused.value.violations] == ["template.gates[1].effective_date"]


def instruction(code: str, *visit_types: str) -> dict[str, Any]:
    return {"code": code, "display_name": "No solid food", "hours_before": 6, "visit_type_codes": list(visit_types)}


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        (lambda t: t["routes"].append(t["routes"][0]), [("template.routes[2].code", "REPEATED")]),
        (
            lambda t: t["visit_types"].append(t["visit_types"][TALK]),
            [("template.visit_types[2].code", "REPEATED")],
        ),
        (lambda t: t["phases"].append(t["phases"][0]), [("template.phases[3].code", "REPEATED")]),
        (
            lambda t: t["visit_types"][TREATMENT]["requirements"].append(requirement("room", "ROOM")),
            [("template.visit_types[1].requirements[2].key", "REPEATED")],
        ),
        (
            lambda t: t["visit_types"][TREATMENT]["requirements"].append(requirement("pump", "EQUIPMENT")),
            [("template.visit_types[1].requirements[2].key", "NEVER_USED")],
        ),
        (
            lambda t: t["visit_types"][TALK].update(
                requirements=[requirement("patient", "STAFF")], segments=[segment("CONSULTATION", 30, patient=1)]
            ),
            [("template.visit_types[0].requirements[0].key", "RESERVED")],
        ),
        (
            lambda t: t["visit_types"][TREATMENT]["segments"][0]["uses"].append(
                {"requirement_key": "pump", "lane_count": 1}
            ),
            [("template.visit_types[1].segments[0].uses[2].requirement_key", "UNKNOWN")],
        ),
        (
            lambda t: t["visit_types"][TREATMENT]["segments"][0]["uses"].append(
                {"requirement_key": "room", "lane_count": 1}
            ),
            [("template.visit_types[1].segments[0].uses[2].requirement_key", "REPEATED")],
        ),
        (
            lambda t: t["visit_types"][TREATMENT]["segments"].insert(0, segment("TURNOVER", 5)),
            [("template.visit_types[1].segments[0].kind", "TURNOVER_NOT_LAST")],
        ),
        (
            lambda t: t["visit_types"][TALK].update(
                segments=[segment("TURNOVER", 5, prescriber=1)],
            ),
            [("template.visit_types[0].segments[0].kind", "TURNOVER_NOT_LAST")],
        ),
        (
            lambda t: t["visit_types"][TREATMENT]["segments"][1].update(minutes=24 * 60),
            [("template.visit_types[1].segments", "TOO_LONG")],
        ),
        (
            lambda t: t["visit_types"][TREATMENT].update(telehealth=True),
            [("template.visit_types[1].requirements[1].kind", "ROOM_OF_TELEHEALTH")],
        ),
        (
            lambda t: t["visit_types"][TREATMENT].update(bands=bands(one=60, two=60, three=0)),
            [("template.visit_types[1].bands[1].max_minutes", "NOT_ASCENDING")],
        ),
        (
            lambda t: t["visit_types"][TREATMENT].update(bands=bands(one=0, two=0)),
            [("template.visit_types[1].bands[0].max_minutes", "NOT_ASCENDING")],
        ),
        (
            lambda t: t["visit_types"][TREATMENT].update(bands=bands(one=60)),
            [("template.visit_types[1].bands[0].max_minutes", "NOT_OPEN")],
        ),
        (
            lambda t: t["phases"][1].update(visit_type_code="drip"),
            [("template.phases[1].visit_type_code", "UNKNOWN")],
        ),
        (
            lambda t: t["phases"][1].update(visits_default=7),
            [("template.phases[1].visits_default", "OUT_OF_BOUNDS")],
        ),
        (
            lambda t: t["phases"][1].update(gap_days_min=4),
            [("template.phases[1].gap_days_preferred", "OUT_OF_BOUNDS")],
        ),
        (
            lambda t: t["phases"][1].update(visits_default=59, visits_max=60),
            [("template.phases", "TOO_MANY_VISITS")],
        ),
        (lambda t: t["phases"][1].update(window_days=10), [("template.phases[1].window_days", "TOO_NARROW")]),
        (lambda t: t["phases"].append(review(anchor_phase="nowhere")), [(REVIEW + ".anchor.phase_code", "UNKNOWN")]),
        (
            lambda t: t["phases"].extend([review(), review("again", anchor_phase="review")]),
            [("template.phases[4].anchor.phase_code", "UNKNOWN")],
        ),
        (lambda t: t["phases"].append(review(visits_max=2)), [(REVIEW + ".visits_max", "NOT_ONE")]),
        (lambda t: t["phases"].append(review(gap_days_max=9)), [(REVIEW + ".gap_days_max", "OF_ANCHORED")]),
        (lambda t: t["phases"].append(review(window_days=9)), [(REVIEW + ".window_days", "OF_ANCHORED")]),
        (lambda t: t["phases"].append(review() | {"entry_gap": {}}), [(REVIEW + ".entry_gap", "OF_ANCHORED")]),
        (
            lambda t: t["phases"][1].update(entry_gap={"days_preferred": 8, "days_max": 7}),
            [("template.phases[1].entry_gap", "OUT_OF_BOUNDS")],
        ),
        (
            lambda t: t["visit_types"][TREATMENT]["requirements"][1].update(credential_codes=["MD"]),
            [("template.visit_types[1].requirements[1].credential_codes", "NOT_OF_STAFF")],
        ),
        (lambda t: t.update(gates=[gate("FASTING"), gate("FASTING")]), [("template.gates[1].kind", "REPEATED")]),
        (
            lambda t: t.update(gates=[dated("FASTING", None, (2027, 1, 1)), dated("FASTING", (2027, 1, 1), None)]),
            [("template.gates[1].kind", "REPEATED")],
        ),
        (
            lambda t: t.update(gates=[dated("FASTING", (2027, 1, 2), (2027, 1, 1))]),
            [("template.gates[0].expire_date", "BEFORE_START")],
        ),
        (
            lambda t: t.update(gates=[gate("FASTING", "talk", "drip")]),
            [("template.gates[0].visit_type_codes[1]", "UNKNOWN")],
        ),
        (
            lambda t: t.update(instructions=[instruction("fasting"), instruction("fasting")]),
            [("template.instructions[1].code", "REPEATED")],
        ),
        (
            lambda t: t.update(instructions=[instruction("fasting", "drip")]),
            [("template.instructions[0].visit_type_codes[0]", "UNKNOWN")],
        ),
    ],
)
def test_a_fault_is_named_with_its_path(
    change: Callable[[dict[str, Any]], object], faults: list[tuple[str, str]]
) -> None:
    with pytest.raises(ProtocolTemplateInvalid) as refused:
        domain_template(changed(change)).check()
    assert [(each.field, each.rule) for each in refused.value.violations] == faults
