/** Runs dbt by the input that is given as JSON, on the workers of TASK_QUEUE at TEMPORAL_ADDRESS. Exit codes are dbt's. */

import { Client, Connection } from '@temporalio/client';

import type { DbtRunInput } from './dbt-run';
import { DbtRunFailed, resultOf, startRun } from './runs';

async function main(): Promise<number> {
  const input: DbtRunInput = JSON.parse(process.argv[2] ?? '{"command": "build"}');
  const address = (process.env.TEMPORAL_ADDRESS ?? 'localhost:7233').replace(/^https?:\/\//, '');
  const connection = await Connection.connect({ address });
  try {
    const client = new Client({ connection, namespace: process.env.TEMPORAL_NAMESPACE ?? 'default' });
    const workflowId = await startRun(client, input, process.env.TASK_QUEUE);
    console.log(`started ${workflowId}`);
    const output = await resultOf(client, workflowId);
    console.log(`succeeded: ${output.node_results.length} nodes in ${output.elapsed_time.toFixed(1)} s`);
    return 0;
  } catch (error) {
    if (!(error instanceof DbtRunFailed)) {
      throw error;
    }
    console.log(`failed: ${error.type}: ${error.message}`);
    for (const node of error.output?.node_results ?? []) {
      if (node.status === 'error') {
        console.log(`${node.unique_id}: ${node.message}`);
      }
    }
    return error.output === null ? 2 : 1;
  } finally {
    await connection.close();
  }
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error) => {
    console.error(error);
    process.exitCode = 2;
  },
);
