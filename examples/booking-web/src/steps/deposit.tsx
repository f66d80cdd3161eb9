/** Times are kept: what they cost, the deposit by card, and the booking itself, before the time is up. */
import { useEffect, useRef, useState } from "preact/hooks";

import { AtollError, instantOf, minorUnitsOf, TooLate, TryAgain } from "@atoll/client";
import type { Estimate } from "@atoll/client/billing/v1/estimate_service_pb";
import type { Course } from "@atoll/client/scheduling/v1/course_service_pb";
import type { ProtocolTemplate } from "@atoll/client/scheduling/v1/protocol_pb";
import type { Site } from "@atoll/client/scheduling/v1/site_service_pb";

import type { Api } from "../api.ts";
import { CardForm } from "../card-form.tsx";
import { Clock, countdown, money } from "../format.ts";
import { Heading, Notice, useLanguage, useWords, VisitList, Waiting } from "../parts.tsx";
import { confirm, type CardEntry } from "../processor.ts";
import { PROCESSOR_URL } from "../settings.ts";
import { wordsForDecline } from "../words.ts";

const TOLD_AT_MINUTES = [10, 5, 2, 1];

interface Given {
  api: Api;
  course: Course;
  site: Site;
  failed: (error: unknown) => string;
  onBooked: (course: Course) => void;
  /** The hold is over, or was given up: back to looking for times. */
  onOver: (notice?: string) => void;
}

interface Done {
  depositId: string;
  bookId: string;
  deposit?: { chargeId: string; clientSecret: string };
  /** By the processor. */
  taken: boolean;
  /** Atoll has heard of it. */
  paid: boolean;
}

