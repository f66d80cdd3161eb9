/** A booked course: all its visits, where they are, and what to do before. */
import { useEffect, useState } from "preact/hooks";

import type { Course } from "@atoll/client/scheduling/v1/course_service_pb";
import type { ProtocolTemplate } from "@atoll/client/scheduling/v1/protocol_pb";
import type { Site } from "@atoll/client/scheduling/v1/site_service_pb";
import { VisitStatus } from "@atoll/client/scheduling/v1/visit_pb";

import type { Api } from "../api.ts";
import { Clock, phone } from "../format.ts";
import { Heading, Notice, useLanguage, useWords, VisitList, Waiting } from "../parts.tsx";
import type { Words } from "../words.ts";

interface Given {
  api: Api;
  course: Course;
  site: Site;
  fresh: boolean;
  failed: (error: unknown) => string;
  onDone: () => void;
}

export function Booked({ api, course, site, fresh, failed, onDone }: Given) {
  const words = useWords();
  const clock = new Clock(useLanguage(), site.timeZone);
  const [shown, setShown] = useState(course);
  const [template, setTemplate] = useState<ProtocolTemplate>();
  const [problem, setProblem] = useState<string>();

  useEffect(() => {
    const load = async () => {
      const [now, version] = await Promise.all([api.course(course.id), api.version(course.protocolVersionId)]);
      setShown(now);
      setTemplate(version.template);
    };
    load().catch((error: unknown) => setProblem(failed(error)));
  }, [course.id]);

  const types = new Set(shown.visits.map(({ visitTypeCode }) => visitTypeCode));
  const instructions = (template?.instructions ?? []).filter(
    ({ visitTypeCodes }) => visitTypeCodes.length === 0 || visitTypeCodes.some((code) => types.has(code)),
  );
  return (
    <section>
      <Heading>{fresh ? words.booked : words.yourVisits}</Heading>
      {fresh && <Notice kind="good">{words.bookedText(site.displayName, words.visits(shown.visits.length))}</Notice>}
      {problem && <Notice>{problem}</Notice>}
      <div class="columns">
        <div class="card">
          <h2>{words.yourVisits}</h2>
          <p class="faint">{words.allTimes(clock.zone())}</p>
          {template ? (
            <VisitList visits={shown.visits} template={template} clock={clock} status={(visit) => statusWords(visit.status, words)} />
          ) : (
            !problem && <Waiting text={words.loading} />
          )}
        </div>
        <div>
          <div class="card">
            <h2>{words.where}</h2>
            <address>
              <b>{site.displayName}</b>
              {site.address?.addressLines.map((line) => <span key={line}>{line}</span>)}
              <span>{[site.address?.locality, site.state, site.address?.postalCode].filter(Boolean).join(", ")}</span>
              {site.phone && <a href={`tel:${site.phone}`}>{phone(site.phone)}</a>}
            </address>
          </div>
          {instructions.length > 0 && (
            <div class="card">
              <h2>{words.prepare}</h2>
              <ul class="dots">
                {instructions.map(({ code, displayName }) => (
                  <li key={code}>{displayName}</li>
                ))}
              </ul>
            </div>
          )}
        </div>
      </div>
      <button type="button" onClick={onDone}>
        {words.another}
      </button>
    </section>
  );
}

function statusWords(status: VisitStatus, { status: words }: Words): string {
  switch (status) {
    case VisitStatus.CONFIRMED:
      return words.confirmed;
    case VisitStatus.HELD:
      return words.held;
    case VisitStatus.COMPLETED:
      return words.completed;
    case VisitStatus.CANCELLED:
    case VisitStatus.EXPIRED:
      return words.cancelled;
    case VisitStatus.NO_SHOW:
      return words.missed;
    case VisitStatus.CHECKED_IN:
    case VisitStatus.IN_TREATMENT:
    case VisitStatus.IN_OBSERVATION:
      return words.now;
    default:
      return words.booked;
  }
}
