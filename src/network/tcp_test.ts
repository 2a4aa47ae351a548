import { assertEquals, assertInstanceOf, assertLess, assertRejects, assertStringIncludes } from "@std/assert";
import { ProtocolError } from "./channel.ts";
import { encodeHeader, FrameKind, HEADER_BYTES } from "./frame.ts";
import type { FramedChannel } from "./framed_channel.ts";
import { networkProfile } from "./profiles.ts";
import { connect, type ConnectOptions, listen, type ListenOptions } from "./tcp.ts";

const LOOPBACK = { host: "127.0.0.1", port: 0 };

/** Opens both ends and closes what was opened; the result tells how each fared. */
async function meet(
  listening: Partial<ListenOptions>,
  connecting: Partial<ConnectOptions>,
  use: (server: FramedChannel, client: FramedChannel) => Promise<void> = () => Promise.resolve(),
): Promise<{ server?: Error; client?: Error }> {
  const listener = await listen({ ...LOOPBACK, role: "server", timeoutMs: 5000, ...listening });
  const { port } = listener;
  const [server, client] = await Promise.allSettled([
    listener.accept(),
    connect({ ...LOOPBACK, port, role: "client", timeoutMs: 5000, ...connecting }),
  ]);
  listener.close();
  try {
    if (server.status === "fulfilled" && client.status === "fulfilled") {
      await use(server.value, client.value);
      return {};
    }
    return {
      ...(server.status === "rejected" ? { server: server.reason } : {}),
      ...(client.status === "rejected" ? { client: client.reason } : {}),
    };
  } finally {
    if (server.status === "fulfilled") server.value.close();
    if (client.status === "fulfilled") client.value.close();
  }
}

function assertRefused(error: Error | undefined, sentence: string): void {
  assertInstanceOf(error, ProtocolError);
  assertStringIncludes(error.message, sentence);
}

const testdata = (name: string) => Deno.readTextFileSync(new URL(`testdata/${name}`, import.meta.url));
const serverTls = { cert: testdata("server.pem"), key: testdata("server_key.pem") };

async function pingAndBulk(server: FramedChannel, client: FramedChannel): Promise<void> {
  const bytes = 3_000_001;
  const up = new Uint8Array(bytes).fill(1);
  const down = new Uint8Array(bytes).fill(2);
  const atServer = new Uint8Array(bytes);
  const atClient = new Uint8Array(bytes);
  await Promise.all([client.exchange(1, up, atClient), server.exchange(1, down, atServer)]);
  assertEquals([atServer.indexOf(2), atServer.indexOf(0), atClient.indexOf(1)], [-1, -1, -1]);
}

Deno.test("connect() and listen() learn each other's roles", async () => {
  await meet({}, {}, (server, client) => {
    assertEquals([server.peer, client.peer], ["client", "server"]);
    return Promise.resolve();
  });
});

Deno.test("connect() waits for a peer that listens later", async () => {
  const reserved = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = reserved.addr;
  reserved.close();
  const connecting = connect({ ...LOOPBACK, port, role: "client" });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const listener = await listen({ ...LOOPBACK, port, role: "server" });
  const server = await listener.accept();
  (await connecting).close();
  server.close();
  listener.close();
});

Deno.test("connect() gives up when nobody listens", async () => {
  const reserved = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = reserved.addr;
  reserved.close();
  await assertRejects(
    () => connect({ ...LOOPBACK, port, role: "client", expectedPeer: "dealer", timeoutMs: 100 }),
    ProtocolError,
    `dealer at 127.0.0.1:${port} does not accept connections`,
  );
});

