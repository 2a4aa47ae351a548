/** Two ends of a channel inside one process: same frames, checks and counters as TCP, no socket. */

import type { ByteStream } from "./byte_stream.ts";
import type { ChannelOptions } from "./channel.ts";
import { FrameLink } from "./frame_link.ts";
import { FramedChannel } from "./framed_channel.ts";
import { Pipe } from "./pipe.ts";

export interface MemoryPairOptions extends ChannelOptions {
  /** Roles of the two ends. Default `["server", "client"]`. */
  readonly roles?: readonly [string, string];
}

/** The ends of the first and of the second role. */
export function memoryPair(options: MemoryPairOptions = {}): [FramedChannel, FramedChannel] {
  const [first, second] = options.roles ?? ["server", "client"];
  const [a, b] = memoryStreams();
  return [
    new FramedChannel(new FrameLink(a, first, second, options)),
    new FramedChannel(new FrameLink(b, second, first, options)),
  ];
}

/** Two connected streams of bytes, for tests that misbehave below the frames. */
export function memoryStreams(): [ByteStream, ByteStream] {
  const there = new Pipe();
  const back = new Pipe();
  const end = (input: Pipe, output: Pipe): ByteStream => ({
    read: (into) => input.read(into),
    write: (bytes) => output.write(bytes),
    close: () => {
      input.end();
      output.end();
    },
  });
  return [end(back, there), end(there, back)];
}
