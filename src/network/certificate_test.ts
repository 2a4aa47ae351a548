import { assertEquals, assertMatch } from "@std/assert";
import { it } from "@std/testing/bdd";
import { certifyRoles } from "./authority.ts";
import { faultOf } from "./certificate.ts";

const ROLES = ["server", "client"] as const;

it("faultOf() says what a role's peers could only call no TLS session", async () => {
  const [{ server, client }, others, expired] = await Promise.all(
    [1, 1, -0.5].map((days) => certifyRoles(ROLES, days)),
  );
  assertEquals(faultOf(server, "server"), null);
  assertEquals(faultOf(client, "client"), null);
  const faults = {
    "its cert.pem is no certificate": { ...server, cert: "garbage" },
    "its ca.pem is no certificate": { ...server, ca: "" },
    "its key.pem is no private key": { ...server, key: "" },
    "its key.pem is not the key of its cert.pem": { ...server, key: client.key },
    "its cert.pem was not signed by the authority of its ca.pem": { ...server, ca: others.server.ca },
    "its cert.pem is not that of a server": client,
  };
  for (const [fault, identity] of Object.entries(faults)) assertEquals(faultOf(identity, "server"), fault);
  assertMatch(faultOf(expired.server, "server")!, /^its cert.pem has expired on \d{4}-\d\d-\d\d$/);
  const long = new Date(Date.now() - 10 * 24 * 3600 * 1000);
  assertMatch(faultOf(server, "server", long)!, /^its cert.pem is valid from \d{4}-\d\d-\d\d on$/);
});