for (const tls of [undefined, serverTls]) {
  const withTls = tls === undefined ? {} : { tls };
  const over = tls === undefined ? "TCP" : "TLS";

  Deno.test(`listen() over ${over} says that a port is in use`, async () => {
    const first = await listen({ ...LOOPBACK, role: "server", ...withTls });
    await assertRejects(
      () => listen({ ...LOOPBACK, port: first.port, role: "server", ...withTls }),
      Error,
      `127.0.0.1:${first.port} is in use by another program`,
    );
    first.close();
  });

  Deno.test(`listen() over ${over}: close() ends accept()`, async () => {
    const listener = await listen({ ...LOOPBACK, role: "server", ...withTls });
    const pending = assertRejects(() => listener.accept(), Error, "the listener is closed");
    listener.close();
    listener.close();
    await pending;
    await assertRejects(() => listener.accept(), Error, "the listener is closed");
  });

  Deno.test(`listen() over ${over} refuses a stranger and serves the next`, async () => {
    const listener = await listen({ ...LOOPBACK, role: "server", ...withTls });
    const stranger = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
    await stranger.write(
      new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"),
    );
    await assertRejects(() => listener.accept(), ProtocolError);
    const [server, client] = await Promise.all([
      listener.accept(),
      connect({
        ...LOOPBACK,
        port: listener.port,
        role: "client",
        ...(tls === undefined ? {} : { tls: { ca: testdata("ca.pem"), hostName: "server.test" } }),
      }),
    ]);
    for (const end of [server, client, listener, stranger]) end.close();
  });
}

Deno.test("plain TCP stays on loopback unless allowed", async () => {
  await assertRejects(() => listen({ host: "0.0.0.0", port: 0, role: "server" }), RangeError, "unencrypted");
  await assertRejects(
    () => connect({ host: "localhost.example.org", port: 1, role: "client" }),
    RangeError,
    "plain TCP to localhost.example.org would leave this machine",
  );
  const listener = await listen({ host: "0.0.0.0", port: 0, role: "server", allowPlaintext: true });
  listener.close();
});

Deno.test("the session token must be the same at both ends", async () => {
  assertEquals(await meet({ token: "a long secret" }, { token: "a long secret" }), {});
  for (const [listening, connecting] of [[{ token: "one" }, { token: "two" }], [{ token: "one" }, {}]]) {
    const { server, client } = await meet(listening!, connecting!);
    assertRefused(server, "server and client do not have the same session token, connection refused");
    assertRefused(client, "client and server do not have the same session token, connection refused");
  }
});

Deno.test("a recorded proof of the session token opens no second session", async () => {
  // The thief repeats everything that the client sent in a session that it could read.
  const options = { role: "server", token: "a long secret", timeoutMs: 5000 };
  const listener = await listen({ ...LOOPBACK, ...options });
  const tap = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const recorded: number[] = [];
  const forward = async (from: Deno.Conn, to: Deno.Conn, record: boolean) => {
    const bytes = new Uint8Array(1000);
    for (let count; (count = await from.read(bytes).catch(() => null)) !== null;) {
      if (record) recorded.push(...bytes.subarray(0, count));
      await to.write(bytes.subarray(0, count)).catch(() => {});
    }
  };
  const relaying = (async () => {
    const near = await tap.accept();
    const far = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
    await Promise.all([
      forward(near, far, true).then(() => far.close()),
      forward(far, near, false).then(() => near.close()),
    ]);
  })();
  const [server, client] = await Promise.all([
    listener.accept(),
    connect({ ...LOOPBACK, ...options, port: tap.addr.port, role: "client" }),
  ]);
  client.close();
  server.close();
  await relaying;

  const thief = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
  await thief.write(Uint8Array.from(recorded));
  await assertRejects(() => listener.accept(), ProtocolError, "do not have the same session token");
  for (const end of [thief, tap, listener]) end.close();
});

Deno.test("the handshake refuses another role and another network profile", async () => {
  const role = await meet({ expectedPeer: "dealer" }, {});
  assertRefused(role.server, "server expected a dealer at the other end, there is a client");
  assertRefused(role.client, "server expected a dealer at the other end, there is a client");
  const profile = await meet({ profile: networkProfile("wan-1gbit") }, { profile: networkProfile("lan") });
  assertRefused(profile.server, "(round trip 100 ms, 1000000000 bit/s), client on another one");
  assertRefused(
    profile.client,
    'client runs on the network profile "lan" (round trip 0.25 ms, unlimited bit/s)',
  );
});

