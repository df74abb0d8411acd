import { formatSize, SIZE_TYPE } from "../../formats/log/submission.ts";
import { empty, type Reply } from "../http/reply.ts";
import { witness } from "../service/log/witness.ts";
import type { Service } from "../service/service.ts";

const LINES_TYPE = "text/plain; charset=utf-8";

/** Answers `POST /witness/add-checkpoint`. @throws NightlatchError store/* */
export async function answerSubmission(service: Service, body: Buffer, from: string): Promise<Reply> {
  const answer = await witness(service, body, from);
  switch (answer.kind) {
    case "cosigned":
      // Bytes: text goes out as Latin-1, and the line begins with a dash that is none.
      return { status: 200, headers: ["content-type", LINES_TYPE], body: Buffer.from(answer.line) };
    case "conflict":
      return { status: 409, headers: ["content-type", SIZE_TYPE], body: formatSize(answer.size) };
    case "malformed":
      return empty(400);
    case "unsigned":
      return empty(403);
    case "unknown":
      return empty(404);
    case "inconsistent":
      return empty(422);
  }
}
