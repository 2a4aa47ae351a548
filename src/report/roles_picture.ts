/**
 * The three roles and their messages, the picture of the README and the report. Arrows carry numbers and the list beside it has the words,
 * so that it can be read at 350 pixels.
 */

/** Messages by their number, in the order in which they are sent. */
const MESSAGES: readonly { readonly when: string; readonly what: string }[] = [
  {
    when: "set-up, once a session",
    what: "the server sends its weights to the client under a mask that the dealer dealt.",
  },
  {
    when: "offline, before there is an image",
    what:
      "the dealer deals correlated randomness to both, used once. It sees shapes and seeds, no message between the two. The client sends its masked shares ahead (lifted, trigonometric).",
  },
  {
    when: "online, a linear layer",
    what:
      "the client sends its share of the input, masked; the server multiplies and holds a share of the result.",
  },
  {
    when: "online, an activation",
    what:
      "the server opens a part of a masked value to the client (lifted, trigonometric), or both open masked values: one exchange by HoneyBadger and ESPN, two by square-and-multiply, nine by exact ReLU.",
  },
  {
    when: "at the end",
    what: "the server sends its share of the logits. The client alone learns them.",
  },
];

interface Box {
  readonly x: number;
  readonly y: number;
  readonly height: number;
  readonly name: string;
  readonly holds: string;
}

const BOX_WIDTH = 112;
const BOXES: readonly Box[] = [
  { x: 124, y: 8, height: 50, name: "dealer", holds: "sees shapes" },
  { x: 8, y: 168, height: 74, name: "client", holds: "has the image" },
  { x: 240, y: 168, height: 74, name: "server", holds: "has the weights" },
];

/** Arrows from and to; both ends have a head if it is an exchange. */
const ARROWS: readonly {
  readonly number: number;
  readonly from: readonly [number, number];
  readonly to: readonly [number, number];
  readonly both?: boolean;
  readonly dashed?: boolean;
}[] = [
  { number: 2, from: [150, 59], to: [80, 165], dashed: true },
  { number: 2, from: [210, 59], to: [280, 165], dashed: true },
  { number: 1, from: [238, 176], to: [123, 176], dashed: true },
  { number: 3, from: [122, 195], to: [237, 195] },
  { number: 4, from: [123, 214], to: [237, 214], both: true },
  { number: 5, from: [238, 233], to: [123, 233] },
];

/** Where the numbers stand on arrows that lie close together. */
const PLACES: Readonly<Record<number, number>> = { 1: 0.5, 3: 0.3, 4: 0.5, 5: 0.3 };

function arrow({ number, from, to, both, dashed }: typeof ARROWS[number]): string {
  const at = PLACES[number] ?? 0.5,
    x = from[0] + at * (to[0] - from[0]),
    y = from[1] + at * (to[1] - from[1]);
  return `<line x1="${from[0]}" y1="${from[1]}" x2="${to[0]}" y2="${
    to[1]
  }" stroke="currentColor" stroke-width="1.4"` +
    `${dashed ? ' stroke-dasharray="5 3"' : ""}${
      both ? ' marker-start="url(#roles-head)"' : ""
    } marker-end="url(#roles-head)"/>` +
    `<circle cx="${x}" cy="${y}" r="8" fill="var(--page, #fff)" stroke="currentColor"/>` +
    `<text x="${x}" y="${y + 4}" text-anchor="middle" font-size="11" fill="currentColor">${number}</text>`;
}

function box({ x, y, height, name, holds }: Box): string {
  const middle = x + BOX_WIDTH / 2, centre = y + height / 2;
  return `<rect x="${x}" y="${y}" width="${BOX_WIDTH}" height="${height}" rx="6" fill="var(--card, #f6f7f9)" stroke="currentColor" stroke-width="1.4"/>` +
    `<text x="${middle}" y="${
      centre - 3
    }" text-anchor="middle" font-size="15" font-weight="600" fill="currentColor">${name}</text>` +
    `<text x="${middle}" y="${
      centre + 15
    }" text-anchor="middle" font-size="11.5" fill="currentColor">${holds}</text>`;
}

const WIDTH = 360, HEIGHT = 250;
const LABEL = "Dealer, client and server, and the messages between them";

/** What is drawn, without its root. */
const drawing = (): string =>
  `<defs><marker id="roles-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="currentColor"/></marker></defs>
${BOXES.map(box).join("\n")}
${ARROWS.map(arrow).join("\n")}`;

/** The picture as inline SVG and its list as HTML. */
export function rolesPicture(): string {
  return `<div class="roles">
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${LABEL}">
${drawing()}
</svg>
<ol>${MESSAGES.map(({ when, what }) => `<li><b>${when}:</b> ${what}</li>`).join("\n")}</ol>
</div>`;
}

const LINE_HEIGHT = 13, GAP = 6, LETTERS = 66, LIST_WIDTH = 430;

/** The list beside the drawing, line by line, and where it ends. */
function listBeside(): { text: string; end: number } {
  let y = 4;
  const line = (text: string, weight = "normal") =>
    `<text x="${WIDTH + 12}" y="${y += LINE_HEIGHT}" font-size="11" font-weight="${weight}">${text}</text>\n`;
  const text = MESSAGES.map(({ when, what }, i) => {
    const lines = what.match(new RegExp(`.{1,${LETTERS}}(?: |$)`, "g"))!;
    const entry = line(`${i + 1}. ${when}`, "600") + lines.map((text) => line(text.trimEnd())).join("");
    y += GAP;
    return entry;
  }).join("");
  return { text, end: y };
}

/** Picture and list as a file of its own: on white, without the variables of a page. */
export function rolesSvg(): string {
  const { text, end } = listBeside();
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH + LIST_WIDTH} ${
    Math.max(HEIGHT, end)
  }" role="img" aria-label="${LABEL}" ` +
    `font-family="system-ui, DejaVu Sans, sans-serif" color="#1d1f23" fill="currentColor">
<rect width="100%" height="100%" fill="#fff"/>
${drawing()}
${text}</svg>
`.replace(/var\(--\w+, (#\w+)\)/g, "$1");
}
