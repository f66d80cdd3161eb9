/** What the README of the client shows is run as it stands there. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { stack } from "./stack.ts";

const README = new URL("../../clients/typescript/README.md", import.meta.url);

test("the client's quick start lists the sites and names a refusal", () => {
  const [, program = ""] = /```ts\n(.*?)```/s.exec(readFileSync(README, "utf8")) ?? [];
  const env = { ...process.env, ATOLL_URL: stack.apiUrl, ATOLL_TOKEN: stack.staffToken };
  const ended = spawnSync(process.execPath, ["--input-type=module-typescript"], { input: program, cwd: import.meta.dirname, env, encoding: "utf8" });
  assert.equal(ended.status, 0, ended.stderr);
  const lines = ended.stdout.trim().split("\n");
  assert.equal(lines[0], "abq Sandia Ketamine & Wellness America/Denver");
  assert.equal(lines.length, 6);
  assert.equal(lines.at(-1), "COURSE_NOT_FOUND");
});
