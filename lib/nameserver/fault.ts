/** Thrown for a line of a list that cannot be used. The message says what is wrong with it. */
export class LineFault extends Error {}