export function Deposit({ api, course, site, failed, onBooked, onOver }: Given) {
  const words = useWords();
  const language = useLanguage();
  const clock = new Clock(language, site.timeZone);
  const left = useTimeLeft(course);
  const [template, setTemplate] = useState<ProtocolTemplate>();
  const [estimate, setEstimate] = useState<Estimate | "pending" | undefined>("pending");
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState<string>();
  const [noProcessor, setNoProcessor] = useState(PROCESSOR_URL === "");
  /** What has been done already, so that nothing is done twice when the button is pressed again. */
  const done = useRef<Done>({ depositId: crypto.randomUUID(), bookId: crypto.randomUUID(), taken: false, paid: false });

  useEffect(() => {
    const over = new AbortController();
    const load = async () => {
      setTemplate((await api.version(course.protocolVersionId)).template);
      const found = await api.estimate(course, over.signal);
      if (!over.signal.aborted) setEstimate(found);
    };
    load().catch((error: unknown) => {
      if (over.signal.aborted) return;
      setProblem(failed(error));
      setEstimate(undefined);
    });
    return () => over.abort();
  }, [course.id]);

  const price = estimate === "pending" ? undefined : estimate;
  const due = price?.depositDue && minorUnitsOf(price.depositDue) > 0 ? price.depositDue : undefined;
  const cardDue = noProcessor ? undefined : due;

  /** Whether the processor has taken the money, now or before. A card that is declined leaves the rest for another. */
  const pay = async (card: CardEntry, amount: NonNullable<typeof due>): Promise<boolean> => {
    const { current } = done;
    if (current.taken) return true;
    current.deposit ??= await api.beginDeposit(course, amount, current.depositId);
    const answer = await confirm(current.deposit.clientSecret, card);
    if (answer.kind === "declined") setProblem(wordsForDecline(answer.why, words));
    if (answer.kind === "unreachable") setProblem(words.reasons.PROCESSOR_AWAY);
    current.taken = answer.kind === "taken";
    return current.taken;
  };

  const bookWith = async (card: CardEntry | undefined) => {
    if (busy) return;
    const { current } = done;
    setProblem(undefined);
    setBusy(card ? words.paying : words.booking);
    try {
      if (card && cardDue && !(await pay(card, cardDue))) return;
      if (current.deposit && current.taken && !current.paid) {
        current.paid = await api.isPaid(current.deposit.chargeId);
        if (!current.paid) return setProblem(words.unsure);
      }
      onBooked(await api.book(course, current.bookId));
    } catch (error) {
      const reason = error instanceof AtollError ? error.reason : "";
      if (reason === "NO_PROCESSOR") setNoProcessor(true);
      if (reason === "HOLD_OVER" || reason === "VISIT_IN_PAST") return onOver(current.taken ? words.holdOverPaid : words.reasons.HOLD_OVER);
      if (reason === "OUTSIDE_HOURS") {
        await api.release(course).catch(() => undefined); // It ends by itself, too.
        return onOver(current.taken ? words.holdOverPaid : words.reasons.OUTSIDE_HOURS);
      }
      if (!(error instanceof TryAgain || error instanceof TooLate)) current.bookId = crypto.randomUUID();
      setProblem(failed(error));
    } finally {
      setBusy(undefined);
    }
  };

  const giveUp = async () => {
    try {
      await api.release(course);
      onOver();
    } catch (error) {
      setProblem(failed(error));
    }
  };

  if (left <= 0 && !busy) {
    return (
      <section>
        <Heading>{words.holdOver}</Heading>
        <p>{done.current.taken ? words.holdOverPaid : words.holdOverText}</p>
        <button type="button" class="main" onClick={() => onOver()}>
          {words.again}
        </button>
      </section>
    );
  }
  return (
    <section>
      <Heading>{words.kept}</Heading>
      <TimeLeft left={left} />
      {problem && <Notice>{problem}</Notice>}
      <div class="columns">
        <div class="card">
          <h2>{site.displayName}</h2>
          <p class="faint">{words.allTimes(clock.zone())}</p>
          {template ? <VisitList visits={course.visits} template={template} clock={clock} /> : <Waiting text={words.loading} rows={2} />}
        </div>
        <div class="card">
          <h2>{words.expected}</h2>
          {estimate === "pending" ? <Waiting text={words.pricing} rows={3} /> : <Prices estimate={price} />}
          {due && noProcessor && <p class="faint">{words.payAtClinic}</p>}
        </div>
      </div>
      {estimate !== "pending" &&
        (cardDue ? (
          <CardForm amount={money(cardDue, language)} busy={busy} onCard={(card) => void bookWith(card)} />
        ) : (
          <button type="button" class="main" aria-disabled={busy !== undefined} onClick={() => void bookWith(undefined)}>
            {busy ?? words.bookFree}
          </button>
        ))}
      <button type="button" aria-disabled={busy !== undefined} onClick={() => busy === undefined && void giveUp()}>
        {words.giveUp}
      </button>
    </section>
  );
}

function Prices({ estimate }: { estimate: Estimate | undefined }) {
  const words = useWords();
  const language = useLanguage();
  if (!estimate?.total) return <p>{words.noPrice}</p>;
  return (
    <table class="prices">
      <tbody>
        {estimate.lines.map((line, at) => (
          <tr key={at}>
            <th scope="row">
              {line.count} × {line.description}
            </th>
            <td>{line.amount && money(line.amount, language)}</td>
          </tr>
        ))}
        <tr class="sum">
          <th scope="row">{words.total}</th>
          <td>{money(estimate.total, language)}</td>
        </tr>
        {estimate.depositDue && minorUnitsOf(estimate.depositDue) > 0 && (
          <tr class="due">
            <th scope="row">
              {words.dueNow}
              <small>{words.depositHint}</small>
            </th>
            <td>{money(estimate.depositDue, language)}</td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

/** Shown each second, told to a screen reader only now and then. */
function TimeLeft({ left }: { left: number }) {
  const words = useWords();
  const minutes = Math.ceil(left / 60_000);
  const told = TOLD_AT_MINUTES.includes(minutes) ? words.leftAnnounced(minutes) : "";
  return (
    <>
      <p class={`timer ${left < 120_000 ? "soon" : ""}`} role="timer">
        <b>{countdown(left)}</b> {words.left}
      </p>
      <p class="unseen" role="status">
        {told}
      </p>
    </>
  );
}

function useTimeLeft(course: Course): number {
  const ends = course.holdExpireTime ? instantOf(course.holdExpireTime).getTime() : 0;
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return ends - now;
}
