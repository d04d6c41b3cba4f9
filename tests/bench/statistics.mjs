// Times in milliseconds, and what is said of many of them.
export async function timed(action) {
  const began = performance.now();
  const result = await action();
  return [performance.now() - began, result];
}

export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

export const median = (values) => quantile(values, 0.5);
export const inMs = (value) => `${value.toFixed(value < 10 ? 2 : 0)} ms`;
export const spread = (values) => `p50 ${inMs(median(values))}, p99 ${inMs(quantile(values, 0.99))}, n ${values.length}`;
