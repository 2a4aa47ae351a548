/** Loaded into a role before its own code: tries, again and again, what a fault in the role might let somebody try, and says what worked. */
const attempts: Readonly<Record<string, () => unknown>> = {
  "read a file": () => Deno.readTextFileSync(new URL("../../deno.json", import.meta.url)),
  "list a folder": () => [...Deno.readDirSync("/")],
  "read the weights": () =>
    Deno.readFileSync(
      new URL("../../results/models/convnet-pillar-shapes/weights.safetensors", import.meta.url),
    ),
  "read the environment": () => Deno.env.get("PRIVATE_INFERENCE_TRACE"),
  "write a file": () => Deno.writeTextFileSync("/tmp/broken_out", ""),
  "start a program": () => new Deno.Command("true").outputSync(),
  "call native code": () => Deno.dlopen("libc.so.6", { getpid: { parameters: [], result: "i32" } }),
  "name the machine": () => Deno.hostname(),
  "load a program from elsewhere": () => {
    const right = { name: "import", host: "esm.sh:443" } as const;
    if (Deno.permissions.querySync(right).state !== "granted") throw new Error("not granted");
  },
  "ask for the right to read": () => {
    if (Deno.permissions.requestSync({ name: "read" }).state !== "granted") throw new Error("not granted");
  },
};
const attempt = () => {
  const worked = Object.keys(attempts).filter((name) => {
    try {
      attempts[name]();
      return true;
    } catch {
      return false;
    }
  });
  console.error(`broke out: ${worked.join(", ") || "nothing"}`);
};
attempt();
Deno.unrefTimer(setInterval(attempt, 100));
