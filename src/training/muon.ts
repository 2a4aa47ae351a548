/**
 * Muon ("Muon: An optimizer for hidden layers in neural networks"; "airbench94_muon") for 3x3 filters: the step is the momentum
 * with all its singular values brought near 1, and the filters keep a norm of one an output. Batch norm makes their scale
 * meaningless, so they need no weight decay.
 *
 * A filter is a matrix X of taps and outputs. Three times X (a + b A + c A^2), A = X^T X, takes singular values of X / |X| to
 * between 0.7 and 1.2, where they are not tiny.
 */

export const NEWTON_SCHULZ = [3.4445, -4.775, 2.0315] as const;
export const NEWTON_SCHULZ_STEPS = 3;
/** Added to the norm of the momentum: of a gradient of zeros there is no direction. */
export const LEAST_NORM = 1e-7;

/** Whether a parameter is one of 3x3 filters, by its shape. */
export const isMuonFilter = (shape: readonly number[]): boolean => shape.length === 4 && shape[0] === 3;
