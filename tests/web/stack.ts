/** The stack that the tests run on, and what its front desk does meanwhile. */
import { Atoll, NotYet } from "@atoll/client";
import { PatientService } from "@atoll/client/patients/v1/patient_service_pb";
import { CourseService, type CoursePlan } from "@atoll/client/scheduling/v1/course_service_pb";
import { PhaseKind, type ProtocolTemplate } from "@atoll/client/scheduling/v1/protocol_pb";
import { ProtocolService } from "@atoll/client/scheduling/v1/protocol_service_pb";
import { SiteService, type Site } from "@atoll/client/scheduling/v1/site_service_pb";

/** Written by __main__.py. */
interface Stack {
  apiUrl: string;
  staffToken: string;
  cleared: Cleared[];
}

/** A patient of the sample, who may have another course like the one they have. */
export interface Cleared {
  patientId: string;
  siteId: string;
  protocolVersionId: string;
  routeCode: string;
}

export const PAGE_URL = process.env["TEST_PAGE_URL"]!;
export const stack = JSON.parse(process.env["TEST_STACK"]!) as Stack;

const staff = new Atoll({ url: stack.apiUrl, token: stack.staffToken });
export const courses = staff.service(CourseService);
const patients = staff.service(PatientService);
const protocols = staff.service(ProtocolService);

export async function site(id: string): Promise<Site> {
  return (await staff.service(SiteService).getSite({ siteId: id })).site!;
}

export async function template(protocolVersionId: string): Promise<ProtocolTemplate> {
  return (await protocols.getProtocolVersion({ protocolVersionId })).protocolVersion!.template!;
}

/** What the page calls the programme and its route. */
export async function choiceOf({ protocolVersionId, routeCode }: Cleared): Promise<{ programme: string; route: string }> {
  const { protocolVersion } = await protocols.getProtocolVersion({ protocolVersionId });
  for await (const { id, displayName } of protocols.listProtocols({})) {
    const route = protocolVersion!.template!.routes.find(({ code }) => code === routeCode);
    if (id === protocolVersion!.protocolId && route) return { programme: displayName, route: route.displayName };
  }
  throw new Error(`${protocolVersionId} has no protocol, or no route ${routeCode}`);
}

export async function nameOf(patientId: string): Promise<string> {
  const { patient } = await patients.getPatient({ patientId });
  return [...patient!.givenNames, patient!.familyName].join(" ");
}

/** Nobody else has the name, so that the login page finds one person by it. */
export async function newPatient(familyName: string, homeSiteId: string): Promise<{ id: string; name: string }> {
  const birthDate = { year: 1988, month: 5, day: 17 };
  const { patient } = await patients.createPatient({ patient: { givenNames: ["Web"], familyName, birthDate, homeSiteId } });
  return { id: patient!.id, name: `Web ${familyName}` };
}

/** Books the plan for another patient, as a front desk would that is faster. */
export async function takeAway(plan: CoursePlan, cleared: Cleared, patientId: string): Promise<void> {
  const visits = plan.visits.map(({ phaseCode, startTime, resources }) => ({ phaseCode, resources, startTime: startTime! }));
  for (;;) {
    try {
      await courses.bookCourse({ ...cleared, patientId, visits });
      return;
    } catch (error) {
      if (!(error instanceof NotYet)) throw error;
      await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs));
    }
  }
}

export function assessmentCode({ phases }: ProtocolTemplate): string {
  return phases.find(({ kind }) => kind === PhaseKind.ASSESSMENT)!.code;
}
