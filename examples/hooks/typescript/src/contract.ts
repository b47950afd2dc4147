/**
 * What dbt-temporal sends to a hook workflow, and what it reads in the answer of a pre_run hook.
 *
 * Copy this file into your own worker. Names are snake_case, as they travel. Later versions may add fields, never
 * take one away, so ignore those that you do not know.
 */

export type HookEvent = 'pre_run' | 'on_success' | 'on_failure';

/** The one argument of every hook workflow whose configuration has no `input` of its own. */
export interface HookPayload {
  event: HookEvent;
  /** The run's id: the first Temporal run id, and dbt's own invocation id. */
  invocation_id: string;
  input: DbtRunInput;
  plan: ExecutionPlan;
  /** null for `pre_run`: nothing has run yet. */
  output: DbtRunOutput | null;
}

export type Command =
  | 'run'
  | 'build'
  | 'test'
  | 'seed'
  | 'snapshot'
  | 'clone'
  | 'compile'
  | 'show'
  | 'list'
  | 'source-freshness'
  | 'docs-generate'
  | 'run-operation'
  | 'parse'
  | 'debug'
  | 'retry';

/** What the run was asked to do. As sent to hooks, every field is there. */
export interface DbtRunInput {
  project: string | null;
  command: Command;
  select: string | null;
  exclude: string | null;
  selector: string | null;
  indirect_selection: 'eager' | 'cautious' | 'buildable' | 'empty';
  vars: Record<string, unknown>;
  target: string | null;
  full_refresh: boolean;
  fail_fast: boolean;
  hooks: HooksConfig | null;
  /** The names are real, each value is `***`. */
  env: Record<string, string>;
  defer_manifest_ref: string | null;
  state_manifest_ref: string | null;
  sources_ref: string | null;
  retry_from: string | null;
  /** RFC 3339, as the other times. */
  event_time_start: string | null;
  event_time_end: string | null;
  scheduled_time: string | null;
  data_interval: string | null;
  on_failure: "fail" | "hold" | null;
  macro: string | null;
  args: Record<string, unknown> | null;
  sql: string | null;
  inline: string | null;
  limit: number | null;
  output: string | null;
  output_keys: string[] | null;
  compile: boolean | null;
  static: boolean | null;
  empty_catalog: boolean | null;
  connection: boolean | null;
  /** Flags of dbt: only those that were given. */
  resource_types?: string[];
  exclude_resource_types?: string[];
  empty?: boolean;
  sample?: string | Record<string, string>;
  store_failures?: boolean;
  favor_state?: boolean;
  export_saved_queries?: boolean;
  include_saved_query?: boolean;
  threads?: number;
  single_threaded?: boolean;
  cache_selected_only?: boolean;
  populate_cache?: boolean;
  introspect?: boolean;
  inject_ephemeral_ctes?: boolean;
  sqlparse?: Record<string, number | null>;
  warn_error?: boolean;
  warn_error_options?: Record<string, string | string[]>;
  partial_parse?: boolean;
  partial_parse_file_diff?: boolean;
  static_parser?: boolean;
  use_experimental_parser?: boolean;
  use_fast_test_edges?: boolean;
  version_check?: boolean;
  maximum_seed_size_mib?: number;
  write_json?: boolean;
  debug?: boolean;
  log_level_file?: string;
  log_format_file?: string;
  print?: boolean;
  printer_width?: number;
  use_colors?: boolean;
}

export interface HooksConfig {
  pre_run: HookConfig[];
  on_success: HookConfig[];
  on_failure: HookConfig[];
}

export interface HookConfig {
  workflow_type: string;
  task_queue: string;
  timeout_secs: number;
  on_error: 'fail' | 'warn' | 'ignore';
  input: unknown;
  fire_and_forget: boolean;
}

/** Which nodes the run executes, and what each waits for. */
export interface ExecutionPlan {
  project: string;
  invocation_id: string;
  /** unique_ids; a node stands in the first level after all that it depends on. */
  levels: string[][];
  /** By unique_id. */
  nodes: Record<string, NodeInfo>;
  search_attributes: Record<string, string>;
  write_artifacts: boolean;
  has_on_run_start: boolean;
  has_on_run_end: boolean;
}

export interface NodeInfo {
  unique_id: string;
  name: string;
  resource_type: string;
  materialization: string | null;
  package_name: string;
  /** unique_ids within the plan. */
  depends_on: string[];
  /** 1 (highest) to 5. */
  priority: number;
  /** dbt's level of the node; null where the project is scheduled by its critical path. */
  rank: number | null;
  on_error: 'continue' | 'skip_children' | null;
}

export interface DbtRunOutput {
  invocation_id: string;
  success: boolean;
  skipped: boolean;
  skip_reason: string | null;
  node_results: NodeExecutionResult[];
  /** Of `show`: the rows of the first node that it shows. */
  rows: Record<string, unknown>[] | null;
  /** Seconds. */
  elapsed_time: number;
  artifacts: ArtifactPaths | null;
  log_path: string | null;
  /** What went wrong with the hooks before this one. */
  hook_errors: HookError[];
  project: string | null;
  revision: string | null;
  engine: string | null;
  dbt_version: string | null;
  report_path: string | null;
  /** Where to look for the first nodes that failed; not there where none did. */
  failed_nodes?: FailedNode[];
}

export interface FailedNode {
  unique_id: string;
  /** What commands find it by. */
  name: string;
  /** Of its file, within the project. */
  path: string | null;
  /** Where its compiled SQL lies. */
  code_path: string | null;
  /** Of that, around the line that the database names. */
  lines: { number: number; text: string; is_named: boolean }[];
  /** Whether it is a test that has found rows. */
  found_rows: boolean;
  /** Of such a test, where it is short. */
  query: string | null;
  /** The relation with the rows that it has found, where it stores them. */
  stored_failures: string | null;
}

export interface NodeExecutionResult {
  unique_id: string;
  status: 'success' | 'error' | 'skipped' | 'cancelled';
  /** dbt's own word: pass, warn, fail, no-op, ... */
  dbt_status: string | null;
  /** Seconds. */
  execution_time: number;
  message: string | null;
  adapter_response: Record<string, unknown>;
  compiled_code: string | null;
  timing: { name: string; started_at: string | null; completed_at: string | null }[];
  /** Of a test: the rows that it found. */
  failures: number | null;
  freshness: Freshness | null;
  /** What dbt's console says of the node beside its progress. */
  output: string | null;
  rows: Record<string, unknown>[] | null;
  /** How many attempts were made at it; 0 where it was skipped. */
  attempts: number;
  /** Of a microbatch model: start and end of its batches. */
  batch_results: { successful: [string | null, string][]; failed: [string | null, string][] } | null;
}

export interface Freshness {
  max_loaded_at: string | null;
  snapshotted_at: string | null;
  max_loaded_at_time_ago_in_s: number | null;
  status: string;
  criteria: Record<string, unknown>;
}

export interface ArtifactPaths {
  run_results_path: string | null;
  manifest_path: string | null;
  log_path: string | null;
  catalog_path: string | null;
  sources_path: string | null;
  /** Where the SQL of the nodes lies; not there where it is not stored. */
  sql_path?: string | null;
}

export interface HookError {
  hook_workflow_type: string;
  event: HookEvent;
  error: string;
}

/**
 * What a pre_run hook may answer. `false` and `skip: true` skip the run, which then counts as a success;
 * `extra_env` adds environment variables to it; anything else lets it go on.
 */
export type PreRunAnswer = false | { skip?: boolean; reason?: string; extra_env?: Record<string, string> } | null;
