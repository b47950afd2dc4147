/** The hooks' dealings with the world. Each is configured by the environment of this worker. */

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { ApplicationFailure, log } from '@temporalio/activity';

import type { HookPayload } from './contract';

/** Posts to NOTIFY_URL as `{"text": ...}` (what Slack and its like take); without it, the worker's log is the place. */
export async function sendMessage(text: string): Promise<void> {
  const url = process.env.NOTIFY_URL;
  if (!url) {
    log.info(text);
    return;
  }
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ text }),
  });
  if (!answer.ok) {
    throw new Error(`the receiver of notifications answered ${answer.status} ${answer.statusText}`);
  }
}

export interface NewestLoad {
  isFresh: boolean;
  loadedAt: string;
  maxAgeHours: number;
}

/** Reads LOADS_FILE, which the loading tool keeps: {"<table>": "<RFC 3339 time of its last load>"}. */
export async function newestLoad(): Promise<NewestLoad> {
  const loads = await readJson<Record<string, string>>('LOADS_FILE');
  const maxAgeHours = Number(process.env.MAX_AGE_HOURS ?? '24');
  const newest = Math.max(...Object.values(loads).map((time) => Date.parse(time)));
  const known = Number.isFinite(newest);
  return {
    isFresh: known && Date.now() - newest <= maxAgeHours * 3_600_000,
    loadedAt: known ? new Date(newest).toISOString() : 'never',
    maxAgeHours,
  };
}

/** Reads CREDENTIALS_FILE: {"<target>": {"<NAME>": "<value>"}}. A run without a target uses "default". */
export async function findCredentials(target: string | null): Promise<Record<string, string>> {
  const known = await readJson<Record<string, Record<string, string>>>('CREDENTIALS_FILE');
  const found = known[target ?? 'default'];
  if (found === undefined) {
    // Another attempt would not find it either.
    throw ApplicationFailure.nonRetryable(`no credentials for target ${target ?? 'default'}`, 'UnknownTarget');
  }
  return found;
}

/** Writes ARCHIVE_DIR/<invocation_id>-<event>.json, and returns its path. */
export async function archivePayload(payload: HookPayload): Promise<string> {
  const folder = setting('ARCHIVE_DIR');
  const file = join(folder, `${payload.invocation_id}-${payload.event}.json`);
  await mkdir(folder, { recursive: true });
  await writeFile(file, JSON.stringify(payload, null, 2));
  return file;
}

async function readJson<T>(name: string): Promise<T> {
  return JSON.parse(await readFile(setting(name), 'utf8')) as T;
}

function setting(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw ApplicationFailure.nonRetryable(`the hook worker has no ${name} in its environment`, 'NotConfigured');
  }
  return value;
}
