// Written by `python -m scripts.typescript_client` from the node's OpenAPI document. Do not edit it.
export class AndonError extends Error {
  readonly code: number;
  readonly name: string;
  readonly data: Record<string, unknown>;
}

export interface AskOptions { signal?: AbortSignal }
export interface ClientOptions { headers?: Record<string, string>; fetch?: typeof fetch }
export interface EventsOptions { cursor?: string; contract?: string; name?: string; signal?: AbortSignal }

export interface BlobParams {
  blob: string;
}

export interface BlobReply {
  digest: string;
  size_bytes: number;
  blob: string | null;
}

export interface BlockParams {
  height?: number | string | null;
  hash?: string | null;
  raw?: boolean;
}

export interface BlockReply {
  hash: string;
  header: HeaderReply;
  transactions: Array<string>;
  scheduled: Array<ReceiptReply>;
  predictions: Array<string>;
  signers: Array<string>;
  certified_height: string;
  size_bytes: number;
  raw: string | null;
}

export interface BlocksParams {
  before?: number | string | null;
  limit?: number;
}

export interface BlocksReply {
  blocks: Array<BlockReply>;
  before: string | null;
}

export interface CallEntry {
  contract: string;
  method: string;
  args: unknown;
}

export interface CallParams {
  contract: string;
  method: string;
  args?: unknown;
  sender?: string | null;
  height?: number | string | null;
}

export interface CallReply {
  ok: boolean;
  result: unknown;
  gas_used: string;
  failure: FailureReply | null;
  height: string;
}

export interface CheckReply {
  name: string;
  ok: boolean;
  detail: string;
}

export interface ContractParams {
  name: string;
}

export interface ContractReply {
  name: string;
  source_hash: string;
  abi: unknown;
}

export interface DigestParams {
  digest: string;
}

export interface Empty {
}

export interface EntriesParams {
  contract: string;
  variable: string;
  cursor?: string;
  limit?: number;
}

export interface EntriesReply {
  entries: Array<EntryReply>;
  cursor: string | null;
}

export interface EntryReply {
  key: unknown;
  value: unknown;
}

export interface EventReply {
  cursor: string;
  height: string;
  tx_hash: string;
  contract: string;
  name: string;
  fields: unknown;
}

export interface EventsParams {
  cursor?: string;
  limit?: number;
  wait_ms?: number;
  contract?: string;
  name?: string;
}

export interface EventsReply {
  events: Array<EventReply>;
  cursor: string;
}

export interface FailureReply {
  code: string;
  contract: string;
  method: string;
  line: number;
  message: string;
}

export interface GenesisReply {
  genesis_hash: string;
  document: unknown;
}

export interface HeaderReply {
  version: number;
  chain_id: string;
  epoch: string;
  slot: string;
  height: string;
  time_ms: string;
  parent: string;
  proposer: string;
  justification_digest: string;
  transactions_root: string;
  predictions_root: string;
  receipts_root: string;
  state_root: string;
  validators_hash: string;
  next_validators_hash: string;
  gas_used: string;
}

export interface HealthReply {
  ok: boolean;
  checks: Array<CheckReply>;
}

export interface MismatchReply {
  model_id: string;
  input_digest: string;
  element: number;
  expected: number;
  computed: number;
  height: string;
  count: number;
}

export interface PeerReply {
  validator_key: string;
  node_key: string;
  organisation: string;
  address: string;
  weight: string;
  connected: boolean;
  height: string;
}

export interface PredictionParams {
  id: string;
  proof?: boolean;
}

export interface PredictionReply {
  id: string;
  tx_hash: string;
  contract: string;
  model_id: string;
  input_digest: string;
  output: Array<number>;
  kind: string;
  height: string;
  time_ms: string;
  index: number;
  votes: Array<string>;
  validators: number;
  proof: string | null;
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: number;
  data: unknown;
}

export interface ReceiptReply {
  tx_hash: string;
  ok: boolean;
  gas_used: string;
  results: Array<unknown>;
  failure: FailureReply | null;
  events: Array<EventReply>;
}

export interface StateParams {
  contract?: string;
  variable?: string;
  key?: unknown;
  raw_key?: string | null;
}

export interface StateReply {
  key: string;
  present: boolean;
  value: unknown;
  height: string;
  proof: string;
}

