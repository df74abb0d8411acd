// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { lookUpName } from "../../../../src/boot/initramfs/server-name.ts";
import { fakeSystem } from "../../../support/fake-files.ts";

/** What each source of names answers; the resolver that DNS goes through. */
interface Names {
  readonly files?: string;
  readonly dns?: string;
  readonly any?: string;
  readonly resolver?: string;
}

const lines = (addresses: string) =>
  addresses
    .split(" ")
    .flatMap((address) => [`${address}  STREAM keys`, `${address}  DGRAM  `])
    .join("\n");

function machine({ files, dns, any, resolver = "192.0.2.53" }: Names) {
  return fakeSystem({ "/etc/resolv.conf": `# by hand\nnameserver ${resolver}\n` }, (argv) => {
    assert.deepEqual([argv[0], argv.at(-2)], ["getent", "ahosts"]);
    const answer = argv.includes("hosts:files") ? files : argv.includes("hosts:dns") ? dns : any;
    return answer === undefined ? { status: 2 } : { stdout: lines(answer) };
  });
}

test("how a name is known, and an address in its place", async () => {
  const cases: readonly (readonly [string, string, Names, string, string | null])[] = [
    ["an address", "192.0.2.1", {}, "dns", "192.0.2.1"],
    ["an IPv6 address", "2001:db8::1", {}, "dns", "2001:db8::1"],
    ["this machine by address, where a tunnel may listen", "127.0.0.1", {}, "dns", "127.0.0.1"],
    ["this machine by name", "localhost", {}, "here", null],
    ["Debian's line for the machine's own name", "nas", { files: "127.0.1.1" }, "here", null],
    ["DNS alone", "keys.example.org", { dns: "192.0.2.1" }, "dns", "192.0.2.1"],
    ["/etc/hosts alone", "keys", { files: "192.0.2.1" }, "hosts", "192.0.2.1"],
    ["/etc/hosts, IPv4 first", "keys", { files: "2001:db8::1 192.0.2.1" }, "hosts", "192.0.2.1"],
    ["both", "keys", { files: "192.0.2.1", dns: "192.0.2.1" }, "dns", "192.0.2.1"],
    [
      "both, by systemd-resolved",
      "keys",
      { files: "192.0.2.1", dns: "192.0.2.1", resolver: "127.0.0.53" },
      "hosts-perhaps",
      "192.0.2.1",
    ],
    ["mDNS", "keys.local", { any: "192.0.2.1" }, "other", "192.0.2.1"],
    ["nobody", "keys.invalid", {}, "unknown", null],
  ];
  for (const [what, host, names, kind, address] of cases)
    assert.deepEqual(await lookUpName(machine(names), host), { kind, address }, what);
});

test("without getent nothing is known of names, and nothing fails", async () => {
  assert.deepEqual(await lookUpName(fakeSystem({}), "keys"), { kind: "unknown", address: null });
});
