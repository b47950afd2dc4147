/** Serves the hooks on TASK_QUEUE of the Temporal server at TEMPORAL_ADDRESS, until it is interrupted. */

import { NativeConnection, Worker } from '@temporalio/worker';

import * as activities from './activities';

async function main(): Promise<void> {
  const address = (process.env.TEMPORAL_ADDRESS ?? 'localhost:7233').replace(/^https?:\/\//, '');
  const taskQueue = process.env.TASK_QUEUE ?? 'dbt-hooks';
  const connection = await NativeConnection.connect({ address });
  try {
    const worker = await Worker.create({
      connection,
      namespace: process.env.TEMPORAL_NAMESPACE ?? 'default',
      taskQueue,
      workflowsPath: require.resolve('./workflows'),
      activities,
    });
    console.log(`hooks are served on task queue ${taskQueue} at ${address}`);
    await worker.run();
  } finally {
    await connection.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
