/** Statuses of commands (include/grub/err.h). */
// @ts-nocheck

export const OK = 0;
export const TEST_FAILURE = 1;
export const BAD_FILE_TYPE = 4;
export const FILE_NOT_FOUND = 5;
export const BAD_NUMBER = 10;
export const OUT_OF_RANGE = 11;
export const INVALID_COMMAND = 17;
export const BAD_ARGUMENT = 18;
export const MENU_ERROR = 27;
