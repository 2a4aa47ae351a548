/** `deno task keys`: makes what server, client and dealer prove themselves by to each other. */
import { certifyRoles } from "../network/authority.ts";
import { KEY_FILES, ROLES } from "../roles/endpoint.ts";
import { pairTokens } from "../roles/tokens.ts";
import { runCommand } from "../terminal/command.ts";

await runCommand({
  name: "keys",
  summary: "make what server, client and dealer prove themselves by to each other",
  notes: [
    `A folder for each role: ${KEY_FILES.cert} and ${KEY_FILES.key}, signed by an authority of their own (${KEY_FILES.ca}), for ` +
    `--identity; ${KEY_FILES.tokens} for --tokens, with all three on one machine. Bring each folder to its machine and nowhere else.`,
    "The authority's own key is not kept: who needs another certificate makes all three anew.",
  ],
  options: {
    out: { type: "path", value: "DIR", required: true, help: "new folder for the three" },
    days: { type: "integer", min: 1, max: 3650, default: 365, help: "how long the certificates are valid" },
  },
  interrupted: "a folder that is not whole may be left; remove it and run the command again",
  async run({ out, days }) {
    try {
      await Deno.mkdir(out, { mode: 0o700 });
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) {
        throw new Error(`${out} exists; keys are made in a new folder`);
      }
      throw new Error(`cannot make ${out}: ${(error as Error).message}`);
    }
    const certified = await certifyRoles(ROLES, days), tokens = pairTokens();
    for (const role of ROLES) {
      const { cert, key, ca } = certified[role];
      const files = { cert, key, ca, tokens: JSON.stringify(tokens[role], null, 2) + "\n" };
      await Deno.mkdir(`${out}/${role}`, { mode: 0o700 });
      for (const [kind, text] of Object.entries(files)) {
        await Deno.writeTextFile(`${out}/${role}/${KEY_FILES[kind as keyof typeof files]}`, text, {
          mode: 0o600,
        });
      }
    }
    console.log(`keys: ${ROLES.map((role) => `${out}/${role}`).join(", ")}`);
  },
});
