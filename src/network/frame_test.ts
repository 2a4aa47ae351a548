import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { decodeHeader, encodeHeader, FrameKind, HEADER_BYTES } from "./frame.ts";

it("encodeHeader() writes little-endian fields at the documented places", () => {
  const bytes = new Uint8Array(HEADER_BYTES);
  const header = {
    kind: FrameKind.data,
    tag: 0x04030201,
    sequence: 5,
    length: 2 ** 32 + 6,
    departureMs: 1,
    delays: 7,
  };
  encodeHeader(header, new DataView(bytes.buffer));
  const text = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  assertEquals(
    text,
    "50494e46" + "0300" + "0100" + "01020304" + "05000000" + "0600000001000000" + "000000000000f03f" +
      "0700000000000000",
  );
});

it("decodeHeader() returns what encodeHeader() was given", () => {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES));
  for (const length of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
    const header = {
      kind: FrameKind.abort,
      tag: 0xffff_ffff,
      sequence: 0xffff_fffe,
      length,
      departureMs: 0.125,
      delays: 9,
    };
    encodeHeader(header, view);
    assertEquals(decodeHeader(view), header);
  }
});
