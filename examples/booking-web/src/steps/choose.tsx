/** Which clinic, which programme, from when on; and the courses that there are already. */
import { useEffect, useState } from "preact/hooks";

import type { Course } from "@atoll/client/scheduling/v1/course_service_pb";
import { PhaseKind } from "@atoll/client/scheduling/v1/protocol_pb";
import type { Site } from "@atoll/client/scheduling/v1/site_service_pb";

import type { Api, Programme, Wish } from "../api.ts";
import { Clock, daysAfter } from "../format.ts";
import { Choices, Heading, Notice, useLanguage, useWords, Waiting } from "../parts.tsx";

const AHEAD_DAYS = { first: 1, default: 3, last: 90 };
const WINDOW_DAYS = 28;
const LAST_DAY_MAX = 91;
const HOURS = { any: undefined, morning: [0, 11], afternoon: [12, 23] } satisfies Record<string, Wish["hours"]>;

interface Given {
  api: Api;
  name: string;
  sites: Site[];
  courses: Course[];
  notice: string | undefined;
  failed: (error: unknown) => string;
  onWish: (wish: Wish) => void;
  onCourse: (course: Course) => void;
}

export function Choose({ api, name, sites, courses, notice, failed, onWish, onCourse }: Given) {
  const words = useWords();
  const language = useLanguage();
  const [siteId, setSiteId] = useState(sites.length === 1 ? sites[0]?.id : undefined);
  const [programmes, setProgrammes] = useState<Programme[]>();
  const [versionId, setVersionId] = useState<string>();
  const [route, setRoute] = useState<string>();
  const [extent, setExtent] = useState<"first" | "whole">("first");
  const [hours, setHours] = useState<keyof typeof HOURS>("any");
  const [earliest, setEarliest] = useState<string>();
  const [problem, setProblem] = useState<string>();
  const site = sites.find(({ id }) => id === siteId);
  const programme = programmes?.find((each) => each.versionId === versionId);
  const assessments = programme?.template.phases.filter(({ kind }) => kind === PhaseKind.ASSESSMENT) ?? [];
  const clock = site && new Clock(language, site.timeZone);
  const booked = courses.filter(({ bookTime }) => bookTime);

  useEffect(() => {
    if (!site) return;
    let wanted = true;
    setProgrammes(undefined);
    setVersionId(undefined);
    setProblem(undefined);
    api
      .programmes(site)
      .then((found) => {
        if (!wanted) return;
        setProgrammes(found);
        if (found.length === 1) choose(found[0]!);
      })
      .catch((error: unknown) => wanted && setProblem(failed(error)));
    return () => {
      wanted = false;
    };
  }, [siteId]);

  const choose = (chosen: Programme) => {
    setVersionId(chosen.versionId);
    setRoute(chosen.template.routes.length === 1 ? chosen.template.routes[0]?.code : undefined);
    setExtent(chosen.template.phases.some(({ kind }) => kind === PhaseKind.ASSESSMENT) ? "first" : "whole");
  };

  const submit = (event: Event) => {
    event.preventDefault();
    if (!site || !programme || !route || !clock) return;
    const first = earliest ?? clock.isoDay(AHEAD_DAYS.default);
    const last = [daysAfter(first, WINDOW_DAYS), clock.isoDay(LAST_DAY_MAX)].sort()[0]!;
    const phaseCodes = extent === "first" ? assessments.map(({ code }) => code) : [];
    onWish({ site, programme, routeCode: route, phaseCodes, earliest: first, latest: last, hours: HOURS[hours] });
  };

  return (
    <section>
      <Heading>{words.hello(name)}</Heading>
      {notice && <Notice>{notice}</Notice>}
      {booked.length > 0 && (
        <div class="card">
          <h2>{words.yourCourses}</h2>
          <ul class="plainlist">
            {booked.map((course) => (
              <li key={course.id}>
                <CourseLine course={course} site={sites.find(({ id }) => id === course.siteId)} />
                <button type="button" onClick={() => onCourse(course)}>
                  {words.seeCourse}
                </button>
              </li>
            ))}
          </ul>
        </div>
      )}
      <form class="card" onSubmit={submit}>
        {sites.length === 0 && <p>{words.noClinics}</p>}
        <Choices
          legend={words.clinic}
          name="site"
          value={siteId}
          onChoose={setSiteId}
          options={sites.map(({ id, displayName, address, state }) => ({ value: id, text: displayName, hint: [address?.locality, state].filter(Boolean).join(", ") }))}
        />
        {problem && <Notice>{problem}</Notice>}
        {site && !programmes && !problem && <Waiting text={words.loading} rows={1} />}
        {programmes?.length === 0 && <p>{words.noProgrammes}</p>}
        {programmes && programmes.length > 0 && (
          <Choices
            legend={words.programme}
            name="programme"
            value={versionId}
            onChoose={(id) => choose(programmes.find((each) => each.versionId === id)!)}
            options={programmes.map((each) => ({ value: each.versionId, text: each.name }))}
          />
        )}
        {programme && programme.template.routes.length > 1 && (
          <Choices
            legend={words.route}
            name="route"
            value={route}
            onChoose={setRoute}
            options={programme.template.routes.map(({ code, displayName }) => ({ value: code, text: displayName }))}
          />
        )}
        {programme && assessments.length > 0 && assessments.length < programme.template.phases.length && (
          <Choices
            legend={words.extent}
            name="extent"
            value={extent}
            onChoose={setExtent}
            options={[
              { value: "first", text: words.first, hint: words.firstHint },
              { value: "whole", text: words.whole, hint: words.wholeHint },
            ]}
          />
        )}
        {programme && clock && (
          <div class="pair">
            <label>
              {words.from}
              <input
                type="date"
                required
                min={clock.isoDay(AHEAD_DAYS.first)}
                max={clock.isoDay(AHEAD_DAYS.last)}
                value={earliest ?? clock.isoDay(AHEAD_DAYS.default)}
                onInput={(event) => setEarliest(event.currentTarget.value)}
              />
            </label>
            <label>
              {words.timeOfDay}
              <select value={hours} onChange={(event) => setHours(event.currentTarget.value as keyof typeof HOURS)}>
                {(Object.keys(HOURS) as (keyof typeof HOURS)[]).map((each) => (
                  <option key={each} value={each}>
                    {words.hours[each]}
                  </option>
                ))}
              </select>
            </label>
          </div>
        )}
        <button class="main" disabled={!programme || !route}>
          {words.seeTimes}
        </button>
      </form>
    </section>
  );
}

function CourseLine({ course, site }: { course: Course; site: Site | undefined }) {
  const words = useWords();
  const clock = new Clock(useLanguage(), site?.timeZone ?? "UTC");
  const next = course.progress?.nextVisitTime;
  return (
    <span>
      <b>{site?.displayName}</b>
      <small>{next ? words.nextVisit(clock.day(next), clock.time(next)) : words.over}</small>
    </span>
  );
}
