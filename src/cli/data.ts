/** `deno task data`: which datasets are there; downloads CIFAR-10 and CIFAR-100. */
import { checkCifar, CIFAR_SETS, type CifarSet, DATA_FOLDER, downloadCifar } from "../data/cifar.ts";
import { runCommand } from "../terminal/command.ts";
import { ownFolder } from "../folders/own_folder.ts";
import { Progress } from "../terminal/progress.ts";
import { formatTable } from "../terminal/table.ts";

await runCommand({
  name: "data",
  summary: "list the datasets and check their files, or download CIFAR-10 and CIFAR-100",
  time: "a second to check; 170 MB a set to download",
  disk: "184 MB a set, 360 MB while it is unpacked",
  notes: [
    "A download that was interrupted goes on where it stopped. Without a connection, put the archive " +
    CIFAR_SETS.map(({ url }) => url.split("/").at(-1)).join(" or ") + " into the folder and give --get.",
  ],
  examples: ["data", "data --get cifar10", "data --get all --data /mnt/datasets"],
  options: {
    get: { type: "string", choices: ["cifar10", "cifar100", "all"], help: "what to download" },
    data: { type: "path", default: DATA_FOLDER, value: "DIR", help: "folder of the datasets" },
  },
  interrupted: "the same command goes on from here",
  async run({ get, data }) {
    if (get === undefined) {
      console.log(formatTable(await listing(data), ["dataset", "classes", { key: "state", wrap: true }]));
      return;
    }
    ownFolder(data);
    for (const set of CIFAR_SETS) {
      if (get === "all" || get === set.name) await obtain(set, data);
    }
  },
});

async function listing(data: string) {
  const rows = [];
  for (const set of CIFAR_SETS) {
    const state = await checkCifar(set, data).then(
      (folder) => `complete in ${folder}`,
      (error) => error.message,
    );
    rows.push({ dataset: set.name, classes: set.classes, state });
  }
  return [
    ...rows,
    { dataset: "shapes", classes: 10, state: "drawn from a seed, always there" },
    { dataset: "folder", classes: "", state: "your own DIR/train/<class>/*.jpg and DIR/val/<class>/*.jpg" },
  ];
}

/** Downloads what is not there or damaged. */
async function obtain(set: CifarSet, data: string): Promise<void> {
  let folder = await checkCifar(set, data).catch(() => undefined);
  if (folder === undefined) {
    const line = megabytes(`downloading ${set.name}`);
    await downloadCifar(set, data, line.update).finally(line.end);
    folder = await checkCifar(set, data);
  }
  console.log(`${set.name}: complete in ${folder}`);
}

/** A progress line in which what an earlier download left does not count for the time left. */
function megabytes(label: string) {
  let progress: Progress | undefined, start = 0;
  const round = (bytes: number) => Math.round(bytes / 1e6);
  return {
    update(done: number, total: number | undefined) {
      if (total === undefined) return;
      if (!progress) {
        progress = new Progress(label, round(total), { unit: "MB" });
        start = done;
      }
      progress.update(round(done), "", [done - start, total - start]);
    },
    end: () => progress?.finish(),
  };
}
