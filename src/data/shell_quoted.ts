/** A path as one word of a command line that a message tells the user to give. */
export const shellQuoted = (path: string): string =>
  /^[\w./:@+-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
