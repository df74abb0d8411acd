// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isError } from "../../../../src/core/errors.ts";
import { formatPkcs11Uri, type Pkcs11Uri, parsePkcs11Uri } from "../../../../src/formats/pkcs11/uri.ts";

const refuses = (text: string, why: RegExp) =>
  assert.throws(() => parsePkcs11Uri(text), { code: "pkcs11/malformed", message: why }, text);

test("a URI says which token, which key, which driver and where the PIN is", () => {
  const text =
    "pkcs11:token=my%20card;manufacturer=ACME;serial=0f;model=v2;object=disk%3B1;id=%01%aB;type=private" +
    "?module-path=/usr/lib/x.so&pin-source=file:/etc/nightlatch/pins/ops";
  assert.deepEqual(parsePkcs11Uri(text), {
    token: { token: "my card", manufacturer: "ACME", serial: "0f", model: "v2" },
    object: { object: "disk;1", id: "01ab" },
    modulePath: "/usr/lib/x.so",
    pinSource: "file:/etc/nightlatch/pins/ops",
  });
});

test("what clevis writes is read: no attribute at all, its module in the path, its own slot-id and PIN", () => {
  assert.deepEqual(parsePkcs11Uri("pkcs11:"), { token: {}, object: {} });
  assert.deepEqual(parsePkcs11Uri("pkcs11:slot-id=3;module-path=/usr/lib64/libykcs11.so?pin-value=12%2634"), {
    token: { slotId: 3 },
    object: {},
    modulePath: "/usr/lib64/libykcs11.so",
    pinValue: "12&34",
  });
});

test("what could mean another token or key than was written is refused", () => {
  refuses("", /does not begin/);
  refuses("PKCS11:token=a", /does not begin/);
  refuses("pkcs11:token=a;token=b", /token twice/);
  refuses("pkcs11:module-path=/a?module-path=/b", /module-path twice/);
  refuses("pkcs11:tokne=a", /not known/);
  refuses("pkcs11:x-vendor=a", /not known/);
  refuses("pkcs11:token", /not known/);
  refuses("pkcs11:token=", /empty/);
  refuses("pkcs11:id=", /empty/);
  refuses("pkcs11:token=a b", /%XX/);
  refuses("pkcs11:token=ä", /%XX/);
  refuses("pkcs11:token=%e", /%XX/);
  refuses("pkcs11:token=%ff", /plain text/);
  refuses("pkcs11:token=a%00", /plain text/);
  refuses("pkcs11:token=%1b%5b2J", /plain text/);
  refuses("pkcs11:type=cert", /private/);
  refuses("pkcs11:slot-id=-1", /number/);
  refuses("pkcs11:slot-id=12345678901", /number/);
  refuses("pkcs11:?module-name=softhsm2", /not known/);
  refuses("pkcs11:?module-path=lib.so", /absolute/);
  refuses("pkcs11:?module-path=/usr/lib/../../tmp/x.so", /absolute/);
  refuses("pkcs11:?a?b", /not known/);
  refuses(`pkcs11:token=${"a".repeat(33)}`, /longer than that of any token/);
  refuses(`pkcs11:serial=${"a".repeat(17)}`, /longer than that of any token/);
  refuses(`pkcs11:object=${"a".repeat(2048)}`, /2048/);
  refuses(`pkcs11:id=${"%00".repeat(256)}`, /too long/);
});

test("a message never repeats what was written, which may hold a PIN", () => {
  for (const text of [
    "pkcs11:pin-value=123456",
    "pkcs11:?pin-value=123 456",
    "pkcs11:?pin-value=%00123456",
    "123456",
  ]) {
    assert.throws(
      () => parsePkcs11Uri(text),
      (error) => isError(error, "pkcs11/malformed") && !`${error.message}${error.remedy}`.includes("123"),
    );
  }
});

const text = (limit: number) =>
  fc
    .string({ unit: "binary", minLength: 1, maxLength: limit })
    .filter((s) => !/\p{Cc}|\p{Cs}/u.test(s) && Buffer.byteLength(s) <= limit);
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const path = fc.array(
  text(12).filter((s) => !s.includes("/") && s !== "." && s !== ".."),
  { minLength: 1, maxLength: 4 },
);

const uris: fc.Arbitrary<Pkcs11Uri> = fc
  .record({
    token: optional(text(32)),
    manufacturer: optional(text(32)),
    serial: optional(text(16)),
    model: optional(text(16)),
    slotId: optional(fc.nat()),
    object: optional(text(40)),
    id: optional(fc.uint8Array({ minLength: 1, maxLength: 20 })),
    module: optional(path),
    pinSource: optional(text(40)),
  })
  .map(({ token, manufacturer, serial, model, slotId, object, id, module, pinSource }) => {
    const given = <T>(name: string, value: T | undefined) => (value === undefined ? {} : { [name]: value });
    return {
      token: {
        ...given("token", token),
        ...given("manufacturer", manufacturer),
        ...given("serial", serial),
        ...given("model", model),
        ...given("slotId", slotId),
      },
      object: {
        ...given("object", object),
        ...given("id", id === undefined ? undefined : Buffer.from(id).toString("hex")),
      },
      ...given("modulePath", module === undefined ? undefined : `/${module.join("/")}`),
      ...given("pinSource", pinSource),
    };
  });

test("what is written is read as it was meant, whatever it holds", () => {
  fc.assert(fc.property(uris, (uri) => assert.deepEqual(parsePkcs11Uri(formatPkcs11Uri(uri)), uri)));
});

test("a PIN is never written", () => {
  assert.equal(formatPkcs11Uri({ token: { token: "a" }, object: {}, pinValue: "1234" }), "pkcs11:token=a");
});

test("any text is read or refused with the one code", () => {
  const pieces = fc.constantFrom(
    ..."pkcs11: token= object= id= slot-id= module-path= pin-value= ; ? & % %41 %ff = / .. a \0 é type=private".split(
      " ",
    ),
  );
  const texts = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(pieces).map((list) => `pkcs11:${list.join("")}`),
  );
  fc.assert(
    fc.property(texts, (given) => {
      try {
        const uri = parsePkcs11Uri(given);
        assert.deepEqual(parsePkcs11Uri(formatPkcs11Uri(uri)), without(uri));
      } catch (error) {
        assert.ok(isError(error, "pkcs11/malformed"), String(error));
      }
    }),
  );
});

/** All but the PIN, which is not written. */
function without({ token, object, modulePath, pinSource }: Pkcs11Uri): Pkcs11Uri {
  return {
    token,
    object,
    ...(modulePath === undefined ? {} : { modulePath }),
    ...(pinSource === undefined ? {} : { pinSource }),
  };
}
