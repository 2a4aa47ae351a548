/** `deno task fit`: the best polynomial with coefficients of a given precision. */
import { FUNCTIONS, integerFit } from "../polynomial/integer_fit.ts";
import { FITTED_RANGE, formatPolynomial } from "../polynomial/polynomial.ts";
import { runCommand } from "../terminal/command.ts";

await runCommand({
  name: "fit",
  summary: "fit a polynomial whose coefficients are integers over 2^precision, provably as close as any",
  time: "milliseconds",
  examples: [
    "fit --degree 4 --precision 10 --range 5",
    "fit --degree 6 --precision 12 --function silu --no-box",
  ],
  options: {
    degree: { type: "integer", min: 1, max: 10, default: 4, help: "degree" },
    precision: {
      type: "integer",
      min: 1,
      max: 24,
      default: 10,
      help: "bits after the point of each coefficient",
    },
    range: {
      type: "number",
      min: 0.1,
      max: 100,
      default: FITTED_RANGE,
      help: "the fit is on [-range, range]",
    },
    function: {
      type: "string",
      choices: Object.keys(FUNCTIONS) as (keyof typeof FUNCTIONS)[],
      default: "relu",
      help: "what is fitted",
    },
    weights: {
      type: "string",
      choices: ["uniform", "normal"],
      default: "uniform",
      help: "weight of the points: equal, or the standard normal density",
    },
    noBox: {
      type: "boolean",
      help: "let coefficients exceed 1/2 in size, which the paper's code does not",
    },
    json: { type: "boolean", help: "print one JSON object on one line" },
  },
  run({ degree, precision, range, function: name, weights, noBox, json }) {
    const start = performance.now();
    const { polynomial, rms, max, nodes } = integerFit({
      degree,
      precision,
      range,
      function: name,
      weights,
      box: !noBox,
    });
    const milliseconds = performance.now() - start;
    if (json) {
      console.log(
        JSON.stringify({
          ...polynomial,
          degree,
          range,
          function: name,
          weights,
          box: !noBox,
          rms,
          max,
          nodes,
        }),
      );
      return;
    }
    console.log(`${name} on [-${range}, ${range}]: ${formatPolynomial(polynomial)}`);
    console.log(`distance: root mean square ${rms.toPrecision(3)}, largest ${max.toPrecision(3)}`);
    console.log(`optimal: the search visited ${nodes} nodes in ${milliseconds.toFixed(1)} ms`);
  },
});
