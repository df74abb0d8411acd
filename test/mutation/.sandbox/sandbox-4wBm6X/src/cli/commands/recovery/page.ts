// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import type { Secret } from "../../../core/secret.ts";
import { shellWord } from "../../../core/text.ts";
import { fileSystemOf, liesInMemory } from "../../../host/file-system.ts";
import type { System } from "../../../system/port.ts";
import { makeQrCode, qrCodePath } from "./qr-code.ts";

/** What a page says beside the key. */
interface PageFacts {
  readonly device: string;
  readonly uuid: string;
  /** Untrusted. */
  readonly label: string;
  readonly nowMs: number;
}

/**
 * Makes sure that a page may be written to that path: nothing is there, and it lies in memory or on
 * an encrypted disk. A key never lies on a disk that is not.
 * @returns the path to write to, its folder's links followed
 * @throws NightlatchError usage/wrong, file/missing, file/denied, file/io, system/*
 */
export async function requirePlace(system: Pick<System, "run" | "lstat" | "realPath">, path: string): Promise<string> {
  const slash = path.lastIndexOf("/");
  const [folder, name] = [slash < 0 ? "." : path.slice(0, slash) || "/", path.slice(slash + 1)];
  const real = await system.realPath(folder);
  if (real === null || name === "") {
    throw new NightlatchError("file/missing", `${path}: there is no such folder`, { meaning: "Nothing was changed." });
  }
  const place = `${real === "/" ? "" : real}/${name}`;
  if ((await system.lstat(place)) !== null) {
    throw new NightlatchError("usage/wrong", `${path} is there already`, {
      meaning: "Nothing was changed.",
      remedy: "Name a file that is not there.",
    });
  }
  if ((await liesInMemory(system, real)) || (await fileSystemOf(system, real)).isEncrypted) return place;
  throw new NightlatchError("usage/wrong", `${path} lies on a disk that is not encrypted`, {
    meaning: "The recovery key would be readable there, even after the file is removed. Nothing was changed.",
    remedy: "Name a file in memory, such as /dev/shm/recovery.html; print it, and remove it.",
  });
}

/** Writes the page that is printed: HTML that needs nothing else, no network and no script. */
export function composePage(key: Secret, { device, uuid, label, nowMs }: PageFacts): Buffer {
  const code = makeQrCode(key);
  const size = code.length;
  const rows = [
    ["Volume", device],
    ["UUID", uuid],
    ...(label === "" ? [] : [["Label", label]]),
    ["Made on", new Date(nowMs).toISOString().slice(0, 10)],
  ];
  const table = rows.map(([name = "", value = ""]) => `<tr><th>${name}</th><td>${escapeHtml(value)}</td></tr>`);
  const path = qrCodePath(code);
  const page = Buffer.concat([
    Buffer.from(`${HEAD}<table>${table.join("")}</table>\n<p class="key">`),
    key.reveal(),
    Buffer.from(`</p>\n<svg viewBox="0 0 ${size} ${size}" shape-rendering="crispEdges"><path d="`),
    path,
    Buffer.from(`"/></svg>\n${adviceFor(device)}</body>\n</html>\n`),
  ]);
  path.fill(0);
  return page;
}

const HEAD = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Recovery key</title>
<style>
@page { size: A4; margin: 20mm }
body { font: 12pt serif; color: #000; background: #fff; max-width: 170mm; margin: auto }
th { text-align: left; padding-right: 1em; font-weight: normal }
td, code, .key { font-family: monospace }
.key { font-size: 10.5pt; white-space: nowrap; border: 1px solid #000; padding: 2mm 1mm; text-align: center }
svg { width: 60mm; height: 60mm; display: block; margin: 5mm auto }
</style>
</head>
<body>
<h1>Recovery key</h1>
`;

const adviceFor = (
  device: string,
): string => `<p>Whoever has this key opens the disk. Keep this page away from the machine.</p>
<p>Type the key, dashes included, wherever a passphrase for this disk is asked for.</p>
<p>To see that it still opens the disk: <code>${escapeHtml(`nightlatch recovery test ${shellWord(device)}`)}</code></p>
`;

const ESCAPES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => ESCAPES[character] ?? "").replace(/\p{C}/gu, "?");
}
