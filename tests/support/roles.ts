/** The three roles of a session, started one by one as a person would. */
import { END_MS, Program, within } from "./program.ts";
import { type RoleName, ROLES as ROLE_NAMES } from "../../src/roles/endpoint.ts";
import { type Observe, Relay } from "../../src/fuzzing/relay.ts";

export interface RolesOptions {
  /** Options of all three. */
  readonly all?: readonly string[];
  readonly server?: readonly string[];
  readonly client?: readonly string[];
  readonly dealer?: readonly string[];
  /** Whether the roles outlive the session. */
  readonly stays?: boolean;
  /** Puts a relay between client and server. */
  readonly onPeerFrame?: Observe;
  /** Puts a relay between server and dealer. */
  readonly onDealerFrame?: Observe;
}

export { ROLE_NAMES, type RoleName };

export interface Roles extends Readonly<Record<RoleName, Program>>, AsyncDisposable {}

/** Starts a small network's dealer, server and client. */
export async function startRoles(options: RolesOptions = {}): Promise<Roles> {
  await using started = new AsyncDisposableStack();
  const start = (name: RoleName, args: readonly string[]) =>
    started.use(
      Program.start(name, [
        "--model",
        "convnet",
        ...options.stays ? [] : ["--once"],
        ...args,
        ...options.all ?? [],
        ...options[name] ?? [],
      ]),
    );
  const through = (port: number, observe: Observe | undefined) =>
    observe === undefined ? `127.0.0.1:${port}` : started.use(new Relay(port, observe)).address;

  const dealer = start("dealer", ["--listen", "127.0.0.1:0"]);
  const dealerPort = await dealer.port();
  const server = start("server", [
    "--listen",
    "127.0.0.1:0",
    "--dealer",
    through(dealerPort, options.onDealerFrame),
  ]);
  const client = start("client", [
    "--connect",
    through(await server.port(), options.onPeerFrame),
    "--dealer",
    `127.0.0.1:${dealerPort}`,
  ]);
  const resources = started.move();
  return { server, client, dealer, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

/** Waits for a moment of the session that a relay tells. */
export async function moment(roles: Roles, hit: Promise<void>): Promise<void> {
  const said = () => ROLE_NAMES.map((name) => `; the ${name} said: ${roles[name].said}`).join("");
  await within(2 * END_MS, hit, "the awaited message", said);
}
