/**
 * A folder that a run writes has one owner as long as the run lasts. The operating system holds the lock and takes it from a
 * process that has died, however it died, so no crash leaves a folder locked.
 */
import { resolve } from "node:path";
import { cannotWrite } from "./writable.ts";

const LOCK = ".lock";
/** What a process that was killed leaves of a file it was about to replace. */
const LEFT_BEHIND = /\.[0-9a-f-]{36}\.tmp$/;

/** Kept open: a lock ends with its file. */
const owned = new Map<string, Deno.FsFile>();

/**
 * Makes the folder where it is missing, and owns it until this process ends.
 *
 * @throws {Error} one sentence, if another process owns it or nothing can be written there
 */
export function ownFolder(folder: string): void {
  if (owned.has(resolve(folder))) return;
  const file = openLock(folder);
  if (!isLocked(() => file.tryLockSync(true))) {
    const owner = Deno.readTextFileSync(`${folder}/${LOCK}`).trim();
    file.close();
    throw new Error(
      `${folder} is being written by another process${
        owner && ` (${owner})`
      }; wait for its end, or give another folder`,
    );
  }
  keep(folder, file);
}

/** The same, but waits for the end of another owner. */
export async function ownFolderInTurn(folder: string): Promise<void> {
  if (owned.has(resolve(folder))) return;
  const file = openLock(folder);
  if (!isLocked(() => file.tryLockSync(true))) await file.lock(true);
  keep(folder, file);
}

function openLock(folder: string): Deno.FsFile {
  try {
    Deno.mkdirSync(folder, { recursive: true });
    return Deno.openSync(`${folder}/${LOCK}`, { create: true, read: true, write: true });
  } catch (error) {
    throw cannotWrite(folder, error as Error);
  }
}

/** File systems without locks (some of those over a network) leave the folder to whoever asks. */
function isLocked(tryLock: () => boolean): boolean {
  try {
    return tryLock();
  } catch {
    return true;
  }
}

function keep(folder: string, file: Deno.FsFile): void {
  try {
    file.truncateSync(0);
    file.writeSync(new TextEncoder().encode(`process ${Deno.pid}\n`));
  } catch (error) {
    throw cannotWrite(folder, error as Error);
  }
  owned.set(resolve(folder), file);
  for (const { name } of Deno.readDirSync(folder)) {
    if (LEFT_BEHIND.test(name)) Deno.removeSync(`${folder}/${name}`);
  }
}
