/** Starting a run of dbt, and what it came to. */

import { randomUUID } from 'node:crypto';

import { Client, WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';

import type { DbtRunInput, DbtRunOutput } from './dbt-run';

/** A run that did not succeed. */
export class DbtRunFailed extends Error {
  constructor(
    message: string,
    readonly workflowId: string,
    /** `DbtRunFailed` where nodes failed, another one where the run could not begin; null where it was ended from outside. */
    readonly type: string | null,
    /** What the run came to; null where it never got that far. */
    readonly output: DbtRunOutput | null,
  ) {
    super(message);
  }
}

/** Starts a run, and returns the id of its workflow. */
export async function startRun(client: Client, input: DbtRunInput, taskQueue = 'dbt-tasks'): Promise<string> {
  const workflowId = `dbt-${input.command ?? 'build'}-${randomUUID()}`;
  await client.workflow.start('dbt_run', { args: [input], taskQueue, workflowId });
  return workflowId;
}

/** Waits for the end of a run. Throws a DbtRunFailed where it did not succeed. */
export async function resultOf(client: Client, workflowId: string): Promise<DbtRunOutput> {
  try {
    return await client.workflow.getHandle(workflowId).result();
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) {
      throw error;
    }
    const cause = error.cause;
    if (!(cause instanceof ApplicationFailure)) {
      throw new DbtRunFailed(cause?.message ?? error.message, workflowId, null, null);
    }
    const output = cause.type === 'DbtRunFailed' ? (cause.details?.[0] as DbtRunOutput) : null;
    throw new DbtRunFailed(cause.message, workflowId, cause.type ?? null, output);
  }
}
