// @ts-nocheck
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { lengthOfMessage, refuseAnswer, TPM_MESSAGE_BYTES } from "../../formats/tpm2/command.ts";
import type { TpmPlace } from "../../formats/tpm2/place.ts";
import { noChip, silent, type TpmLine } from "./line.ts";

/** How long another program may keep the queue of a software TPM full before it is tried again. */
const TURN_MS = 20;

type SocketPlace = Exclude<TpmPlace, { kind: "device" }>;

/** Connects to the command socket of a software TPM, which serves one program after the other. */
export async function openSocket(place: SocketPlace, ends: AbortSignal): Promise<TpmLine> {
  const name = place.kind === "unix" ? place.path : `${place.host}:${place.port}`;
  const socket = await connected(place, name, ends);
  return {
    exchange: (command) => exchange(socket, name, ends, command),
    [Symbol.asyncDispose]: async () => {
      socket.destroy();
    },
  };
}

/** Waits for its turn: the kernel says EAGAIN where a socket's queue is full (connect(2)). */
async function connected(place: SocketPlace, name: string, ends: AbortSignal): Promise<Socket> {
  for (;;) {
    let full = false;
    const socket = place.kind === "unix" ? connect(place.path) : connect(place.port, place.host);
    // It stays: of an idle connection that fails the next exchange finds it closed.
    socket.on("error", (error: NodeJS.ErrnoException) => {
      full = error.code === "EAGAIN";
    });
    try {
      await settled(socket, name, ends, (done) => socket.once("connect", done));
      return socket;
    } catch (error) {
      if (!full) throw error;
    }
    await pause(TURN_MS, undefined, { signal: ends }).catch(() => {
      throw silent(name);
    });
  }
}

/** Reads one answer. What comes behind it, or is longer than any answer, ends the conversation. */
async function exchange(socket: Socket, name: string, ends: AbortSignal, command: Uint8Array): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  let onData: (chunk: Buffer) => void = () => {};
  try {
    await settled(socket, name, ends, (done) => {
      onData = (chunk) => {
        bytes = Buffer.concat([bytes, chunk.subarray(0, TPM_MESSAGE_BYTES + 1)]);
        if (bytes.length > TPM_MESSAGE_BYTES || bytes.length >= (lengthOfMessage(bytes) ?? Number.POSITIVE_INFINITY))
          done();
      };
      socket.on("data", onData);
      socket.write(command);
    });
  } finally {
    socket.off("data", onData);
  }
  if (bytes.length > TPM_MESSAGE_BYTES) refuseAnswer("it is longer than any");
  return bytes;
}

/** Waits until `begin` calls back. A socket that fails, ends or is silent is not used again. */
function settled(socket: Socket, name: string, ends: AbortSignal, begin: (done: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const clean = () => {
      socket.off("error", onError);
      socket.off("close", onClose);
      ends.removeEventListener("abort", giveUp);
    };
    const fail = (error: Error) => {
      clean();
      socket.destroy();
      reject(error);
    };
    const onError = (error: NodeJS.ErrnoException) => fail(noChip(`${name}: ${error.code ?? "unknown"}`));
    const onClose = () => fail(noChip(`${name} has closed the connection`));
    const giveUp = () => fail(silent(name));
    socket.on("error", onError);
    socket.on("close", onClose);
    ends.addEventListener("abort", giveUp, { once: true });
    if (ends.aborted) return giveUp();
    if (socket.destroyed) return onClose();
    begin(() => {
      clean();
      resolve();
    });
  });
}
