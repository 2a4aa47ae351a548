/** The far end of calibration_test.ts: listens once for each profile named and answers calibrations. */
import { calibrate } from "../calibration.ts";
import { networkProfile } from "../profiles.ts";
import { listen } from "../tcp.ts";

const listeners = await Promise.all(
  Deno.args.map((name) =>
    listen({ host: "127.0.0.1", port: 0, role: "server", profile: networkProfile(name) })
  ),
);
console.log(JSON.stringify(listeners.map((listener) => listener.port)));
await Promise.all(listeners.map(async (listener) => {
  for (;;) {
    const channel = await listener.accept();
    await calibrate(channel, "responder");
    channel.close();
  }
}));
