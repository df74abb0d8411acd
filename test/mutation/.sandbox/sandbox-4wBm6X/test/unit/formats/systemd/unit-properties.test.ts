// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseFstab } from "../../../../src/formats/systemd/fstab.ts";
import { parseUnitProperties } from "../../../../src/formats/systemd/unit-properties.ts";

// systemctl show --property=Id,Listen,DefaultDependencies,Before,Triggers '*.socket', systemd 252
const CAPTURED = `Listen=/run/systemd/journal/dev-log (Datagram)
Id=systemd-journald-dev-log.socket
Before=systemd-journald.service sockets.target
Triggers=systemd-journald.service
DefaultDependencies=no

Listen=/run/systemd/journal/socket (Datagram)
Listen=/run/systemd/journal/stdout (Stream)
Id=systemd-journald.socket
Before=sockets.target systemd-journald.service sysinit.target
Triggers=systemd-journald.service
DefaultDependencies=no
`;

test("units are told apart, and a property that stands twice keeps both values", () => {
  const units = parseUnitProperties(CAPTURED);
  assert.deepEqual(
    units.map((unit) => unit.get("Id")),
    ["systemd-journald-dev-log.socket", "systemd-journald.socket"],
  );
  assert.equal(units[1]?.get("Listen"), "/run/systemd/journal/socket (Datagram)\n/run/systemd/journal/stdout (Stream)");
  assert.deepEqual(parseUnitProperties(""), []);
});

test("fstab: comments, short lines and escapes", () => {
  const text = "# a\n\n/dev/mapper/data\t/srv/a\\040b  ext4 noatime,nofail 0 2\nUUID=1 none swap\nshort line\n";
  assert.deepEqual(parseFstab(Buffer.from(text)), [
    {
      line: 3,
      source: "/dev/mapper/data",
      target: "/srv/a b",
      type: "ext4",
      options: ["noatime", "nofail"],
      fields: ["/dev/mapper/data", "/srv/a\\040b", "ext4", "noatime,nofail", "0", "2"],
    },
    {
      line: 4,
      source: "UUID=1",
      target: "none",
      type: "swap",
      options: ["defaults"],
      fields: ["UUID=1", "none", "swap"],
    },
    // systemd takes it, with a type and options of nothing.
    { line: 5, source: "short", target: "line", type: "", options: ["defaults"], fields: ["short", "line"] },
  ]);
});

test("neither throws, whatever the bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      parseFstab(bytes);
      parseUnitProperties(Buffer.from(bytes).toString("utf8"));
    }),
  );
});
