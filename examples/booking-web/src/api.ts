/** What the page asks Atoll for. A patient's token reaches what is theirs, and the chain's sites and programmes. */
import { Atoll, dateOf, NotYet, type ServiceClient } from "@atoll/client";
import { CardChargeState, CardService } from "@atoll/client/billing/v1/card_service_pb";
import { EstimateService, type Estimate } from "@atoll/client/billing/v1/estimate_service_pb";
import { CourseService, type Course, type CoursePlan } from "@atoll/client/scheduling/v1/course_service_pb";
import type { ProtocolTemplate } from "@atoll/client/scheduling/v1/protocol_pb";
import { ProtocolService } from "@atoll/client/scheduling/v1/protocol_service_pb";
import { SiteService, type Site } from "@atoll/client/scheduling/v1/site_service_pb";

import type { Session } from "./sign-in.ts";
import { API_URL } from "./settings.ts";

const HOLD_MINUTES = 15;
const POLL_MS = 500;
const ESTIMATE_WITHIN_MS = 12_000;
const KNOWN_WITHIN_MS = 10_000;
const CHARGE_WITHIN_MS = 30_000;

/** What a site treats by. */
export interface Programme {
  versionId: string;
  name: string;
  template: ProtocolTemplate;
}

export interface Wish {
  site: Site;
  programme: Programme;
  routeCode: string;
  /** Empty: the whole course. */
  phaseCodes: string[];
  earliest: string;
  latest: string;
  /** Hours of the site's day between which visits start. */
  hours: [number, number] | undefined;
}

export interface Plans {
  plans: CoursePlan[];
  /** Whether they are of another wish than the patient's, for want of a better. */
  relaxed: boolean;
}

export class Api {
  readonly #courses: ServiceClient<typeof CourseService>;
  readonly #sites: ServiceClient<typeof SiteService>;
  readonly #protocols: ServiceClient<typeof ProtocolService>;
  readonly #estimates: ServiceClient<typeof EstimateService>;
  readonly #cards: ServiceClient<typeof CardService>;
  readonly #patientId: string;

  constructor(session: Session) {
    const atoll = new Atoll({ url: API_URL, token: session.token, attempts: 3 });
    this.#courses = atoll.service(CourseService);
    this.#sites = atoll.service(SiteService);
    this.#protocols = atoll.service(ProtocolService);
    this.#estimates = atoll.service(EstimateService);
    this.#cards = atoll.service(CardService);
    this.#patientId = session.patientId;
  }

  sites(): Promise<Site[]> {
    return collect(this.#sites.listSites({}));
  }

  courses(): Promise<Course[]> {
    return collect(this.#courses.listCourses({ patientId: this.#patientId }));
  }

  async programmes(site: Site): Promise<Programme[]> {
    const [adoptions, protocols] = await Promise.all([
      collect(this.#protocols.listAdoptions({ siteId: site.id })),
      collect(this.#protocols.listProtocols({})),
    ]);
    return Promise.all(
      adoptions.map(async ({ protocolVersionId, narrowedTemplate }) => {
        const version = await this.version(protocolVersionId);
        const name = protocols.find((each) => each.id === version.protocolId)?.displayName ?? "";
        return { versionId: protocolVersionId, name, template: narrowedTemplate ?? version.template };
      }),
    );
  }

  async version(id: string): Promise<{ protocolId: string; template: ProtocolTemplate }> {
    const { protocolVersion } = await this.#protocols.getProtocolVersion({ protocolVersionId: id });
    return { protocolId: protocolVersion!.protocolId, template: protocolVersion!.template! };
  }

  async plans(wish: Wish): Promise<Plans> {
    const answer = await this.#courses.planCourse({
      siteId: wish.site.id,
      patientId: this.#patientId,
      protocolVersionId: wish.programme.versionId,
      routeCode: wish.routeCode,
      phases: wish.phaseCodes.map((phaseCode) => ({ phaseCode })),
      earliestDate: dateOf(wish.earliest),
      latestDate: dateOf(wish.latest),
      ...(wish.hours && { startFrom: { hours: wish.hours[0] }, startUntil: { hours: wish.hours[1] } }),
      explain: true,
    });
    if (answer.plans.length > 0) return { plans: answer.plans, relaxed: false };
    return { plans: answer.relaxations.flatMap(({ plan }) => plan ?? []).slice(0, 3), relaxed: true };
  }

  async hold(wish: Wish, plan: CoursePlan, requestId: string): Promise<Course> {
    const request = {
      requestId,
      siteId: wish.site.id,
      patientId: this.#patientId,
      protocolVersionId: wish.programme.versionId,
      routeCode: wish.routeCode,
      visits: plan.visits.map(({ phaseCode, startTime, resources }) => ({ phaseCode, resources, ...(startTime && { startTime }) })),
      holdMinutes: HOLD_MINUTES,
    };
    return (await onceKnown(() => this.#courses.holdCourse(request))).course!;
  }

  async book(course: Course, requestId: string): Promise<Course> {
    return (await this.#courses.bookHold({ requestId, courseId: course.id })).course!;
  }

  async release(course: Course): Promise<void> {
    await this.#courses.releaseHold({ courseId: course.id });
  }

  async course(id: string): Promise<Course> {
    return (await this.#courses.getCourse({ courseId: id })).course!;
  }

  /** What the course is expected to cost, once billing has heard of the hold; undefined: it has no price. */
  async estimate(course: Course, signal: AbortSignal): Promise<Estimate | undefined> {
    const about = { case: "courseId" as const, value: course.id };
    for (const until = Date.now() + ESTIMATE_WITHIN_MS; Date.now() < until; await pause(POLL_MS)) {
      const [estimate] = (await this.#estimates.listEstimates({ about }, { signal })).estimates;
      if (estimate) return estimate;
    }
    return undefined;
  }

  /** What the browser shows the processor to pay the deposit of a course. */
  async beginDeposit(course: Course, amount: NonNullable<Estimate["depositDue"]>, requestId: string): Promise<{ chargeId: string; clientSecret: string }> {
    const request = {
      requestId,
      siteId: course.siteId,
      patientId: this.#patientId,
      purpose: { case: "courseId" as const, value: course.id },
      amount: { currencyCode: amount.currencyCode, units: amount.units, nanos: amount.nanos },
    };
    const { cardCharge, clientSecret } = await onceKnown(() => this.#cards.createPaymentIntent(request));
    return { chargeId: cardCharge!.id, clientSecret };
  }

  /** Waits until Atoll has heard from the processor. */
  async isPaid(chargeId: string): Promise<boolean> {
    for (const until = Date.now() + CHARGE_WITHIN_MS; Date.now() < until; await pause(POLL_MS)) {
      const { cardCharge } = await this.#cards.getCardCharge({ cardChargeId: chargeId });
      if (cardCharge?.state === CardChargeState.SUCCEEDED) return true;
    }
    return false;
  }
}

/** A service may not have heard yet of a patient or a course that is seconds old. */
async function onceKnown<T>(ask: () => Promise<T>): Promise<T> {
  for (const until = Date.now() + KNOWN_WITHIN_MS; ; ) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof NotYet) || error.reason !== "NOT_YET_KNOWN" || Date.now() > until) throw error;
      await pause(error.retryAfterMs ?? POLL_MS);
    }
  }
}

async function collect<T>(list: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of list) all.push(each);
  return all;
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
