/** One call: what is sent, how often, and what a refusal becomes. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

import { CourseService } from "../gen/atoll/scheduling/v1/course_service_pb.js";
import { BadRequestSchema } from "../gen/google/rpc/error_details_pb.js";
import { pauseMs } from "../src/retries.ts";
import {
  Atoll,
  AtollError,
  Conflict,
  TooLate,
  InvalidArgument,
  NotFound,
  NotYet,
  Unauthenticated,
  TryAgain,
} from "../src/index.ts";
import { refusal, serve } from "./server.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("a change is given a request_id, and keeps it when it is sent again", async (t) => {
  const ids: string[] = [];
  const url = await serve(t, (router) =>
    router.rpc(CourseService.method.releaseHold, (request) => {
      ids.push(request.requestId);
      if (ids.length < 3) throw refusal(Code.Unavailable, "TRY_AGAIN");
      return { course: { id: request.courseId } };
    }),
  );
  const answer = await new Atoll({ url }).service(CourseService).releaseHold({ courseId: "course_1" });
  assert.equal(answer.course?.id, "course_1");
  assert.match(ids[0]!, UUID);
  assert.deepEqual(ids, [ids[0], ids[0], ids[0]]);
});

test("a request_id that the caller chose is kept", async (t) => {
  const ids: string[] = [];
  const url = await serve(t, (router) =>
    router.rpc(CourseService.method.releaseHold, (request) => {
      ids.push(request.requestId);
      return {};
    }),
  );
  await new Atoll({ url }).service(CourseService).releaseHold({ requestId: "mine", courseId: "course_1" });
  assert.deepEqual(ids, ["mine"]);
});

for (const code of [Code.FailedPrecondition, Code.ResourceExhausted, Code.Internal, Code.DeadlineExceeded, Code.Aborted]) {
  test(`a call that was answered ${Code[code]} is not made again`, async (t) => {
    let made = 0;
    const url = await serve(t, (router) =>
      router.rpc(CourseService.method.getCourse, () => {
        made += 1;
        throw refusal(code, "NO", {}, 1);
      }),
    );
    await assert.rejects(new Atoll({ url }).service(CourseService).getCourse({ courseId: "course_1" }), AtollError);
    assert.equal(made, 1);
  });
}

test("a call is made as often as asked for, and no more", async (t) => {
  let made = 0;
  const url = await serve(t, (router) =>
    router.rpc(CourseService.method.getCourse, () => {
      made += 1;
      throw refusal(Code.Unavailable, "TRY_AGAIN");
    }),
  );
  const courses = new Atoll({ url, attempts: 2 }).service(CourseService);
  await assert.rejects(courses.getCourse({ courseId: "course_1" }), TryAgain);
  assert.equal(made, 2);
});

test("the delay that a service asks for is waited out, and no call waits beyond its deadline", async (t) => {
  const times: number[] = [];
  const url = await serve(t, (router) =>
    router.rpc(CourseService.method.getCourse, () => {
      times.push(performance.now());
      if (times.length === 1) throw refusal(Code.Unavailable, "TRY_AGAIN", {}, 300);
      throw refusal(Code.Unavailable, "TRY_AGAIN", {}, 60_000);
    }),
  );
  const courses = new Atoll({ url }).service(CourseService);
  await assert.rejects(courses.getCourse({ courseId: "course_1" }, { timeoutMs: 5_000 }), TryAgain);
  assert.equal(times.length, 2);
  assert.ok(times[1]! - times[0]! >= 299, `sent again after ${times[1]! - times[0]!} ms`);
});

test("pauses grow to a bound, and are cut at random to a half at most", () => {
  const error = new TryAgain(new ConnectError("away", Code.Unavailable));
  assert.equal(pauseMs(1, error, () => 0), 50);
  assert.equal(pauseMs(1, error, () => 1), 100);
  assert.equal(pauseMs(2, error, () => 1), 300);
  assert.equal(pauseMs(30, error, () => 1), 3_000);
});

test("nobody listens: an error of its own after all attempts", async () => {
  const courses = new Atoll({ url: "http://127.0.0.1:9", attempts: 2 }).service(CourseService);
  await assert.rejects(courses.getCourse({ courseId: "course_1" }), (error: unknown) => {
    assert.ok(error instanceof TryAgain);
    assert.equal(error.reason, "UNREACHABLE");
    return true;
  });
});

test("a deadline ends the call", async (t) => {
  const url = await serve(t, (router) =>
    router.rpc(CourseService.method.getCourse, () => new Promise<never>((_, reject) => setTimeout(() => reject(new Error("late")), 1_000))),
  );
  const courses = new Atoll({ url }).service(CourseService);
  await assert.rejects(courses.getCourse({ courseId: "course_1" }, { timeoutMs: 100 }), TooLate);
});

test("a refusal is a class, with its reason and what it names", async (t) => {
  const url = await serve(t, (router) =>
    router.service(CourseService, {
      getCourse: () => {
        throw refusal(Code.NotFound, "COURSE_NOT_FOUND");
      },
      holdCourse: () => {
        throw refusal(Code.FailedPrecondition, "GATE_PENDING", { limit: "PATIENT" }, 1_500);
      },
      planCourse: () => {
        const fieldViolations = [{ field: "site_id", reason: "string.typeid", description: "is no site" }];
        const value = create(BadRequestSchema, { fieldViolations });
        throw new ConnectError("malformed", Code.InvalidArgument, undefined, [{ desc: BadRequestSchema, value }]);
      },
    }),
  );
  const courses = new Atoll({ url }).service(CourseService);
  await assert.rejects(courses.getCourse({ courseId: "course_1" }), (error) => error instanceof NotFound && error.reason === "COURSE_NOT_FOUND");
  await assert.rejects(courses.holdCourse({}), (error) => {
    assert.ok(error instanceof NotYet);
    assert.ok(error instanceof Conflict);
    assert.match(error.requestId, UUID);
    assert.deepEqual(error.metadata, { limit: "PATIENT" });
    assert.equal(error.retryAfterMs, 1_500);
    assert.equal(error.name, "NotYet");
    return true;
  });
  await assert.rejects(courses.planCourse({}), (error) => {
    assert.ok(error instanceof InvalidArgument);
    assert.equal(error.violations[0]?.field, "site_id");
    return true;
  });
});

test("a token is asked for once more when it was refused, and then no more", async (t) => {
  const seen: (string | null)[] = [];
  const url = await serve(t, (router) =>
    router.rpc(CourseService.method.getCourse, (_, { requestHeader }) => {
      seen.push(requestHeader.get("authorization"));
      if (requestHeader.get("authorization") !== "Bearer new") throw refusal(Code.Unauthenticated, "TOKEN_REFUSED");
      return {};
    }),
  );
  const good = new Atoll({ url, token: async (refused) => (refused ? "new" : "old") }).service(CourseService);
  await good.getCourse({ courseId: "course_1" });
  assert.deepEqual(seen, ["Bearer old", "Bearer new"]);
  const bad = new Atoll({ url, token: () => "old" }).service(CourseService);
  await assert.rejects(bad.getCourse({ courseId: "course_1" }), Unauthenticated);
  assert.equal(seen.length, 4);
});

test("a name that the message lacks is refused before anything is sent", async () => {
  const courses = new Atoll({ url: "http://127.0.0.1:9" }).service(CourseService);
  const misspelt = { courseID: "course_1" } as object;
  await assert.rejects(courses.getCourse(misspelt), new TypeError("atoll.scheduling.v1.GetCourseRequest has no field courseID"));
  const deep = { visits: [{ phaseCode: "a", resources: [{ requirement: "room" }] }] } as object;
  await assert.rejects(courses.holdCourse(deep), new TypeError("atoll.scheduling.v1.ResourceChoice has no field visits[0].resources[0].requirement"));
});
