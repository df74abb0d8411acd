// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { completionScript } from "../../../script/completion.ts";
import { manualPage } from "../../../script/manual.ts";

const TABLES = [
  {
    name: "open it",
    summary: "open a volume - at once",
    operands: "DEV latch [INVITE]",
    options: {
      "key-file": { value: "FILE", help: "the passphrase; - reads standard input", default: ".key" },
      now: { help: "at once" },
    },
    details: `First line.
.second line, with a \\ in it

  latch  a server of ours, which
         is asked
  tang   any other

  nightlatch open it --now /dev/sdb1`,
  },
];

test("a command's table becomes a subsection in which nothing of the text is a request", () => {
  const page = manualPage(".TH X 1 @DATE@ @VERSION@\n@COMMANDS@\n.SH END\n", TABLES, {
    version: "1.2.3",
    date: "2026-01-02",
  });
  assert.equal(
    page,
    String.raw`.TH X 1 2026-01-02 1.2.3
.SS "open it"
\fBnightlatch open it\fR \fIDEV\fR latch \fI[INVITE]\fR [\fIoptions\fR]
.PP
Open a volume - at once.
.TP
\fB\-\-key\-file\fR \fIFILE\fR
The passphrase; - reads standard input (default \fI.key\fR).
.TP
\fB\-\-now\fR
At once.
.PP
First line.
\&.second line, with a \e in it
.TP
\fBlatch\fR
a server of ours, which
is asked
.TP
\fBtang\fR
any other
.PP
.RS 4
.EX
nightlatch open it \-\-now /dev/sdb1
.EE
.RE
.SH END
`,
  );
});

test("a manual or a completion that has no place for the commands is refused", () => {
  const edition = { version: "1", date: "2026-01-02" };
  assert.throws(() => manualPage("no marks", TABLES, edition), { message: 'there is no "@COMMANDS@\\n" to fill in' });
  assert.throws(() => completionScript("no marks", TABLES), { message: 'there is no "# @FIRST@" to fill in' });
});
