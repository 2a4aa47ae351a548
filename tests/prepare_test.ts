/** Queries prepared ahead by processes that die: what was dealt to them is never used by the session that comes after. */
import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { REQUEST_TAG } from "../src/correlations/request.ts";
import { RUN } from "../src/inference/parties.ts";
import { CONTROL_TAG } from "../src/inference/tags.ts";
import { FrameKind, HEADER_BYTES } from "../src/network/frame.ts";
import { type Frame, type Interference, isLayer } from "../src/fuzzing/relay.ts";
import { moment, ROLE_NAMES, type RolesOptions, startRoles } from "./support/roles.ts";

const PREPARE = ["--prepare", "3"];
const payload = ({ bytes }: Frame) => bytes.subarray(HEADER_BYTES);

/** Three prepared queries of one image; everything that crosses under a mask is kept in `seen`, seeds of the server as well. */
const watched = (seen: string[], onPeerFrame?: (frame: Frame) => Interference | undefined): RolesOptions => ({
  all: ["--activation", "lifted"],
  server: PREPARE,
  client: [...PREPARE, "--repetitions", "3"],
  onPeerFrame: (frame) => {
    if (isLayer(frame) && frame.from === "connecting") seen.push(payload(frame).toHex());
    return onPeerFrame?.(frame);
  },
  onDealerFrame: (frame) => {
    if (frame.from === "listening" && frame.kind === FrameKind.data && frame.tag === REQUEST_TAG) {
      seen.push(payload(frame).toHex());
    }
  },
});

describe("a session with prepared queries", () => {
  for (const victim of ["client", "server"] as const) {
    it(`whose ${victim} is killed in a query ends, and the session after it uses none of its words`, async () => {
      const seen: string[] = [], hit = Promise.withResolvers<void>();
      let began = -1;
      {
        await using roles = await startRoles(watched(seen, (frame) => {
          if (frame.tag === CONTROL_TAG && frame.from === "connecting") {
            const [code, number] = new Float64Array(payload(frame).slice().buffer);
            if (code === RUN) began = number;
          }
          // A message of the second query is held back; the third was dealt and never begins.
          if (began !== 1 || !isLayer(frame) || frame.from !== "listening") return;
          hit.resolve();
          return { send: new Uint8Array(0) };
        }));
        await moment(roles, hit.promise);
        roles[victim].kill();
        for (const other of ROLE_NAMES.filter((name) => name !== victim)) {
          await roles[other].failsWith([new RegExp(`lost the connection to ${victim}|${victim} closed`)]);
        }
      }
      const first = seen.length;
      await using roles = await startRoles(watched(seen));
      const [, client] = await Promise.all(ROLE_NAMES.map((name) => roles[name].succeeds()));
      assertMatch(client.stdout, /client: query 3 of 3: class \d/);
      // Four seeds, three early words a query, then image and three activations of a query; all, or up to the second image.
      assertEquals([first, seen.length - first], [4 + 9 + 4 + 1, 4 + 9 + 12]);
      // The same image in every query: a mask that is used twice shows as a message that is seen twice.
      assertEquals(new Set(seen).size, seen.length);
    });
  }

  it("whose client prepares more than the server allows ends with a sentence at every role", async () => {
    await using roles = await startRoles({ client: [...PREPARE, "--repetitions", "3"] });
    for (const name of ROLE_NAMES) {
      await roles[name].failsWith([
        "query 1 was to be prepared, but as many are held already as the server's --prepare allows: 1",
        "--prepare",
      ]);
    }
  });
});
