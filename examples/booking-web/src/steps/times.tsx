/** Plans that fit, each to be kept as it is. */
import { useEffect, useRef, useState } from "preact/hooks";

import { AtollError, Conflict, InvalidArgument, TooLate, TryAgain } from "@atoll/client";
import type { Course, CoursePlan } from "@atoll/client/scheduling/v1/course_service_pb";

import type { Api, Plans, Wish } from "../api.ts";
import { Clock } from "../format.ts";
import { Heading, Notice, useLanguage, useWords, VisitList, Waiting } from "../parts.tsx";

/** Reasons for which there are new times to look at. */
const LOOK_AGAIN = ["VISITS_CONFLICT", "OUTSIDE_HOURS", "NOTICE_TOO_SHORT", "VISIT_IN_PAST"];

interface Given {
  api: Api;
  wish: Wish;
  notice: string | undefined;
  failed: (error: unknown) => string;
  onHeld: (course: Course) => void;
  onBack: () => void;
}

export function Times({ api, wish, notice, failed, onHeld, onBack }: Given) {
  const words = useWords();
  const clock = new Clock(useLanguage(), wish.site.timeZone);
  const [found, setFound] = useState<Plans>();
  const [problem, setProblem] = useState(notice);
  const [keeping, setKeeping] = useState<CoursePlan>();
  const [mayRetry, setMayRetry] = useState(false);
  /** Of each plan, so that one that was kept, but not heard of, is not kept twice. */
  const requestIds = useRef(new Map<CoursePlan, string>());

  const look = async () => {
    setMayRetry(false);
    setFound(undefined);
    try {
      setFound(await api.plans(wish));
    } catch (error) {
      if (error instanceof AtollError && error.reason === "PLAN_NOT_FOUND") setFound({ plans: [], relaxed: false });
      else {
        setProblem(failed(error));
        setMayRetry(true);
      }
    }
  };
  useEffect(() => void look(), []);

  const keep = async (plan: CoursePlan) => {
    if (keeping) return;
    const requestId = requestIds.current.get(plan) ?? crypto.randomUUID();
    requestIds.current.set(plan, requestId);
    setKeeping(plan);
    setProblem(undefined);
    try {
      onHeld(await api.hold(wish, plan, requestId));
    } catch (error) {
      setKeeping(undefined);
      if (!(error instanceof TryAgain || error instanceof TooLate)) requestIds.current.delete(plan);
      const held = error instanceof Conflict && error.reason === "HOLD_LIMIT" ? error.metadata["course_id"] : undefined;
      if (held) return onHeld(await api.course(held));
      setProblem(failed(error));
      if ((error instanceof Conflict || error instanceof InvalidArgument) && LOOK_AGAIN.includes(error.reason)) await look();
    }
  };

  return (
    <section>
      <Heading>{words.timesAt(wish.site.displayName)}</Heading>
      <p class="faint">{words.allTimes(clock.zone())}</p>
      {problem && <Notice>{problem}</Notice>}
      {mayRetry && (
        <button type="button" class="main" onClick={() => void look()}>
          {words.retry}
        </button>
      )}
      {!found && !mayRetry && <Waiting text={words.planning} />}
      {found?.plans.length === 0 && (
        <div class="card empty">
          <h2>{words.noTimes}</h2>
          <p>{words.noTimesText}</p>
        </div>
      )}
      {found?.relaxed && found.plans.length > 0 && <Notice kind="good">{words.relaxed}</Notice>}
      <ol class="plans">
        {found?.plans.map((plan, at) => {
          const first = plan.visits[0]!;
          const last = plan.visits.at(-1)!;
          return (
            <li class="card plan" key={at}>
              <p class="badge">{at === 0 && !found.relaxed ? words.best : words.option(at + 1)}</p>
              <h2>{clock.day(first.startTime!)}</h2>
              <p>
                {clock.times(first.startTime!, first.endTime!)}
                {plan.visits.length > 1 && ` · ${words.visits(plan.visits.length)} ${words.until(clock.day(last.startTime!))}`}
              </p>
              {plan.visits.length > 1 && (
                <details>
                  <summary>{words.allVisits(plan.visits.length)}</summary>
                  <VisitList visits={plan.visits} template={wish.programme.template} clock={clock} />
                </details>
              )}
              <button
                type="button"
                class="main"
                aria-label={words.keepOf(`${clock.day(first.startTime!)}, ${clock.time(first.startTime!)}`)}
                aria-disabled={keeping !== undefined}
                onClick={() => void keep(plan)}
              >
                {keeping === plan ? words.keeping : words.keep}
              </button>
            </li>
          );
        })}
      </ol>
      <button type="button" onClick={onBack}>
        {words.change}
      </button>
    </section>
  );
}
