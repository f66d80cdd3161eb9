"""A site's own form of a protocol version: narrower in every way that there is, wider in none."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from services.scheduling.domain.narrowing import NarrowingWidens, check_narrows
from services.scheduling.domain.protocols import ProtocolTemplateInvalid
from tests.support.scheduling import TEMPLATE, domain_template, phase

BASE: dict[str, Any] = deepcopy(dict(TEMPLATE)) | {
    "gates": [
        {
            "kind": "GATE_KIND_RIDE_HOME",
            "stage": "GATE_STAGE_CHECK_IN",
            "effect": "GATE_EFFECT_ALLOW_WITH_REASON",
            "visit_type_codes": ["treatment"],
        },
        {
            "kind": "GATE_KIND_TELEMEDICINE",
            "stage": "GATE_STAGE_CHECK_IN",
            "effect": "GATE_EFFECT_BLOCK",
            "visit_type_codes": ["talk"],
            "effective_date": {"year": 2027, "month": 1, "day": 1},
            "expire_date": {"year": 2027, "month": 12, "day": 31},
        },
    ],
    "instructions": [{"code": "fasting", "display_name": "No solid food", "hours_before": 6}],
}
TALK, TREATMENT = 0, 1  # Where the visit types stand.
INDUCTION = 1
BASE["visit_types"][TREATMENT] |= {"notice_minutes": 60, "grid_minutes": 15}
BASE["visit_types"][TREATMENT]["requirements"][0] |= {"credential_codes": ["MD", "RN"], "same_across_visits": True}
BASE["phases"][INDUCTION]["window_days"] = 40
BASE["phases"][INDUCTION]["entry_gap"] = {"days_min": 0, "days_preferred": 7, "days_max": 60}
BASE["phases"].append(
    phase(
        "review",
        "FOLLOW_UP",
        "talk",
        (1, 1, 1),
        (0, 0, 0),
        anchor={"phase_code": "induction", "months": 1, "tolerance_days": 7},
    )
)


def narrow(change: Callable[[dict[str, Any]], object]) -> None:
    data = deepcopy(BASE)
    change(data)
    check_narrows(domain_template(BASE), domain_template(data))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["routes"].pop(),
        lambda t: t["visit_types"][TREATMENT]["segments"][2].update(minutes=60),
        lambda t: t["visit_types"][TREATMENT]["segments"][2]["uses"][0].update(lane_count=2),
        lambda t: t["visit_types"][TREATMENT].update(notice_minutes=120),
        lambda t: t["visit_types"][TREATMENT].update(grid_minutes=30),
        lambda t: t["visit_types"][TREATMENT]["requirements"][1].update(capability="private"),
        lambda t: t["visit_types"][TREATMENT]["requirements"][0].update(credential_codes=["RN"]),
        lambda t: t["visit_types"][TALK]["requirements"][0].update(credential_codes=["MD"], same_across_visits=True),
        lambda t: t["phases"][INDUCTION].update(visits_min=3, visits_default=5, visits_max=5),
        lambda t: t["phases"][INDUCTION].update(gap_days_min=3, gap_days_max=4, window_days=30),
        lambda t: t["phases"][INDUCTION]["entry_gap"].update(days_min=1, days_max=59),
        lambda t: t["phases"][2].update(entry_gap={"days_min": 7, "days_preferred": 7, "days_max": 29}),
        lambda t: t["phases"][0].update(needs_clearance=True),
        lambda t: t["gates"][0].update(effect="GATE_EFFECT_BLOCK", visit_type_codes=[]),
        lambda t: t["gates"].append(t["gates"][0] | {"kind": "GATE_KIND_FASTING"}),
        lambda t: t["gates"][1].update(effective_date={"year": 2026, "month": 7, "day": 1}),
        lambda t: t["gates"][1].pop("expire_date"),
        lambda t: t["instructions"].append({"code": "rest", "display_name": "Rest for a day", "hours_before": 0}),
        lambda t: None,
    ],
)
def test_a_site_may_ask_for_more_and_allow_less(change: Callable[[dict[str, Any]], object]) -> None:
    narrow(change)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda t: t["routes"].append({"code": "im", "display_name": "Injection"}), "routes[2]"),
        (lambda t: t["routes"][0].update(display_name="Drip"), "routes[0]"),
        (lambda t: t["phases"].pop(), "phases"),
        (lambda t: t["visit_types"][TREATMENT].update(display_name="Drip"), "visit_types[1].display_name"),
        (
            lambda t: t["visit_types"][TREATMENT].update(bands=[{"code": "any", "max_minutes": 0}]),
            "visit_types[1].bands",
        ),
        (lambda t: t["visit_types"][TREATMENT].update(notice_minutes=59), "visit_types[1].notice_minutes"),
        (lambda t: t["visit_types"][TREATMENT].update(grid_minutes=20), "visit_types[1].grid_minutes"),
        (
            lambda t: t["visit_types"][TREATMENT]["requirements"][0].update(capability=""),
            "visit_types[1].requirements[0].capability",
        ),
        (
            lambda t: t["visit_types"][TREATMENT]["requirements"][0].update(credential_codes=[]),
            "visit_types[1].requirements[0].credential_codes",
        ),
        (
            lambda t: t["visit_types"][TREATMENT]["requirements"][0].update(credential_codes=["RN", "LPN"]),
            "visit_types[1].requirements[0].credential_codes",
        ),
        (
            lambda t: t["visit_types"][TREATMENT]["requirements"][0].update(same_across_visits=False),
            "visit_types[1].requirements[0].same_across_visits",
        ),
        (
            lambda t: t["visit_types"][TREATMENT]["requirements"][1].update(kind="RESOURCE_KIND_EQUIPMENT"),
            "visit_types[1].requirements[1].kind",
        ),
        (
            lambda t: t["visit_types"][TREATMENT]["segments"][1].update(minutes=41),
            "visit_types[1].segments[1].minutes",
        ),
        (
            lambda t: t["visit_types"][TREATMENT]["segments"][2].update(minutes=29),
            "visit_types[1].segments[2].minutes",
        ),
        (
            lambda t: t["visit_types"][TREATMENT]["segments"][1]["uses"][0].update(lane_count=1),
            "visit_types[1].segments[1].uses",
        ),
        (lambda t: t["visit_types"][TREATMENT]["segments"].pop(), "visit_types[1].segments"),
        (lambda t: t["phases"][INDUCTION].update(kind="PHASE_KIND_MAINTENANCE"), "phases[1].kind"),
        (lambda t: t["phases"][2].update(visits_min=0), "phases[2].visits_min"),
        (lambda t: t["phases"][INDUCTION].update(visits_max=7), "phases[1].visits_max"),
        (lambda t: t["phases"][INDUCTION].update(gap_days_min=1), "phases[1].gap_days_min"),
        (lambda t: t["phases"][INDUCTION].update(gap_days_max=6), "phases[1].gap_days_max"),
        (lambda t: t["phases"][INDUCTION]["entry_gap"].update(days_max=61), "phases[1].entry_gap.days_max"),
        (
            lambda t: t["phases"][2].update(entry_gap={"days_min": 6, "days_preferred": 6, "days_max": 30}),
            "phases[2].entry_gap.days_min",
        ),
        (lambda t: t["phases"][INDUCTION].update(window_days=41), "phases[1].window_days"),
        (lambda t: t["phases"][INDUCTION].update(window_days=0), "phases[1].window_days"),
        (lambda t: t["phases"][INDUCTION].update(needs_clearance=False), "phases[1].needs_clearance"),
        (lambda t: t["phases"][3]["anchor"].update(tolerance_days=8), "phases[3].anchor"),
        (lambda t: t["gates"].pop(), "gates"),
        (lambda t: t["gates"][1].update(effective_date={"year": 2027, "month": 1, "day": 2}), "gates"),
        (lambda t: t["gates"][1].update(expire_date={"year": 2027, "month": 12, "day": 30}), "gates"),
        (lambda t: t["gates"][0].update(expire_date={"year": 2099, "month": 12, "day": 31}), "gates"),
        (lambda t: t["gates"][0].update(effect="GATE_EFFECT_WARN"), "gates"),
        (lambda t: t["gates"][0].update(visit_type_codes=["talk"]), "gates"),
        (lambda t: t["instructions"].pop(), "instructions"),
    ],
)
def test_a_site_may_not_widen(change: Callable[[dict[str, Any]], object], field: str) -> None:
    with pytest.raises(NarrowingWidens) as refused:
        narrow(change)
    assert [(each.field, each.rule) for each in refused.value.violations] == [(f"narrowed_template.{field}", "WIDER")]


def test_a_sites_form_is_a_whole_template_by_its_own_rules() -> None:
    with pytest.raises(ProtocolTemplateInvalid) as refused:
        narrow(lambda t: t["phases"][INDUCTION].update(visits_min=6, visits_default=5))
    assert [each.field for each in refused.value.violations] == ["narrowed_template.phases[1].visits_default"]
