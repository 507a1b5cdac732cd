/** Code with a function that closes the listening socket behind libmilter's back, upon which it gives up. */
export const CLOSE_LISTENER = `
  import { closeSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
  const closeListener = () => {
    const LISTEN = '0A';
    const rows = readFileSync('/proc/net/tcp', 'utf8').split('\\n').map((row) => row.trim().split(/ +/));
    const inodes = new Set(rows.filter((row) => row[3] === LISTEN).map((row) => 'socket:[' + row[9] + ']'));
    const isListener = (fd) => {
      try { return inodes.has(readlinkSync('/proc/self/fd/' + fd)); } catch { return false; }
    };
    closeSync(Number(readdirSync('/proc/self/fd').find(isListener)));
  };`;
