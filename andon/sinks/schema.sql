-- Tables of a chain. Hashes and keys are 0x hex, as everywhere in the RPC; open values are JSON.
CREATE TABLE IF NOT EXISTS checkpoint (
    one            boolean PRIMARY KEY DEFAULT true CHECK (one),
    genesis_hash   text NOT NULL,
    height         bigint NOT NULL,
    block_hash     text,
    schema_version integer NOT NULL
);
CREATE TABLE IF NOT EXISTS blocks (
    height bigint PRIMARY KEY, hash text NOT NULL UNIQUE, parent text NOT NULL,
    time timestamptz NOT NULL, epoch bigint NOT NULL, slot bigint NOT NULL, proposer text NOT NULL,
    state_root text NOT NULL, gas_used bigint NOT NULL, transactions integer NOT NULL,
    size_bytes integer NOT NULL
);
CREATE TABLE IF NOT EXISTS transactions (
    hash text PRIMARY KEY, height bigint NOT NULL REFERENCES blocks ON DELETE CASCADE,
    index integer NOT NULL, sender text NOT NULL, ok boolean NOT NULL, gas_used bigint NOT NULL,
    calls jsonb NOT NULL, results jsonb NOT NULL, failure jsonb, UNIQUE (height, index)
);
CREATE INDEX IF NOT EXISTS transactions_sender ON transactions (sender, height);
CREATE TABLE IF NOT EXISTS events (
    cursor text PRIMARY KEY, height bigint NOT NULL REFERENCES blocks ON DELETE CASCADE,
    transaction_hash text NOT NULL, index integer NOT NULL, contract text NOT NULL,
    name text NOT NULL, fields jsonb NOT NULL
);
CREATE INDEX IF NOT EXISTS events_name ON events (contract, name, height);
CREATE INDEX IF NOT EXISTS events_fields ON events USING gin (fields jsonb_path_ops);
CREATE TABLE IF NOT EXISTS predictions (
    id text PRIMARY KEY, height bigint NOT NULL REFERENCES blocks ON DELETE CASCADE,
    transaction_hash text NOT NULL, index integer NOT NULL, contract text NOT NULL,
    model_id text NOT NULL, input_digest text NOT NULL, output bigint[] NOT NULL,
    kind text NOT NULL, votes integer NOT NULL, validators integer NOT NULL
);
CREATE INDEX IF NOT EXISTS predictions_model ON predictions (model_id, height);
CREATE TABLE IF NOT EXISTS votes (
    height bigint NOT NULL REFERENCES blocks ON DELETE CASCADE, validator text NOT NULL,
    certified_height bigint NOT NULL, PRIMARY KEY (height, validator)
);
CREATE TABLE IF NOT EXISTS lots (
    cursor text NOT NULL REFERENCES events ON DELETE CASCADE, lot text NOT NULL,
    height bigint NOT NULL, role text NOT NULL, PRIMARY KEY (cursor, lot, role)
);
CREATE INDEX IF NOT EXISTS lots_lot ON lots (lot, height);
CREATE TABLE IF NOT EXISTS edges (
    transaction_hash text NOT NULL, height bigint NOT NULL REFERENCES blocks ON DELETE CASCADE,
    event text NOT NULL, kind text NOT NULL, source text NOT NULL, target text NOT NULL,
    PRIMARY KEY (transaction_hash, event, kind, source, target)
);
CREATE INDEX IF NOT EXISTS edges_source ON edges (source);
CREATE INDEX IF NOT EXISTS edges_target ON edges (target);
