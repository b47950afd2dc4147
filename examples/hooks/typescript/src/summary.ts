/** A run in a few lines of text. */

import type { DbtRunOutput, HookPayload, NodeExecutionResult } from './contract';

const MAX_NAMED = 5;

/** What the run was, how it ended, and the first nodes that failed. */
export function formatSummary(payload: HookPayload): string {
  const { input, plan, output } = payload;
  const run = [`dbt ${input.command}`, input.select && `--select ${input.select}`, input.target && `(${input.target})`];
  const title = `${run.filter(Boolean).join(' ')} of ${plan.project}`;
  if (output === null) {
    return `${title} starts with ${Object.keys(plan.nodes).length} nodes`;
  }
  const failed = output.node_results.filter((result) => result.status === 'error');
  const lines = [`${title} ${output.success ? 'succeeded' : 'failed'}: ${countsOf(output)}`];
  lines.push(...failed.slice(0, MAX_NAMED).map(describeFailure));
  if (failed.length > MAX_NAMED) {
    lines.push(`- and ${failed.length - MAX_NAMED} more`);
  }
  lines.push(...output.hook_errors.map((error) => `- hook ${error.hook_workflow_type}: ${error.error}`));
  return lines.join('\n');
}

function countsOf(output: DbtRunOutput): string {
  const counts = new Map<string, number>();
  for (const { status } of output.node_results) {
    counts.set(status, (counts.get(status) ?? 0) + 1);
  }
  const words = [...counts].map(([status, count]) => `${count} ${status}`).sort();
  return `${words.join(', ') || 'no nodes'} in ${output.elapsed_time.toFixed(1)} s`;
}

function describeFailure(result: NodeExecutionResult): string {
  const firstLine = (result.message ?? 'no message').trim().split('\n', 1)[0];
  return `- ${result.unique_id}: ${firstLine}`;
}
