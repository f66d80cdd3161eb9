"""The guards of scheduling."""

from tests.mutants.mutant import Mutant

U_SCHEDULING_COURSES = "tests/unit/test_scheduling_courses.py"
U_SCHEDULING_HOURS = "tests/unit/test_scheduling_hours.py"
U_SCHEDULING_SITES = "tests/unit/test_scheduling_sites.py"
U_SCHEDULING_VISITS = "tests/unit/test_scheduling_visits.py"
U_SCHEDULING_PROTOCOLS = "tests/unit/test_scheduling_protocols.py"
U_SCHEDULING_PLANNING = "tests/unit/test_scheduling_planning.py"
P_SCHEDULING = "tests/property/test_scheduling.py"
I_SCHEDULING_RACES = "tests/integration/test_scheduling_races.py"
I_SCHEDULING_VISITS = "tests/integration/test_scheduling_visits.py"
I_SCHEDULING_REFERENCE = "tests/integration/test_scheduling_reference.py"
I_SCHEDULING_COURSES = "tests/integration/test_scheduling_courses.py"
I_SCHEDULING_PAUSES = "tests/integration/test_scheduling_pauses.py"

SCHEDULING = [
    Mutant("services/scheduling/domain/courses.py", 'if s.second or s.microsecond', 'if False', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'if start < now', 'if False', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'if other.stay.start < one.stay.end', 'if False', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'if not phase.gap_days_min <= days <= phase.gap_days_max:', 'if False:', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'slot.start.astimezone(self.site.zone).date()', 'slot.start.date()', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'if any(each.slot.overlaps(layout.stay) for each in by_holder.get(patient_id, ())):', 'if False:', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'if len(free) < need.lane_count:', 'if not free:', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'held += found  #', '_ = found  #', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'not layout.type.telehealth and not self.site.hold(layout.hold)', 'not self.site.hold(layout.hold)', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'if gated and self.clearances is None:', 'if False:', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'route_code in self.route_codes and ', '', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'if order[code] < before:', 'if False:', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'elif ids[n] in ids[:n]:', 'elif False:', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'elif wanted.capability and wanted.capability not in resource.capabilities:', 'elif False:', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/hours.py", 'wall.replace(tzinfo=zone, fold=1)', 'wall.replace(tzinfo=zone, fold=0)', U_SCHEDULING_HOURS),
    Mutant("services/scheduling/domain/hours.py", 'slot.start.astimezone(self.zone).date() - DAY', 'slot.start.astimezone(self.zone).date()', U_SCHEDULING_HOURS),
    Mutant("services/scheduling/domain/hours.py", 'if spans and slot.start <= spans[-1].end:', 'if False:', U_SCHEDULING_HOURS),
    Mutant("services/scheduling/domain/hours.py", 'WEEK_MINUTES if other == order[0] else 0', '0', U_SCHEDULING_HOURS),
    Mutant("services/scheduling/domain/resources.py", '% 10 == 0', '% 10 >= 0', U_SCHEDULING_SITES),
    Mutant("services/scheduling/domain/sites.py", 'if betrays_health(self.discreet_name):', 'if False:', U_SCHEDULING_SITES),
    Mutant("services/scheduling/domain/sites.py", ' if "/" in name', '', U_SCHEDULING_SITES),
    Mutant("services/scheduling/domain/visits.py", 'if self.status not in BEFORE[status]:', 'if False:', U_SCHEDULING_VISITS),
    Mutant("services/scheduling/domain/visits.py", 'if now < self.slot.start:', 'if False:', U_SCHEDULING_VISITS),
    Mutant("services/scheduling/domain/visits.py", 'Status.IN_TREATMENT: frozenset({Status.CHECKED_IN})', 'Status.IN_TREATMENT: frozenset(Status)', U_SCHEDULING_VISITS),
    Mutant("services/scheduling/domain/protocols.py", 'if band.max_minutes <= below:', 'if False:', U_SCHEDULING_PROTOCOLS),
    Mutant("services/scheduling/domain/protocols.py", 'total <= band.max_minutes', 'total < band.max_minutes', U_SCHEDULING_PROTOCOLS),
    Mutant("services/scheduling/domain/planning.py", 'everywhere >> past << past', 'everywhere', U_SCHEDULING_PLANNING),
    Mutant("services/scheduling/domain/planning.py", 'if day + gap < len(self._days)', 'if True', U_SCHEDULING_PLANNING),
    Mutant("services/scheduling/domain/planning.py", 'together &= _each_their_own(', 'together &= -1 | _each_their_own(', U_SCHEDULING_PLANNING),
    Mutant("services/scheduling/domain/planning.py", 'reached[n] |= reached[n - 1] & row', 'reached[n] |= row', P_SCHEDULING),
    Mutant("services/scheduling/domain/planning.py", 'bisect_left(starts, release)', '0', P_SCHEDULING),
    Mutant("services/scheduling/domain/planning.py", 'yield there & ~self._bits(', 'yield there | 0 * self._bits(', P_SCHEDULING),
    Mutant("services/scheduling/domain/planning.py", 'abs(gap - phase.gap_days_preferred)', 'gap', P_SCHEDULING),
    Mutant("services/scheduling/domain/planning.py", 'if self._wish.weekdays and self._days[day].weekday() not in self._wish.weekdays:', 'if False:', P_SCHEDULING),
    Mutant("services/scheduling/migrations/versions/0001_initial.py", 'resource_id WITH =, lane WITH =, tstzrange', 'resource_id WITH =, lane WITH =, visit_id WITH =, tstzrange', I_SCHEDULING_RACES),
    Mutant("services/scheduling/migrations/versions/0001_initial.py", 'patient_id WITH =, tstzrange', 'patient_id WITH =, visit_id WITH =, tstzrange', I_SCHEDULING_RACES),
    Mutant("services/scheduling/store/__init__.py", '        "presence_never_twice": VisitsConflict,\n', '', I_SCHEDULING_RACES),
    Mutant("services/scheduling/rpc/courses.py", 'locks=command.contended_ids', 'locks=()', I_SCHEDULING_RACES),
    Mutant("services/scheduling/rpc/protocols.py", 'locks=[protocol_id]', 'locks=[]', I_SCHEDULING_RACES),
    Mutant("services/scheduling/store/visits.py", '    .with_for_update()\n', '', I_SCHEDULING_RACES),
    Mutant("services/scheduling/store/visits.py", 'FREE_VISIT if changed.status in FREEING else CHANGE_VISIT', 'CHANGE_VISIT', I_SCHEDULING_VISITS),
    Mutant("services/scheduling/store/visits.py", 'visit.c.end_at > _start,', 'visit.c.start_at > _start,', I_SCHEDULING_VISITS),
    Mutant("services/scheduling/use_cases.py", 'version = found.course_version + 1', 'version = found.course_version', I_SCHEDULING_VISITS),
    Mutant("services/scheduling/use_cases.py", '    if not await store.adopt(site_id, version_id):\n        return await store.adopted_at(site_id, version_id)\n', '    await store.adopt(site_id, version_id)\n', I_SCHEDULING_REFERENCE),
    Mutant("services/scheduling/store/protocols.py", 'key = self.call.chain_id, id', 'key = id, id', I_SCHEDULING_REFERENCE),
    Mutant("services/scheduling/store/patients.py", '"band_codes", "session_minutes_max")', '"band_codes", "session_minutes_max", "revoked")', I_SCHEDULING_COURSES),
    Mutant("services/scheduling/store/courses.py", 'table.c.start_at < _wanted.c.end_at', 'table.c.start_at < _wanted.c.start_at', I_SCHEDULING_COURSES),
    Mutant("services/scheduling/store/courses.py", 'if not each["revoked"]', 'if True', I_SCHEDULING_COURSES),
    Mutant("services/scheduling/store/courses.py", 'if not row["adopted"]:', 'if False:', I_SCHEDULING_COURSES),
    Mutant("services/scheduling/store/courses.py", 'if not row["patient_known"]:', 'if False:', I_SCHEDULING_COURSES),
    Mutant("services/scheduling/store/planning.py", 'presence.c.patient_id == PATIENT, ', '', I_SCHEDULING_COURSES),
    Mutant("services/scheduling/store/patients.py", '        where=adverse_event.c.version < _heard.excluded.version,\n', '', I_SCHEDULING_PAUSES),
    Mutant("services/scheduling/domain/courses.py", 'if self.paused and layout.type.administers:', 'if self.paused:', I_SCHEDULING_PAUSES),
    Mutant("services/scheduling/domain/courses.py", '        refuse(CoursePaused, self._paused(layouts))\n', '', I_SCHEDULING_PAUSES),
    Mutant("services/scheduling/store/visits.py", 'if self.paused and self.visit.route_code:', 'if self.paused:', I_SCHEDULING_PAUSES),
    Mutant("services/scheduling/store/visits.py", 'or_(adverse_event.c.course_id.is_(None), adverse_event.c.course_id == visit.c.course_id),', 'adverse_event.c.course_id == visit.c.course_id,', I_SCHEDULING_PAUSES),
    Mutant("services/scheduling/use_cases.py", '    if status is Status.IN_TREATMENT:\n', '    if False:\n', I_SCHEDULING_PAUSES),
    Mutant("services/scheduling/consumers.py", 'pausing=not event.treatment_allowed', 'pausing=False', I_SCHEDULING_PAUSES),
    Mutant("services/scheduling/domain/courses.py", 'if visit_type.administers and self.band_codes and ', 'if False and ', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'if visit_type.administers and self.band_codes and ', 'if self.band_codes and ', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'if self.session_minutes_max and visit_type.administration_minutes > self.session_minutes_max:', 'if False:', U_SCHEDULING_COURSES),
    Mutant("services/scheduling/domain/courses.py", 'visit_type.administration_minutes > self.session_minutes_max', 'visit_type.administration_minutes >= self.session_minutes_max', U_SCHEDULING_COURSES),
]  # fmt: skip