export interface StatusReply {
  version: string;
  chain_id: string;
  genesis_hash: string;
  node_key: string;
  validator_key: string | null;
  height: string;
  block_hash: string;
  state_root: string;
  time_ms: string;
  epoch: string;
  slot: string;
  is_syncing: boolean;
  is_ready: boolean;
  not_ready: Array<string>;
  mempool_count: number;
  mempool_bytes: number;
  worker_state: string;
  worker_detail: string;
  models_loaded: number;
  mismatch: MismatchReply | null;
  peers: Array<PeerReply>;
}

export interface SubmitParams {
  raw: string;
  wait?: "accepted" | "final" | "none";
  timeout_ms?: number;
}

export interface SubmitReply {
  hash: string;
  state: "accepted" | "final" | "none";
  height: string | null;
  receipt: ReceiptReply | null;
}

export interface TransactionParams {
  hash: string;
  proof?: boolean;
}

export interface TransactionReply {
  hash: string;
  state: "final" | "pending";
  sender: string;
  expires_height: string;
  gas_limit: string;
  calls: Array<CallEntry>;
  height: string | null;
  index: number | null;
  time_ms: string | null;
  receipt: ReceiptReply | null;
  predictions: Array<PredictionReply>;
  raw: string;
  receipt_proof: string | null;
  transaction_proof: string | null;
}

export interface ValidatorReply {
  key: string;
  weight: string;
}

export interface ValidatorsReply {
  epoch: string;
  validators: Array<ValidatorReply>;
  total_weight: string;
  quorum: string;
}

export class Client {
  constructor(endpoints: string | string[], options?: ClientOptions);
  readonly endpoint: string;
  /** Submit a signed transaction; the same bytes again give the same answer. */
  submit(params: SubmitParams, options?: AskOptions): Promise<SubmitReply>;
  /** Run a view, or rehearse `contracts.upgrade`, as `sender` after `height` or the last block. */
  call(params: CallParams, options?: AskOptions): Promise<CallReply>;
  /** Name a deployed contract. */
  contract(params: { name: string }, options?: AskOptions): Promise<ContractReply>;
  /** Name a transaction; `proof` adds bundles for its receipt and its bytes. */
  tx(params: { hash: string; proof?: boolean }, options?: AskOptions): Promise<TransactionReply>;
  /** Name a block by height or by hash; neither means the last final one. */
  block(params?: { height?: number | string | null; hash?: string | null; raw?: boolean }, options?: AskOptions): Promise<BlockReply>;
  /** List final blocks, newest first, below the height `before` (none: from the last). */
  blocks(params?: { before?: number | string | null; limit?: number }, options?: AskOptions): Promise<BlocksReply>;
  /** Name a variable of a contract, and for a map its key (an open value); or a raw key. */
  state(params: { contract: string; variable: string; key?: unknown; raw_key?: string | null }, options?: AskOptions): Promise<StateReply>;
  /** List the entries of a map, ascending by key, above `cursor` (the node's word, no proof). */
  entries(params: { contract: string; variable: string; cursor?: string; limit?: number }, options?: AskOptions): Promise<EntriesReply>;
  /** Name a committed prediction. */
  prediction(params: { id: string; proof?: boolean }, options?: AskOptions): Promise<PredictionReply>;
  /** No parameters. */
  status(params?: {  }, options?: AskOptions): Promise<StatusReply>;
  /** No parameters. */
  validators(params?: {  }, options?: AskOptions): Promise<ValidatorsReply>;
  /** No parameters. */
  genesis(params?: {  }, options?: AskOptions): Promise<GenesisReply>;
  /** Read events after `cursor` (empty: from now on), waiting `wait_ms` for the first. */
  eventsPage(params?: { cursor?: string; limit?: number; wait_ms?: number; contract?: string; name?: string }, options?: AskOptions): Promise<EventsReply>;
  /** Store a blob for the peers to fetch. */
  publishBlob(params: BlobParams, options?: AskOptions): Promise<BlobReply>;
  /** Name a blob. */
  blob(params: { digest: string }, options?: AskOptions): Promise<BlobReply>;
}

export interface Client {
  /** Follows events after a cursor for ever; ends with an error rather than a gap. */
  events(options?: EventsOptions): AsyncGenerator<EventReply, void, undefined>;
}
