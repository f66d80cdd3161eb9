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
I_SCHEDULING_MERGES = "tests/integration/test_scheduling_merges.py"
I_SCHEDULING_MERGE_RACES = "tests/integration/test_scheduling_merge_races.py"
I_SCHEDULING_TASKS = "tests/integration/test_scheduling_tasks.py"
U_SCHEDULING_TASKS = "tests/unit/test_scheduling_tasks.py"
P_SCHEDULING_MERGES = "tests/property/test_scheduling_merges.py"

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
    Mutant("services/scheduling/store/planning.py", 'presence.c.patient_id == _ids.c.id)', 'presence.c.chain_id == CHAIN)', I_SCHEDULING_MERGES),
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
    Mutant("services/scheduling/use_cases.py", '        patient_id=terms.patient_id,\n', '        patient_id=command.patient_id,\n', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/use_cases.py", '        await store.lock([locked])\n', '', I_SCHEDULING_MERGE_RACES),
    Mutant("services/scheduling/use_cases.py", '        locked = terms.patient_id\n        await store.lock([locked])\n', '        await store.lock([terms.patient_id])\n        return terms\n', I_SCHEDULING_MERGE_RACES),
    Mutant("services/scheduling/use_cases.py", '    if joined and joined.ones:\n', '    if False:\n', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/use_cases.py", '            for site_id in sorted(site_ids):\n', '            for site_id in sorted(site_ids)[:1]:\n', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/use_cases.py", '    if not await store.note_merge(', '    if False and not await store.note_merge(', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/use_cases.py", 'survivors = await store.survivors(stretch.survivor_id)', 'survivors = [stretch.survivor_id]', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/store/courses.py", 'for each in layouts for id in terms.patient_ids]', 'for each in layouts for id in [terms.patient_id]]', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/domain/courses.py", 'self.patient_id if id in self.patient_ids else id', 'id', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/store/courses.py", 'clearance.c.patient_id == any_(_ids)', 'clearance.c.patient_id == PATIENT', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/store/courses.py", 'patient.c.patient_id == PATIENTS.end(PATIENT)', 'patient.c.patient_id == PATIENT', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/store/courses.py", 'course.c.patient_id == any_(_ids)}', 'course.c.patient_id == PATIENT}', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/store/planning.py", 'presence.c.patient_id == _ids.c.id', 'presence.c.patient_id == PATIENT', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/store/patients.py", 'adverse_event.c.patient_id == any_(PATIENTS.all_ids(patient_id))', 'adverse_event.c.patient_id == patient_id', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/store/tasks.py", '            _other.c.start_at < _one.c.end_at,\n', '', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/store/tasks.py", '            _other.c.end_at > _one.c.start_at,\n', '            _other.c.end_at >= _one.c.start_at,\n', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/store/tasks.py", '        course.c.booked_at >= param("since", Instant),\n', '        param("since", Instant).is_not(None),\n', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/store/tasks.py", 'or_(_until.is_(None), course.c.booked_at < _until)', 'or_(_until.is_(None), True)', I_SCHEDULING_MERGES),
    Mutant("services/scheduling/store/tasks.py", '    chosen = of_site.where(*(task.c[name] == param(name, Text) for name in filters))\n', '    chosen = of_site.where(*(param(name, Text).is_not(None) for name in filters))\n', I_SCHEDULING_TASKS),
    Mutant("services/scheduling/store/tasks.py", 'select(task).where(*_this).with_for_update()', 'select(task).where(*_this)', I_SCHEDULING_MERGE_RACES),
    Mutant("services/scheduling/domain/tasks.py", '        if self.state is TaskState.DONE:\n', '        if False:\n', U_SCHEDULING_TASKS),
    Mutant("services/scheduling/domain/tasks.py", '        if version != self.version:\n', '        if False:\n', I_SCHEDULING_TASKS),
    Mutant("services/scheduling/domain/tasks.py", 'undoing.at if undone != heard else until', 'until', U_SCHEDULING_TASKS),
    Mutant("services/scheduling/domain/tasks.py", 'until = after.at if after else None', 'until = None', U_SCHEDULING_TASKS),
    Mutant("services/scheduling/domain/tasks.py", ' or merge.survivor_id is None or undoing.survivor_id is not None:', ':', U_SCHEDULING_TASKS),
    Mutant("chassis/aliases.py", 'before["version"] is not None and before["version"] >= version', 'False', P_SCHEDULING_MERGES),
    Mutant("chassis/aliases.py", '        if survivor in passed:\n            ring = passed[passed.index(survivor) :]\n            return [*passed, min(ring)]\n', '        if survivor in passed:\n            return passed\n', P_SCHEDULING_MERGES),
    Mutant("chassis/aliases.py", 'self.end(survivor_id).label("survivor_end")', 'survivor_id.label("survivor_end")', P_SCHEDULING_MERGES),
    Mutant("chassis/aliases.py", 'ends = {before["alias_end"], before["survivor_end"]}', 'ends = {alias_id, before["survivor_end"]}', P_SCHEDULING_MERGES),
    Mutant("chassis/aliases.py", '        await self.lock([self.call.chain_id])\n', '', I_SCHEDULING_MERGE_RACES),
    Mutant("chassis/aliases.py", '        await self.lock(ends)\n', '', I_SCHEDULING_MERGE_RACES),
    Mutant("chassis/aliases.py", '_of_end(now.get(survivor_id, survivor_id), now) - others', '_of_end(now.get(survivor_id, survivor_id), now)', I_SCHEDULING_MERGES),
    Mutant("chassis/aliases.py", ', same.c.alias_id != end]', ']', P_SCHEDULING_MERGES),
    Mutant("services/scheduling/store/tasks.py", '.on_conflict_do_nothing(index_elements=_never_twice)', '', I_SCHEDULING_TASKS),
    Mutant("services/scheduling/migrations/versions/0005_merged_patients.py", '"merge_version", "visit_ids", name="task_never_twice"', '"merge_version", "visit_ids", "id", name="task_never_twice"', I_SCHEDULING_TASKS),
]  # fmt: skip