Deno.test("the handshake refuses a role that would not be safe to print", async () => {
  const listener = await listen({ ...LOOPBACK, role: "server" });
  const stranger = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
  const hello = new Uint8Array(HEADER_BYTES + 72).fill(27);
  const header = { kind: FrameKind.hello, tag: 0, sequence: 0, length: 72, departureMs: 0, delays: 0 };
  encodeHeader(header, new DataView(hello.buffer));
  await stranger.write(hello);
  await assertRejects(() => listener.accept(), ProtocolError, "gave a role that is no name");
  stranger.close();
  listener.close();
});

Deno.test("a stranger that stays silent does not hold accept() for longer than the time-out", async () => {
  const listener = await listen({ ...LOOPBACK, role: "server", timeoutMs: 100 });
  const stranger = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
  const startMs = performance.now();
  await assertRejects(
    () => listener.accept(),
    ProtocolError,
    "sent nothing for 0.1 s while the greeting was awaited",
  );
  assertLess(performance.now() - startMs, 2000);
  stranger.close();
  listener.close();
});

Deno.test("TLS carries messages when the authority and the name are right", async () => {
  const tls = { ca: testdata("ca.pem"), hostName: "server.test" };
  assertEquals(await meet({ tls: serverTls }, { tls }, pingAndBulk), {});
});

Deno.test("TLS does not wait for delayed acknowledgements", async () => {
  const tls = { ca: testdata("ca.pem"), hostName: "server.test" };
  // Nagle's algorithm at either end costs these 20 round trips 0.8 s.
  await meet({ tls: serverTls }, { tls }, async (server, client) => {
    const atServer = new Uint8Array(70_000);
    const atClient = new Uint8Array(70_000);
    const startMs = performance.now();
    for (let i = 0; i < 20; i++) {
      await Promise.all([client.send(i, atClient), server.receive(i, atServer)]);
      await Promise.all([server.send(i, atServer), client.receive(i, atClient)]);
    }
    assertLess(performance.now() - startMs, 600);
  });
});

Deno.test("TLS refuses a certificate of another authority or for another name", async () => {
  const authority = await meet({ tls: serverTls }, {
    tls: { ca: testdata("other_ca.pem"), hostName: "server.test" },
  });
  assertRefused(authority.client, "UnknownIssuer");
  assertRefused(authority.server, "a connection got no TLS session");
  const name = await meet({ tls: serverTls }, { tls: { ca: testdata("ca.pem") }, expectedPeer: "server" });
  assertRefused(name.client, 'as "127.0.0.1"');
  assertRefused(name.client, "no TLS session with server at 127.0.0.1:");
});

Deno.test("abort() reaches the peer over TLS in both directions", async () => {
  const tls = { ca: testdata("ca.pem"), hostName: "server.test" };
  for (const fromServer of [true, false]) {
    await meet({ tls: serverTls }, { tls }, async (server, client) => {
      const [one, other] = fromServer ? [server, client] : [client, server];
      const waiting = assertRejects(
        () => other.receive(1, new Uint8Array(8)),
        ProtocolError,
        "stopped: out of memory",
      );
      await one.abort("out of memory");
      await waiting;
    });
  }
});

Deno.test("close() ends a pending receive over TLS in both directions", async () => {
  const tls = { ca: testdata("ca.pem"), hostName: "server.test" };
  for (const atServer of [true, false]) {
    await meet({ tls: serverTls }, { tls }, async (server, client) => {
      const end = atServer ? server : client;
      const pending = assertRejects(
        () => end.receive(1, new Uint8Array(8)),
        Error,
        "this end closed the channel",
      );
      end.close();
      await pending;
    });
  }
});

Deno.test("connect() gives up on a TLS peer that does not answer", async () => {
  const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = silent.addr;
  await assertRejects(
    () => connect({ ...LOOPBACK, port, role: "client", timeoutMs: 100, tls: { ca: testdata("ca.pem") } }),
    ProtocolError,
    "no answer within 0.1 s",
  );
  silent.close();
});

Deno.test("send() gives up on a peer that accepts nothing", async () => {
  await meet({}, { timeoutMs: 100 }, async (_server, client) => {
    await assertRejects(
      () => client.send(1, new Uint8Array(32 * 2 ** 20)),
      ProtocolError,
      "server accepted nothing for 0.1 s while tag 1 was sent",
    );
  });
});
