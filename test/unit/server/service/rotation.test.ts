/** The next epoch of a latch's keys, and the end of the one before; the power goes in between. */
import assert from "node:assert/strict";
import { cpSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { thumbprintOf } from "../../../../src/formats/jose/jwk.ts";
import { identityThumbprint } from "../../../../src/formats/own/enrolment.ts";
import {
  buildRotationRequest,
  parseRotationAnswer,
  parseRotationRequest,
  type RotationAnswer,
} from "../../../../src/formats/own/rotation.ts";
import { isTrusted, parseAdvertisement } from "../../../../src/formats/tang/tang.ts";
import { verifyLog } from "../../../../src/server/audit/verify.ts";
import { advertise } from "../../../../src/server/machine-api/tang.ts";
import { assembleService } from "../../../../src/server/service/assemble.ts";
import { finishRotation, rotateMachine } from "../../../../src/server/service/latches/rotation.ts";
import { takeRotation } from "../../../../src/server/service/latches/rotation-request.ts";
import { changeMachine } from "../../../../src/server/service/policies/states.ts";
import { openFolder } from "../../../../src/server/store/folder/folder.ts";
import { nodeSystem } from "../../../../src/system/node.ts";
import type { System } from "../../../../src/system/port.ts";
import { PowerCut } from "../../../support/faults.ts";
import { opensWithFolder } from "../../../support/server/carve.ts";
import {
  addLatchTo,
  ask,
  enrolled,
  makeHome,
  newMachine,
  type OpenService,
  openService,
  type TestLatch,
  type TestMachine,
  UID,
} from "../../../support/server/harness.ts";

const BY = { by: 0 };

async function advertised(service: OpenService, { latchId }: TestLatch, kid: string | null = null) {
  const { body } = await advertise(service, latchId, kid);
  return parseAdvertisement(JSON.parse(String(body)));
}

async function nextOf(service: OpenService, latch: TestLatch): Promise<TestLatch> {
  return { ...latch, kid: thumbprintOf((await advertised(service, latch)).exchangeKeys[0]) };
}

/** Asks the server about a key, as the machine does. Gives the code where it is refused. */
async function say(
  service: OpenService,
  { identity }: TestMachine,
  { latchId: latch, kid }: TestLatch,
  ends: boolean,
): Promise<RotationAnswer | string> {
  const server = identityThumbprint(service.identity);
  const body = buildRotationRequest(identity, nodeSystem.random(16), { server, latch, kid, ends });
  const outcome = await takeRotation(service, { request: parseRotationRequest(body), body, from: "192.0.2.1" });
  return "refused" in outcome
    ? outcome.refused
    : parseRotationAnswer(outcome.answer, { request: body, serverThumbprint: server });
}

const kinds = async (service: OpenService, latch: TestLatch, kid: string) => {
  return (await ask(service, { ...latch, kid })).kind;
};

/** Throws where the store is not what the log leads to. */
async function expectVerified(service: OpenService): Promise<void> {
  await verifyLog({ ...service.store.audit, snapshot: await service.store.audit.snapshot() }, null);
}

test("the next epoch is vouched for by the one before, both are released, and the machine ends the former", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await enrolled(service, "nas");
  const other = (await addLatchTo(service, machine)) as TestLatch;
  const { signingKeys } = await advertised(service, latch);

  const turned = await rotateMachine(service, "nas", BY);
  assert.deepEqual([turned.changed, turned.formers.length], [true, 2]);
  const next = await nextOf(service, latch);
  assert.notEqual(next.kid, latch.kid);
  assert.ok(isTrusted(await advertised(service, latch), { keys: signingKeys }));
  // As a tang answers it: by the name of the key that was rotated.
  assert.ok(isTrusted(await advertised(service, latch, thumbprintOf(signingKeys[0])), { keys: signingKeys }));
  assert.deepEqual(
    [await kinds(service, latch, latch.kid), await kinds(service, latch, next.kid)],
    ["released", "released"],
  );
  assert.equal((await rotateMachine(service, "nas", BY)).changed, false);
  await expectVerified(service);

  service.clock.nowMs += 5000;
  assert.deepEqual(await say(service, machine, next, false), { hasFormer: true, releasedMs: 5000 });
  assert.deepEqual(await say(service, machine, latch, false), { hasFormer: true, releasedMs: null });
  // Who names the former key ends nothing, nor does another machine.
  assert.deepEqual(await say(service, machine, latch, true), { hasFormer: true, releasedMs: null });
  assert.equal(await say(service, newMachine(), next, true), "machine/unknown");
  assert.equal(await say(service, (await enrolled(service, "pi")).machine, next, true), "latch/unknown");

  assert.deepEqual(await say(service, machine, next, true), { hasFormer: false, releasedMs: null });
  assert.deepEqual(await say(service, machine, next, true), { hasFormer: false, releasedMs: null });
  assert.deepEqual(
    [await kinds(service, latch, latch.kid), await kinds(service, latch, next.kid)],
    ["unknown", "released"],
  );
  assert.equal(await kinds(service, other, other.kid), "released");
  await expectVerified(service);
});

