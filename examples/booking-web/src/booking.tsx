/** The steps of a booking, one after another, for whoever is signed in. */
import { useEffect, useMemo, useState } from "preact/hooks";

import { instantOf, Unauthenticated } from "@atoll/client";
import type { Course } from "@atoll/client/scheduling/v1/course_service_pb";
import type { Site } from "@atoll/client/scheduling/v1/site_service_pb";

import { Api, type Wish } from "./api.ts";
import { Notice, useWords, Waiting } from "./parts.tsx";
import type { Session } from "./sign-in.ts";
import { Booked } from "./steps/booked.tsx";
import { Choose } from "./steps/choose.tsx";
import { Deposit } from "./steps/deposit.tsx";
import { Times } from "./steps/times.tsx";
import { wordsFor } from "./words.ts";

type Step =
  | { name: "choose"; notice?: string }
  | { name: "times"; wish: Wish; notice?: string }
  | { name: "deposit"; course: Course; wish: Wish | undefined }
  | { name: "booked"; course: Course; fresh: boolean };

const NUMBERS = { choose: 0, times: 1, deposit: 2, booked: 3 };

/** What the page knows before the first step. */
interface Start {
  sites: Site[];
  courses: Course[];
}

export function Booking({ session, onSignedOut }: { session: Session; onSignedOut: () => void }) {
  const words = useWords();
  const api = useMemo(() => new Api(session), [session]);
  const [start, setStart] = useState<Start>();
  const [problem, setProblem] = useState<unknown>();
  const [step, setStep] = useState<Step>({ name: "choose" });

  /** Whoever is signed out goes back to signing in; every other failure is told where it happened. */
  const failed = (error: unknown): string => {
    if (error instanceof Unauthenticated) onSignedOut();
    return wordsFor(error, words);
  };

  const load = async () => {
    setProblem(undefined);
    try {
      const [sites, courses] = await Promise.all([api.sites(), api.courses()]);
      const held = courses.find(isHeld);
      if (held) setStep({ name: "deposit", course: held, wish: undefined });
      setStart({ sites, courses });
    } catch (error) {
      setProblem(error);
      failed(error);
    }
  };
  useEffect(() => void load(), [api]);

  const begin = (notice?: string) => {
    setStart(undefined);
    setStep({ name: "choose", ...(notice && { notice }) });
    void load();
  };

  if (problem !== undefined) {
    return (
      <section>
        <Notice>{wordsFor(problem, words)}</Notice>
        <button type="button" class="main" onClick={() => void load()}>
          {words.retry}
        </button>
      </section>
    );
  }
  if (!start) return <Waiting text={words.loading} />;
  const number = NUMBERS[step.name];
  const siteOf = (course: Course) => start.sites.find(({ id }) => id === course.siteId)!;
  return (
    <>
      <ol class="steps" aria-label={words.stepOf(number + 1, words.steps.length)}>
        {words.steps.map((text, at) => (
          <li key={text} class={at < number ? "done" : at === number ? "now" : ""} {...(at === number && { "aria-current": "step" as const })}>
            {text}
          </li>
        ))}
      </ol>
      {step.name === "choose" && (
        <Choose
          api={api}
          name={session.name}
          sites={start.sites}
          courses={start.courses}
          notice={step.notice}
          failed={failed}
          onWish={(wish) => setStep({ name: "times", wish })}
          onCourse={(course) => setStep({ name: "booked", course, fresh: false })}
        />
      )}
      {step.name === "times" && (
        <Times
          key={JSON.stringify([step.wish.site.id, step.wish.earliest, step.notice])}
          api={api}
          wish={step.wish}
          notice={step.notice}
          failed={failed}
          onHeld={(course) => setStep({ name: "deposit", course, wish: step.wish })}
          onBack={() => setStep({ name: "choose" })}
        />
      )}
      {step.name === "deposit" && (
        <Deposit
          key={step.course.id}
          api={api}
          course={step.course}
          site={siteOf(step.course)}
          failed={failed}
          onBooked={(course) => setStep({ name: "booked", course, fresh: true })}
          onOver={(notice) => (step.wish ? setStep({ name: "times", wish: step.wish, ...(notice && { notice }) }) : begin(notice))}
        />
      )}
      {step.name === "booked" && (
        <Booked api={api} course={step.course} site={siteOf(step.course)} fresh={step.fresh} failed={failed} onDone={() => begin()} />
      )}
    </>
  );
}

const isHeld = ({ holdExpireTime }: Course) => holdExpireTime !== undefined && instantOf(holdExpireTime).getTime() > Date.now();
