// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { addressesInHosts, asksHostsFileFirst, parseAhosts } from "../../../../src/formats/network/hosts.ts";

test("a name in /etc/hosts has the addresses of every line that has it, whatever its case", () => {
  const text = [
    "127.0.0.1\tlocalhost",
    "::1 ip6-localhost LocalHost # localhost2",
    "#192.0.2.1 keys",
    " 192.0.2.2   keys.example.org\tkeys   # the server",
    "192.0.2.2 keys",
    "192.0.2.3 keys-of-others mykeys",
    "keys",
    "",
  ].join("\n");
  assert.deepEqual(addressesInHosts(text, "localhost"), ["127.0.0.1", "::1"]);
  assert.deepEqual(addressesInHosts(text, "KEYS"), ["192.0.2.2"]);
  assert.deepEqual(addressesInHosts(text, "keys.example.org"), ["192.0.2.2"]);
  for (const none of ["localhost2", "key", "example.org", "", "127.0.0.1", "192.0.2.2"]) {
    assert.deepEqual(addressesInHosts(text, none), [], none);
  }
});

test("/etc/hosts decides by itself only where nsswitch.conf has it first and takes what it finds", () => {
  for (const yes of [
    "hosts: files dns",
    "passwd: files\nhosts:          files mdns4_minimal [NOTFOUND=return] dns # all\n",
    "hosts: files",
    "  hosts :\tfiles resolve [!UNAVAIL=return] dns",
  ]) {
    assert.equal(asksHostsFileFirst(yes), true, yes);
  }
  for (const no of [
    "",
    "#hosts: files dns",
    "hosts: dns files",
    "hosts: mymachines files dns",
    "hosts: resolve [!UNAVAIL=return] files dns",
    "hosts: files [SUCCESS=merge] dns",
    "hosts: files[success=continue] dns",
    "hosts: files2 dns",
    "hosts: files dns\nhosts: dns",
    "ghosts: files dns",
  ]) {
    assert.equal(asksHostsFileFirst(no), false, no);
  }
});

test("what getent prints is read to its addresses, each once and in its order", () => {
  const text =
    "2001:db8::1     STREAM keys.example.org\n2001:db8::1     DGRAM  \n192.0.2.1       STREAM \n192.0.2.1 RAW\n";
  assert.deepEqual(parseAhosts(text), ["2001:db8::1", "192.0.2.1"]);
  assert.deepEqual(parseAhosts(""), []);
});
