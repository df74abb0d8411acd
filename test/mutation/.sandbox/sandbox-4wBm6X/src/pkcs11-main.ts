// @ts-nocheck
import { formatCardAnswer, MESSAGE_BYTES, parseCardRequest } from "./formats/pkcs11/exchange.ts";
import { performCardRequest } from "./pins/pkcs11/child/perform.ts";
import { confineProcess } from "./system/confinement.ts";
import { loadCryptoki } from "./system/native/cryptoki.ts";
import { keepOutput, readRequest } from "./system/one-answer.ts";
import { secludeProcess } from "./system/seclusion.ts";

/**
 * The program that loads a card's driver: one request on standard input, one answer on standard
 * output. docs/decisions/096-a-cards-driver-runs-alone.md
 * @returns its exit status: 0 where there is an answer
 */
function main(): number {
  secludeProcess();
  confineProcess();
  const bytes = readRequest(MESSAGE_BYTES);
  if (bytes === null) return 1;
  const answer = keepOutput();
  const given = performCardRequest(parseCardRequest(bytes), loadCryptoki);
  bytes.fill(0);
  using text = formatCardAnswer(given);
  for (const secret of given.secrets) secret.wipe();
  answer(text.reveal());
  return 0;
}

process.exitCode = main();
// The answer is given: what a driver's threads and destructors do at an exit is not waited for.
if (process.exitCode === 0) process.kill(process.pid, "SIGKILL");
