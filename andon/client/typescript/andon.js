// Written by `python -m scripts.typescript_client` from the node's OpenAPI document. Do not edit it.
/** An answered error: code and name of the catalogue, and data with hint and, for submissions, hash. */
export class AndonError extends Error {
  constructor(code, name, message, data) {
    super(message);
    this.code = code;
    this.name = name;
    this.data = data ?? {};
  }
}

const RETRY_MIN_MS = 200, RETRY_MAX_MS = 5000;
// How often all endpoints are asked before giving up, and the pause between.
const ROUNDS = 2, ROUND_PAUSE_MS = 250;
const SLOW_READER = 1214;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class Client {
  /** @param endpoints one URL or several; the next is asked when one does not answer. */
  constructor(endpoints, { headers = {}, fetch = globalThis.fetch } = {}) {
    this.endpoints = (Array.isArray(endpoints) ? endpoints : [endpoints]).map((url) => url.replace(/\/+$/, ""));
    if (this.endpoints.length === 0) throw new TypeError("a client needs an endpoint");
    this.current = 0;
    this.headers = headers;
    this.fetch = fetch;
  }

  get endpoint() { return this.endpoints[this.current]; }

  failOver() { this.current = (this.current + 1) % this.endpoints.length; }

  /** Submit a signed transaction; the same bytes again give the same answer. */
  submit(params = {}, options = {}) { return this.ask("POST", "/v1/tx", params, options); }

  /** Run a view, or rehearse `contracts.upgrade`, as `sender` after `height` or the last block. */
  call(params = {}, options = {}) { return this.ask("POST", "/v1/call", params, options); }

  /** Name a deployed contract. */
  contract(params = {}, options = {}) { return this.ask("GET", "/v1/contract/{name}", params, options); }

  /** Name a transaction; `proof` adds bundles for its receipt and its bytes. */
  tx(params = {}, options = {}) { return this.ask("GET", "/v1/tx/{hash}", params, options); }

  /** Name a block by height or by hash; neither means the last final one. */
  block(params = {}, options = {}) { return this.ask("GET", "/v1/block", params, options); }

  /** List final blocks, newest first, below the height `before` (none: from the last). */
  blocks(params = {}, options = {}) { return this.ask("GET", "/v1/blocks", params, options); }

  /** Name a variable of a contract, and for a map its key (an open value); or a raw key. */
  state(params = {}, options = {}) { return this.ask("GET", "/v1/state/{contract}/{variable}", params, options); }

  /** List the entries of a map, ascending by key, above `cursor` (the node's word, no proof). */
  entries(params = {}, options = {}) { return this.ask("GET", "/v1/entries/{contract}/{variable}", params, options); }

  /** Name a committed prediction. */
  prediction(params = {}, options = {}) { return this.ask("GET", "/v1/prediction/{id}", params, options); }

  /** No parameters. */
  status(params = {}, options = {}) { return this.ask("GET", "/v1/status", params, options); }

  /** No parameters. */
  validators(params = {}, options = {}) { return this.ask("GET", "/v1/validators", params, options); }

  /** No parameters. */
  genesis(params = {}, options = {}) { return this.ask("GET", "/v1/genesis", params, options); }

  /** Read events after `cursor` (empty: from now on), waiting `wait_ms` for the first. */
  eventsPage(params = {}, options = {}) { return this.ask("GET", "/v1/events/list", params, options); }

  /** Store a blob for the peers to fetch. */
  publishBlob(params = {}, options = {}) { return this.ask("POST", "/v1/blob", params, options); }

  /** Name a blob. */
  blob(params = {}, options = {}) { return this.ask("GET", "/v1/blob/{digest}", params, options); }


  async ask(verb, path, params, { signal } = {}) {
    const rest = { ...params };
    const place = path.replace(/\{(\w+)\}/g, (_, name) => {
      const value = rest[name];
      delete rest[name];
      return encodeURIComponent(value);
    });
    let query = "", body;
    if (verb === "GET") {
      const given = Object.entries(rest).filter(([, value]) => value !== undefined && value !== null);
      const texts = given.map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : String(value)]);
      query = texts.length ? "?" + new URLSearchParams(texts) : "";
    } else {
      body = JSON.stringify(rest);
    }
    let reason;
    for (let attempt = 0; attempt < ROUNDS * this.endpoints.length; attempt += 1) {
      if (attempt > 0 && attempt % this.endpoints.length === 0) await pause(ROUND_PAUSE_MS);
      let answer, text;
      try {
        const headers = { "Content-Type": "application/json", ...this.headers };
        answer = await this.fetch(this.endpoint + place + query, { method: verb, body, headers, signal });
        text = await answer.text();
      } catch (error) {
        if (signal?.aborted) throw error;
        reason = error;
        this.failOver();
        continue;
      }
      return read(answer, text);
    }
    throw new AndonError(1205, "UNREACHABLE", `no node answers: ${reason?.cause?.code ?? reason}`);
  }

  /** Follows events after `cursor` for ever: reconnects, resumes, and ends with an error rather than a gap. */
  async *events({ cursor = "", contract = "", name = "", signal } = {}) {
    let last = cursor || (await this.eventsPage({ limit: 1 })).cursor;
    let wait = RETRY_MIN_MS;
    while (!signal?.aborted) {
      try {
        for await (const event of this.connection(last, contract, name, signal)) {
          last = event.cursor;
          wait = RETRY_MIN_MS;
          yield event;
        }
      } catch (error) {
        if (signal?.aborted) return;
        if (error instanceof AndonError && error.code !== SLOW_READER) throw error;
      }
      this.failOver();
      await pause(wait);
      wait = Math.min(RETRY_MAX_MS, 2 * wait);
    }
  }

  async *connection(cursor, contract, name, signal) {
    const given = Object.entries({ contract, name }).filter(([, value]) => value);
    const query = given.length ? "?" + new URLSearchParams(given) : "";
    const headers = { ...this.headers, Accept: "text/event-stream", "Last-Event-ID": cursor };
    const answer = await this.fetch(this.endpoint + "/v1/events" + query, { headers, signal });
    if (!answer.ok) read(answer, await answer.text());
    const decoder = new TextDecoder();
    let text = "";
    for await (const part of answer.body) {
      text += decoder.decode(part, { stream: true });
      const messages = text.split("\n\n");
      text = messages.pop();
      for (const message of messages) {
        const fields = Object.fromEntries(message.split("\n").map((line) => [line.split(": ", 1)[0], line.slice(line.indexOf(": ") + 2)]));
        if (fields.event === "error") throw failure(JSON.parse(fields.data));
        if (fields.event === "chain") yield JSON.parse(fields.data);
      }
    }
  }
}

function read(answer, text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    throw new AndonError(1205, "UNREACHABLE", "the endpoint does not answer like a node");
  }
  if (answer.ok) return found;
  throw new AndonError(found.code, found.title, found.detail, found.data);
}

function failure(reply) {
  return new AndonError(reply.code, reply.name, reply.message, reply.data);
}
