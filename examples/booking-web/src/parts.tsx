/** Small parts that more than one step shows. */
import type { ComponentChildren } from "preact";
import { createContext } from "preact";
import { useContext, useEffect, useRef } from "preact/hooks";

import type { PlannedVisit } from "@atoll/client/scheduling/v1/course_service_pb";
import type { ProtocolTemplate } from "@atoll/client/scheduling/v1/protocol_pb";
import type { Visit } from "@atoll/client/scheduling/v1/visit_pb";

import type { Clock } from "./format.ts";
import { WORDS, type Language, type Words } from "./words.ts";

export const LanguageContext = createContext<Language>("en");
export const useLanguage = (): Language => useContext(LanguageContext);
export const useWords = (): Words => WORDS[useLanguage()];

/** The heading of a step: takes the focus when the step is shown, so that a screen reader begins there. */
export function Heading({ children }: { children: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  return (
    <h1 ref={heading} tabIndex={-1}>
      {children}
    </h1>
  );
}

export function Notice({ kind = "problem", children }: { kind?: "problem" | "good"; children: ComponentChildren }) {
  return (
    <div class={`notice ${kind}`} role={kind === "problem" ? "alert" : "status"}>
      {children}
    </div>
  );
}

/** Grey shapes where something will be, of about its size. */
export function Waiting({ text, rows = 3 }: { text: string; rows?: number }) {
  return (
    <div class="waiting" role="status">
      <p>{text}</p>
      {Array.from({ length: rows }, (_, row) => (
        <div class="shape" key={row} aria-hidden="true" />
      ))}
    </div>
  );
}

interface Choice<T extends string> {
  value: T;
  text: string;
  hint?: string;
}

export function Choices<T extends string>(given: { legend: string; name: string; options: Choice<T>[]; value: T | undefined; onChoose: (value: T) => void }) {
  return (
    <fieldset class="choices">
      <legend>{given.legend}</legend>
      {given.options.map(({ value, text, hint }) => (
        <label key={value} class="choice">
          <input type="radio" name={given.name} value={value} checked={given.value === value} onChange={() => given.onChoose(value)} required />
          <span>
            <b>{text}</b>
            {hint && <small>{hint}</small>}
          </span>
        </label>
      ))}
    </fieldset>
  );
}

export function VisitList({ visits, template, clock, status }: { visits: (Visit | PlannedVisit)[]; template: ProtocolTemplate; clock: Clock; status?: (visit: Visit) => string }) {
  const names = new Map(template.visitTypes.map(({ code, displayName }) => [code, displayName]));
  return (
    <ol class="visits">
      {visits.map((visit, at) => (
        <li key={at}>
          <span class="dot" aria-hidden="true" />
          <div>
            <b>{clock.day(visit.startTime!)}</b>
            <span class="when">{clock.times(visit.startTime!, visit.endTime!)}</span>
            <small>
              {names.get(visit.visitTypeCode) ?? visit.visitTypeCode}
              {status && "id" in visit && ` · ${status(visit)}`}
            </small>
          </div>
        </li>
      ))}
    </ol>
  );
}
