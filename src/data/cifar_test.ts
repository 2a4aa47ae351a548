import { assertEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import { digest, fakeSet, FILES, gzip, join, ranged, record, serve, tar } from "./_fake_cifar.ts";
import { checkCifar, CIFAR_SETS, DATA_FOLDER, downloadCifar, readCifar } from "./cifar.ts";

const ARCHIVE = await gzip(tar({ "readme.html": new Uint8Array(9), ...FILES }));

async function inFolder(work: (data: string) => Promise<void>): Promise<void> {
  const data = await Deno.makeTempDir();
  try {
    await work(data);
  } finally {
    await Deno.remove(data, { recursive: true });
  }
}

const writeFiles = async (folder: string) => {
  await Deno.mkdir(folder, { recursive: true });
  for (const [name, bytes] of Object.entries(FILES)) await Deno.writeFile(`${folder}/${name}`, bytes);
};

it("readCifar() turns planes into pixels, from the official layout or the files themselves", () =>
  inFolder(async (data) => {
    const set = fakeSet("", ARCHIVE);
    await writeFiles(`${data}/fake-batches-bin`);
    for (const folder of [data, `${data}/fake-batches-bin`]) {
      const { train, test, shape } = await readCifar(set, folder);
      assertEquals(shape, [32, 32, 3]);
      assertEquals([train.count, test.count], [4, 1]);
      assertEquals([...train.labels, ...test.labels], [3, 0, 1, 2, 9]);
      assertEquals([...train.images.subarray(0, 6)], [10, 20, 30, 10, 20, 30]);
      assertEquals([...train.images.subarray(2 * 3072, 2 * 3072 + 3)], [0, 0, 255]);
      assertEquals([...test.images.subarray(-3)], [1, 2, 3]);
    }
  }));

it("readCifar() takes the second label byte of a CIFAR-100 record, the fine class", () =>
  inFolder(async (data) => {
    const bytes = record([19, 77], [1, 2, 3]);
    const file = { name: "train.bin", records: 1, sha256: digest("sha256", bytes) };
    await Deno.writeFile(`${data}/train.bin`, bytes);
    const set = { ...fakeSet("", ARCHIVE), labelBytes: 2, train: [file], test: [file] };
    assertEquals([...(await readCifar(set, data)).test.labels], [77]);
  }));

it("readCifar() names the missing or damaged file and the command that gets it", () =>
  inFolder(async (data) => {
    const set = fakeSet("", ARCHIVE), fix = `deno task data --get cifar10 --data ${data}`;
    const path = `${data}/fake-batches-bin/two.bin`;
    await assertRejects(() => readCifar(set, data), Error, `.bin is missing; this gets it: ${fix}`);
    await writeFiles(`${data}/fake-batches-bin`);
    await Deno.remove(path);
    await assertRejects(() => readCifar(set, data), Error, `${path} is missing; this gets it: ${fix}`);
    await Deno.writeFile(path, FILES["two.bin"].subarray(1));
    await assertRejects(
      () => readCifar(set, data),
      Error,
      `${path} has 6145 bytes instead of 6146; this gets it anew`,
    );
    await Deno.writeFile(path, FILES["two.bin"].with(5000, 1));
    await assertRejects(() => checkCifar(set, data), Error, `${path} is damaged (its SHA-256 is `);
    await Deno.writeFile(path, FILES["two.bin"]);
    assertEquals(await checkCifar(set, data), `${data}/fake-batches-bin`);
  }));

it("downloadCifar() downloads, unpacks and leaves nothing else behind; it repairs a damaged file", () =>
  inFolder(async (data) => {
    await using server = serve((request) => ranged(ARCHIVE, request));
    const set = fakeSet(server.url, ARCHIVE), folder = `${data}/fake-batches-bin`;
    await writeFiles(folder);
    await Deno.writeFile(`${folder}/one.bin`, new Uint8Array(3));
    await Deno.writeFile(`${data}/fake.tar.gz.part`, ARCHIVE.subarray(0, 100));
    await downloadCifar(set, data);
    assertEquals(server.ranges, ["bytes=100-"]);
    assertEquals(await checkCifar(set, data), folder);
    assertEquals((await Array.fromAsync(Deno.readDir(data))).map(({ name }) => name), ["fake-batches-bin"]);
    const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
    assertEquals(names, Object.keys(FILES).sort());
  }));

it("downloadCifar() uses an archive that lies in the folder, and says what is wrong with one", () =>
  inFolder(async (data) => {
    const nowhere = "http://127.0.0.1:1/fake.tar.gz";
    await Deno.writeFile(`${data}/fake.tar.gz`, ARCHIVE);
    await downloadCifar(fakeSet(nowhere, ARCHIVE), data);
    assertEquals((await readCifar(fakeSet(nowhere, ARCHIVE), data)).train.count, 4);
    const rest = { "one.bin": FILES["one.bin"], "two.bin": FILES["two.bin"].with(9, 1) };
    const [incomplete, damaged, cut] = await Promise.all([
      gzip(tar({ "one.bin": FILES["one.bin"] })),
      gzip(tar(rest)),
      gzip(join([tar(rest).subarray(0, 3000)])),
    ]);
    const cases = [[incomplete, "it lacks two.bin, test.bin"], [damaged, "two.bin is damaged"], [
      cut,
      "it ends in",
    ]];
    for (const [archive, message] of cases as [Uint8Array<ArrayBuffer>, string][]) {
      await Deno.writeFile(`${data}/fake.tar.gz`, archive);
      await assertRejects(() => downloadCifar(fakeSet(nowhere, archive), data), Error, message);
    }
  }));

for (const set of CIFAR_SETS) {
  const file = `${DATA_FOLDER}/${set.folder}/${set.test[0].name}`;
  const present = await Deno.stat(file).then(() => true, () => false);
  if (!present) console.log(`skipped: ${set.name}, ${file} is not there (deno task data --get ${set.name})`);
  (present ? it : it.ignore)(`readCifar() reads the official files of ${set.name}`, async () => {
    const { train, test, mean } = await readCifar(set);
    assertEquals([train.count, test.count], [50_000, 10_000]);
    for (const { count, labels } of [train, test]) {
      const counts = new Array(set.classes).fill(0);
      for (const label of labels) counts[label]++;
      assertEquals(counts, new Array(set.classes).fill(count / set.classes));
    }
    // The published means are those of CIFAR-10's training images, so red, green and blue are told apart.
    if (set.name !== "cifar10") return;
    const sums = [0, 0, 0], { images } = train;
    for (let i = 0; i < images.length; i += 3) for (let c = 0; c < 3; c++) sums[c] += images[i + c];
    assertEquals(sums.map((sum) => (sum / 255 / 1024 / 50_000).toFixed(4)), mean.map((m) => m.toFixed(4)));
  });
}
