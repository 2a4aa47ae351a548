/** Tags of messages: which step and query one belongs to, so that a message of another is refused, not mistaken. */
import { REQUEST_TAG } from "../correlations/request.ts";
import { describeStep, MAX_NODES, type Plan, type Step } from "./plan.ts";

/** More than any label of a step. */
const LABELS = 4 * MAX_NODES;
/** Tags from here on, those of requests to the dealer among them, belong to no step. */
const FIRST_OTHER_TAG = 0xd0000000;

/** The tag of a step's messages in one query; in set-up it is the label. */
export const queryTag = (label: number, query: number): number => label + LABELS * (1 + query % 2 ** 17);

/** The step that a tag of set-up or query belongs to. */
const stepOfTag = (plan: Plan, tag: number): Step | undefined =>
  tag < FIRST_OTHER_TAG ? plan.steps.find(({ label }) => label === tag % LABELS) : undefined;

export const PLAN_TAG = 0xd0000002, CONTROL_TAG = 0xd0000004, FIGURES_TAG = 0xd0000005;
/** Before a session, see `src/roles/meeting.ts`: its number, and the empty message "both are there". */
export const SESSION_TAG = 0xd0000011, MEETING_TAG = 0xd0000010;

const NAMES = new Map<number, string>([
  [REQUEST_TAG, "the dealer's seeds"],
  [PLAN_TAG, "the comparison of plans"],
  [CONTROL_TAG, "the announcement of a query"],
  [FIGURES_TAG, "the server's figures"],
  [SESSION_TAG, "the number of the session"],
  [MEETING_TAG, "the meeting of all three roles"],
]);

/** Names a message of a session, the meeting included, in errors. */
export const describeTag = (plan: Plan) => (tag: number): string | undefined => {
  const step = stepOfTag(plan, tag);
  return step ? describeStep(step) : NAMES.get(tag);
};
