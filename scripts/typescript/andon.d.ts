export class AndonError extends Error {
  readonly code: number;
  readonly name: string;
  readonly data: Record<string, unknown>;
}

export interface AskOptions { signal?: AbortSignal }
export interface ClientOptions { headers?: Record<string, string>; fetch?: typeof fetch }
export interface EventsOptions { cursor?: string; contract?: string; name?: string; signal?: AbortSignal }

// SCHEMAS

export class Client {
  constructor(endpoints: string | string[], options?: ClientOptions);
  readonly endpoint: string;
  // METHODS
}

export interface Client {
  /** Follows events after a cursor for ever; ends with an error rather than a gap. */
  events(options?: EventsOptions): AsyncGenerator<EventReply, void, undefined>;
}
