/** Lists and streams as async iterators. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import type { DescFile } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";

import { ExportService } from "../gen/atoll/patients/v1/export_service_pb.js";
import { BoardService } from "../gen/atoll/scheduling/v1/board_service_pb.js";
import { CourseService } from "../gen/atoll/scheduling/v1/course_service_pb.js";
import { Atoll, Cancelled, TryAgain } from "../src/index.ts";
import { listedField } from "../src/pages.ts";
import { refusal, serve } from "./server.ts";

const GEN = new URL("../gen/", import.meta.url);

test("a list is read to its end, a page at a time and no sooner than wanted", async (t) => {
  const asked: string[] = [];
  const url = await serve(t, (router) =>
    router.rpc(CourseService.method.listCourses, ({ siteId, pageToken }) => {
      asked.push(`${siteId} ${pageToken}`);
      return pageToken === "" ? { courses: [{ id: "a" }, { id: "b" }], nextPageToken: "2" } : { courses: [{ id: "c" }] };
    }),
  );
  const { listCourses } = new Atoll({ url }).service(CourseService);
  const ids: string[] = [];
  for await (const course of listCourses({ siteId: "s" })) {
    if (course.id === "b") assert.equal(asked.length, 1);
    ids.push(course.id);
  }
  assert.deepEqual(ids, ["a", "b", "c"]);
  assert.deepEqual(asked, ["s ", "s 2"]);
  const lengths: number[] = [];
  for await (const page of listCourses({ siteId: "s" }).byPage()) lengths.push(page.courses.length);
  assert.deepEqual(lengths, [2, 1]);
  assert.equal((await listCourses({ siteId: "s", pageToken: "2" })).courses.length, 1);
});

test("what is called a list can be read item by item, and is all that can", async () => {
  const lists: string[] = [];
  for (const path of readdirSync(GEN, { recursive: true, encoding: "utf8" }).filter((each) => each.endsWith("_service_pb.js"))) {
    const module: Record<string, unknown> = await import(new URL(path, GEN).href);
    for (const service of Object.values(module).flatMap((each) => (isFile(each) ? each.services : []))) {
      lists.push(...service.methods.filter((method) => listedField(method)).map((method) => method.name));
    }
  }
  assert.ok(lists.includes("ListSites") && lists.includes("FindOpenings") && !lists.includes("GetAccount"));
  assert.ok(lists.length > 20, `${lists.length} lists`);
});

function isFile(each: unknown): each is DescFile {
  return typeof each === "object" && each !== null && "kind" in each && each.kind === "file";
}

test("a watch goes on from the last token after a break, an end and silence, and hands no heartbeat on", async (t) => {
  const opened: string[] = [];
  const url = await serve(t, (router) =>
    router.rpc(BoardService.method.watchSite, async function* ({ resumeToken }, { signal }) {
      opened.push(resumeToken);
      if (opened.length === 1) {
        yield { resumeToken: "1" };
        yield { resumeToken: "2", visitChange: { visitId: "a" } };
        throw refusal(Code.Unavailable, "TRY_AGAIN");
      }
      if (opened.length === 2) {
        yield { resumeToken: "3", visitChange: { visitId: "b" } };
        return;
      }
      if (opened.length === 3) await new Promise((resolve) => signal.addEventListener("abort", resolve));
      yield { resumeToken: "4", visitChange: { visitId: "c" } };
    }),
  );
  const { watchSite } = new Atoll({ url }).service(BoardService);
  const ids: string[] = [];
  for await (const { visitChange } of watchSite({ siteId: "s" }, { silenceMs: 2_000 })) {
    ids.push(visitChange?.visitId ?? "nothing");
    if (ids.length === 3) break;
  }
  assert.deepEqual(ids, ["a", "b", "c"]);
  assert.deepEqual(opened, ["", "2", "3", "3"]);
});

test("an expired token opens a stream again with a new one", async (t) => {
  const seen: (string | null)[] = [];
  const url = await serve(t, (router) =>
    router.rpc(BoardService.method.watchSite, async function* (_, { requestHeader }) {
      seen.push(requestHeader.get("authorization"));
      if (seen.length === 1) throw refusal(Code.Unauthenticated, "TOKEN_EXPIRED");
      yield { resumeToken: "1", visitChange: { visitId: "a" } };
    }),
  );
  const { watchSite } = new Atoll({ url, token: (refused) => (refused ? "new" : "old") }).service(BoardService);
  for await (const _ of watchSite({ siteId: "s" })) break;
  assert.deepEqual(seen, ["Bearer old", "Bearer new"]);
});

test("an export goes on after the last token that came, until it says that it is complete", async (t) => {
  const asked: string[] = [];
  const url = await serve(t, (router) =>
    router.rpc(ExportService.method.exportPatients, async function* ({ resumeToken }) {
      asked.push(resumeToken);
      yield { resumeToken: String(asked.length), patientExport: { patientId: "a" } };
      yield { patientExport: { patientId: "b" } }; // More of the same record follows.
      if (asked.length === 1) throw refusal(Code.Unavailable, "TRY_AGAIN");
      if (asked.length === 3) yield { complete: true };
    }),
  );
  const ids: (string | undefined)[] = [];
  for await (const each of new Atoll({ url }).service(ExportService).exportPatients({})) ids.push(each.patientExport?.patientId);
  assert.deepEqual(ids, ["a", "b", "a", "b", "a", "b", undefined]);
  assert.deepEqual(asked, ["", "1", "2"]);
});

test("a watch that was open once is opened until its reader leaves, who is told of each break", async (t) => {
  let opened = 0;
  const url = await serve(t, (router) =>
    router.rpc(BoardService.method.watchSite, async function* ({ resumeToken }) {
      opened += 1;
      if (opened === 1) yield { resumeToken: "1" };
      if (opened < 4) throw refusal(opened === 1 ? Code.Internal : Code.Unavailable, opened === 1 ? "" : "TRY_AGAIN");
      yield { resumeToken: "2", visitChange: { visitId: resumeToken } };
    }),
  );
  const { watchSite } = new Atoll({ url, attempts: 2 }).service(BoardService);
  const breaks: string[] = [];
  for await (const { visitChange } of watchSite({ siteId: "s" }, { onBreak: ({ reason }) => breaks.push(reason) })) {
    assert.equal(visitChange?.visitId, "1");
    break;
  }
  assert.deepEqual(breaks, ["", "TRY_AGAIN", "TRY_AGAIN"]);
});

test("a signal ends the pause between two openings, as Cancelled", async (t) => {
  const url = await serve(t, (router) =>
    router.rpc(BoardService.method.watchSite, async function* () {
      throw refusal(Code.Unavailable, "TRY_AGAIN", {}, 60_000);
    }),
  );
  const leaving = new AbortController();
  const options = { signal: leaving.signal, onBreak: () => setTimeout(() => leaving.abort(), 20) };
  await assert.rejects(async () => {
    for await (const _ of new Atoll({ url }).service(BoardService).watchSite({ siteId: "s" }, options)) assert.fail("nothing was sent");
  }, Cancelled);
});

test("a stream without tokens ends where it ends, and a watch that cannot be opened fails as a call does", async (t) => {
  let opened = 0;
  const url = await serve(t, (router) => {
    router.rpc(ExportService.method.exportPatient, async function* () {
      yield { patientExport: { patientId: "a" } };
    });
    router.rpc(BoardService.method.watchSite, async function* () {
      opened += 1;
      throw refusal(Code.Unavailable, "TRY_AGAIN");
    });
  });
  const atoll = new Atoll({ url, attempts: 3 });
  let parts = 0;
  for await (const _ of atoll.service(ExportService).exportPatient({ patientId: "a" })) parts += 1;
  assert.equal(parts, 1);
  await assert.rejects(async () => {
    for await (const _ of atoll.service(BoardService).watchSite({ siteId: "s" })) assert.fail("nothing was sent");
  }, TryAgain);
  assert.equal(opened, 3);
});

test("whoever stops reading ends the stream at the service", async (t) => {
  let ended = false;
  const url = await serve(t, (router) =>
    router.rpc(BoardService.method.watchSite, async function* (_, { signal }) {
      yield { resumeToken: "1", visitChange: { visitId: "a" } };
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      ended = true;
    }),
  );
  for await (const _ of new Atoll({ url }).service(BoardService).watchSite({ siteId: "s" })) break;
  for (let waited = 0; !ended && waited < 100; waited += 1) await sleep(20);
  assert.ok(ended);
});
