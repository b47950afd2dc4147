/**
 * The hook workflows. The name of each function is the `workflow_type` of dbt_temporal.yml.
 *
 * Workflow code must be deterministic: whatever reads files, the network or the environment is an activity.
 */

import { condition, defineSignal, proxyActivities, setHandler } from '@temporalio/workflow';

import type * as activities from './activities';
import type { HookPayload, PreRunAnswer } from './contract';
import { formatSummary } from './summary';

const { archivePayload, findCredentials, newestLoad, sendMessage } = proxyActivities<typeof activities>({
  startToCloseTimeout: '30 seconds',
  retry: { initialInterval: '1 second', maximumAttempts: 5 },
});

/** on_success, on_failure: sends a summary of the run, and returns its text. */
export async function notify(payload: HookPayload): Promise<string> {
  const text = formatSummary(payload);
  await sendMessage(text);
  return text;
}

/** pre_run: skips the run where nothing new was loaded. A full refresh always runs. */
export async function check_freshness(payload: HookPayload): Promise<PreRunAnswer> {
  if (payload.input.full_refresh) {
    return null;
  }
  const load = await newestLoad();
  if (load.isFresh) {
    return null;
  }
  return { skip: true, reason: `nothing was loaded in the last ${load.maxAgeHours} hours (last: ${load.loadedAt})` };
}

/** pre_run: where and as whom the run connects, for its target. The activity fails for a target that it does not know. */
export async function resolve_credentials(payload: HookPayload): Promise<PreRunAnswer> {
  return { extra_env: await findCredentials(payload.input.target) };
}

export const decide = defineSignal<[{ approved: boolean; by: string }]>('decide');

/** pre_run: waits until somebody sends the signal `decide`; `timeout_secs` in dbt_temporal.yml limits the wait. */
export async function wait_for_approval(_payload: HookPayload): Promise<PreRunAnswer> {
  let decision: { approved: boolean; by: string } | undefined;
  setHandler(decide, (given) => {
    decision = given;
  });
  await condition(() => decision !== undefined);
  return decision?.approved ? null : { skip: true, reason: `declined by ${decision?.by}` };
}

/** Any event: keeps the payload as a file, and returns where. */
export async function archive_payload(payload: HookPayload): Promise<string> {
  return await archivePayload(payload);
}
