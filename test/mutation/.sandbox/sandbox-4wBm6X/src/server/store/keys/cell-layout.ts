/** The length of a cell. */
// @ts-nocheck

export const CELL_BYTES = 32;
/** The length of one copy of a chunk. */
export const COPY_BYTES = 64 << 10;
/**
 * Where the copies begin in a chunk: a sector that a power cut tears in one is whole in the other.
 */
export const COPIES = [0, COPY_BYTES] as const;
/** The length of a chunk. */
export const CHUNK_BYTES = 2 * COPY_BYTES;
/** How many cells a chunk has. */
export const CELLS_IN_CHUNK = COPY_BYTES / CELL_BYTES;
/** The length of the head, at the beginning of each copy of the first chunk. */
export const HEAD_BYTES = 4096;
/** The first cell that is used: those before it are the head. */
export const FIRST_CELL = HEAD_BYTES / CELL_BYTES;