test("an operator ends it; a machine that is locked ends nothing; one that is revoked has neither", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await enrolled(service, "nas");
  await rotateMachine(service, "nas", BY);
  const next = await nextOf(service, latch);
  await changeMachine(service, "nas", { ...BY, change: "lock" });
  assert.equal(await say(service, machine, next, true), "machine/locked");
  await changeMachine(service, "nas", { ...BY, change: "unlock" });
  const done = await finishRotation(service, "nas", BY);
  assert.deepEqual([done.changed, done.formers, done.destroyed], [true, [], true]);
  assert.equal((await finishRotation(service, "nas", BY)).changed, false);
  assert.deepEqual(
    [await kinds(service, latch, latch.kid), await kinds(service, latch, next.kid)],
    ["unknown", "released"],
  );
  await rotateMachine(service, "nas", BY);
  const last = await nextOf(service, latch);
  await changeMachine(service, "nas", { ...BY, change: "revoke" });
  assert.deepEqual(
    [await kinds(service, latch, next.kid), await kinds(service, latch, last.kid)],
    ["refused", "refused"],
  );
  await assert.rejects(rotateMachine(service, "nas", BY), { code: "machine/revoked" });
  await expectVerified(service);
});

test("what was ended opens with no older copy of the store", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  await rotateMachine(service, "nas", BY);
  const keys = await service.store.transact((transaction) => transaction.keys(latch.latchId));
  const found = keys.map(({ purpose, epoch, wrapped }) => ({
    context: { id: latch.latchId, purpose, epoch },
    bytes: wrapped,
  }));
  assert.equal(found.length, 4);
  for (const each of found) assert.ok(opensWithFolder(home.folder, each));
  await finishRotation(service, "nas", BY);
  for (const each of found) assert.equal(opensWithFolder(home.folder, each), each.context.epoch === 2);
});

test("the power goes at any step of a rotation or of its end: a start finds what was before, or what comes after", async () => {
  for (const act of [rotateMachine, finishRotation]) {
    for (let step = 1; ; step++) {
      using home = makeHome();
      using crash = makeHome();
      const latch = await openService(home.folder).then(async (before) => {
        await using service = before;
        const { latch } = await enrolled(service, "nas");
        if (act === finishRotation) await rotateMachine(service, "nas", BY);
        return latch;
      });
      const wasCut = await actUntilCut(act, step, home.folder, crash.folder);
      await using after = await openService(crash.folder);
      const what = `${act.name} cut at step ${step}`;
      const next = await nextOf(after, latch);
      assert.equal(await kinds(after, latch, next.kid), "released", what);
      const formers = await after.store.transact((transaction) => transaction.formers({ latch: latch.latchId }));
      const isThere = next.kid === latch.kid || formers.length === 1;
      assert.equal(await kinds(after, latch, latch.kid), isThere ? "released" : "unknown", what);
      await expectVerified(after);
      if (wasCut) continue;
      assert.deepEqual([next.kid === latch.kid, formers.length], [false, act === rotateMachine ? 1 : 0]);
      break;
    }
  }
});

/** @returns whether the power went, `step` steps after the opening; `crash` gets what lies there */
async function actUntilCut(act: typeof rotateMachine, step: number, folder: string, crash: string): Promise<boolean> {
  let power = 0;
  let isCut = false;
  const gone = () => {
    isCut ||= power > 0 && ++power > step;
    if (isCut) throw new PowerCut();
  };
  const system = stoppable(gone);
  const opened = await openFolder(system, folder, { uid: UID });
  power = 1;
  await act(assembleService(nodeSystem, opened), "nas", BY).catch(() => null);
  cpSync(folder, crash, { recursive: true });
  if (existsSync(`${folder}.id`)) cpSync(`${folder}.id`, `${crash}.id`);
  rmSync(join(crash, "store.sqlite-shm"), { force: true });
  const was = isCut;
  power = 0;
  isCut = false;
  await opened.store.close().catch(() => null);
  return was;
}

/** A system that asks before each change of a file whether there is power. */
function stoppable(gone: () => void): System {
  return {
    ...nodeSystem,
    writeFile: async (...args) => {
      gone();
      return nodeSystem.writeFile(...args);
    },
    removeFile: async (...args) => {
      gone();
      return nodeSystem.removeFile(...args);
    },
    openInPlace: async (...args) => {
      const file = await nodeSystem.openInPlace(...args);
      return {
        get sizeBytes() {
          return file.sizeBytes;
        },
        read: (offset, length) => file.read(offset, length),
        write: (offset, bytes) => {
          gone();
          file.write(offset, bytes);
        },
        sync: () => {
          gone();
          file.sync();
        },
        [Symbol.dispose]: () => file[Symbol.dispose](),
      };
    },
  };
}
