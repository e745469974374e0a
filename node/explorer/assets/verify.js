// Checks a proof bundle in the browser, from the genesis document alone (andon/core/proof.py).
// No library, no network: SHA-256 and Ed25519 are the browser's own (WebCrypto).
"use strict";

const text = new TextEncoder();
const VOTE_NOTAR = 1, VOTE_FINAL = 3;
const EXT_INTEGER = 1, EXT_DEC = 2, EXT_TUPLE = 3;
const NIBBLES = 16, DIGEST = 32;
const PARAMS = [
  "block_bytes_max", "block_gas_max", "block_transactions_max", "transaction_gas_max",
  "expiry_window_blocks", "skip_timeout_ms", "skip_timeout_max_ms", "idle_block_ms",
  "standstill_ms", "clock_drift_ms", "slots_ahead_max", "gas_schedule",
];

class Refused extends Error {}

function need(holds, reason) {
  if (!holds) throw new Refused(reason);
}

// -- MessagePack: arrays keep their bytes in `raw`, so that what was signed is what is hashed --

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }

  take(count) {
    need(this.at + count <= this.bytes.length, "the file ends too early");
    const part = this.bytes.subarray(this.at, this.at + count);
    this.at += count;
    return part;
  }

  number(size) {
    let value = 0n;
    for (const byte of this.take(size)) value = (value << 8n) | BigInt(byte);
    return value;
  }

  signed(size) {
    return BigInt.asIntN(8 * size, this.number(size));
  }

  value() {
    const start = this.at;
    const kind = this.take(1)[0];
    if (kind <= 0x7f) return BigInt(kind);
    if (kind >= 0xe0) return BigInt(kind) - 256n;
    if (kind >= 0xa0 && kind <= 0xbf) return this.string(kind & 31);
    if (kind >= 0x90 && kind <= 0x9f) return this.array(kind & 15, start);
    if (kind >= 0x80 && kind <= 0x8f) return this.map(kind & 15);
    switch (kind) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.take(Number(this.number(1)));
      case 0xc5: return this.take(Number(this.number(2)));
      case 0xc6: return this.take(Number(this.number(4)));
      case 0xc7: return this.ext(Number(this.number(1)));
      case 0xc8: return this.ext(Number(this.number(2)));
      case 0xcc: return this.number(1);
      case 0xcd: return this.number(2);
      case 0xce: return this.number(4);
      case 0xcf: return this.number(8);
      case 0xd0: return this.signed(1);
      case 0xd1: return this.signed(2);
      case 0xd2: return this.signed(4);
      case 0xd3: return this.signed(8);
      case 0xd4: return this.ext(1);
      case 0xd5: return this.ext(2);
      case 0xd6: return this.ext(4);
      case 0xd7: return this.ext(8);
      case 0xd8: return this.ext(16);
      case 0xd9: return this.string(Number(this.number(1)));
      case 0xda: return this.string(Number(this.number(2)));
      case 0xdb: return this.string(Number(this.number(4)));
      case 0xdc: return this.array(Number(this.number(2)), start);
      case 0xdd: return this.array(Number(this.number(4)), start);
      case 0xde: return this.map(Number(this.number(2)));
      default: throw new Refused(`byte ${kind} has no place in a proof`);
    }
  }

  string(size) {
    return new TextDecoder("utf-8", { fatal: true }).decode(this.take(size));
  }

  array(count, start) {
    const items = [];
    for (let index = 0; index < count; index++) items.push(this.value());
    items.raw = this.bytes.subarray(start, this.at);
    return items;
  }

  map(count) {
    const entries = new Map();
    for (let index = 0; index < count; index++) {
      const key = this.value();
      entries.set(key instanceof Uint8Array ? hex(key) : key, this.value());
    }
    return entries;
  }

  ext(size) {
    const code = Number(this.number(1));
    const content = this.take(size);
    if (code === EXT_TUPLE) return decode(content);
    let value = 0n;
    for (const byte of content) value = (value << 8n) | BigInt(byte);
    value = BigInt.asIntN(8 * size, value);
    if (code === EXT_INTEGER) return value;
    need(code === EXT_DEC, `extension ${code} is unknown`);
    return decimal(value);
  }
}

function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.value();
  need(reader.at === bytes.length, "the file goes on behind its end");
  return value;
}

function decimal(scaled) {
  const sign = scaled < 0n ? "-" : "";
  const size = scaled < 0n ? -scaled : scaled;
  const part = (size % 10n ** 18n).toString().padStart(18, "0").replace(/0+$/, "");
  return sign + (size / 10n ** 18n) + (part ? "." + part : "");
}

function join(...parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { out.set(part, at); at += part.length; }
  return out;
}

function big(value, size) {
  const out = new Uint8Array(size);
  for (let index = size - 1, rest = BigInt(value); index >= 0; index--, rest >>= 8n) {
    out[index] = Number(rest & 255n);
  }
  return out;
}

function encodeNumber(value) {
  const number = BigInt(value);
  if (number < 128n) return big(number, 1);
  for (const [size, kind] of [[1, 0xcc], [2, 0xcd], [4, 0xce]]) {
    if (number < 1n << BigInt(8 * size)) return join([kind], big(number, size));
  }
  return join([0xcf], big(number, 8));
}

function encodeText(value) {
  const bytes = text.encode(value);
  if (bytes.length < 32) return join([0xa0 | bytes.length], bytes);
  if (bytes.length < 256) return join([0xd9, bytes.length], bytes);
  if (bytes.length < 65536) return join([0xda], big(bytes.length, 2), bytes);
  return join([0xdb], big(bytes.length, 4), bytes);
}

function encodeBytes(bytes) {
  if (bytes.length < 256) return join([0xc4, bytes.length], bytes);
  if (bytes.length < 65536) return join([0xc5], big(bytes.length, 2), bytes);
  return join([0xc6], big(bytes.length, 4), bytes);
}

function encodeArray(parts) {
  const head = parts.length < 16 ? [0x90 | parts.length] : join([0xdc], big(parts.length, 2));
  return join(head, ...parts);
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fromHex(value) {
  need(value.length % 2 === 0 && /^[0-9a-f]*$/.test(value), "not hex");
  return Uint8Array.from(value.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function same(left, right) {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}

async function digest(domain, ...parts) {
  const content = join(text.encode(`andon/${domain}\0`), ...parts);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", content));
}

// -- the chain of trust -----------------------------------------------------------------------

async function readGenesis(document) {
  const params = PARAMS.map((name) => encodeNumber(document.params[name]));
  const contracts = document.contracts.map((contract) => encodeArray([
    encodeText(contract.name), encodeBytes(text.encode(contract.source)),
    encodeBytes(fromHex(contract.args)),
  ]));
  const bytes = encodeArray([
    encodeText(document.chain_id), encodeNumber(document.time_ms), encodeArray(params),
    encodeArray(contracts),
  ]);
  const identity = document.contracts.find((contract) => contract.name === "identity");
  need(identity, "the genesis names no validators");
  const members = decode(fromHex(identity.args)).get("validators").map((entry) => ({
    key: entry.get("key"), weight: entry.get("weight"),
  }));
  members.sort((left, right) => (hex(left.key) < hex(right.key) ? -1 : 1));
  return { hash: await digest("genesis", bytes), chain: document.chain_id, members };
}

function setHash(members) {
  const entries = members.map((one) => encodeArray([encodeBytes(one.key), encodeNumber(one.weight)]));
  return digest("validators", encodeArray([encodeArray(entries)]));
}

function headerOf(fields) {
  const names = [
    "version", "chain", "epoch", "slot", "height", "time", "parent", "proposer", "justification",
    "transactionsRoot", "predictionsRoot", "receiptsRoot", "stateRoot", "validators", "next", "gas",
  ];
  need(fields.length === names.length, "a header has another shape");
  return Object.assign({ raw: fields.raw }, ...names.map((name, at) => ({ [name]: fields[at] })));
}

function quorumOf(members) {
  return (2n * members.reduce((sum, one) => sum + one.weight, 0n)) / 3n + 1n;
}

async function checkCertificate(chain, members, certificate) {
  const [vote, signers] = certificate;
  const message = join(
    text.encode("andon/vote\0"), encodeArray([encodeText(chain), vote.raw]),
  );
  let weight = 0n, previous = -1n;
  for (const [index, signature] of signers) {
    need(previous < index && index < BigInt(members.length), "signers are out of order");
    previous = index;
    const member = members[Number(index)];
    weight += member.weight;
    const key = await crypto.subtle.importKey("raw", member.key, { name: "Ed25519" }, false, ["verify"]);
    const holds = await crypto.subtle.verify({ name: "Ed25519" }, key, signature, message);
    need(holds, `the signature of validator ${index} does not fit`);
  }
  need(weight >= quorumOf(members), "the signatures are fewer than a quorum");
  return signers.map(([index]) => Number(index));
}

async function checkFinal(chain, trust, final) {
  const [fields, path, certificate] = final;
  const header = headerOf(fields);
  need(header.chain === chain, "the header is of another chain");
  need(header.epoch === trust.epoch, "the header is of another epoch");
  need(same(header.validators, await setHash(trust.members)), "the header names other validators");
  const hash = await digest("header", header.raw);
  let top = header, topHash = hash;
  for (const raw of path) {
    const child = headerOf(raw);
    need(same(child.parent, topHash) && child.height === top.height + 1n, "the path is broken");
    need(child.epoch === trust.epoch && child.chain === chain, "the path leaves the epoch");
    need(same(top.validators, top.next), "the path leaves the epoch");
    top = child;
    topHash = await digest("header", child.raw);
  }
  const [kind, epoch, slot, block] = certificate[0];
  need(kind === BigInt(VOTE_FINAL) && epoch === trust.epoch && slot >= top.slot && same(block, topHash),
    "the certificate does not make this header final");
  return { header, hash, signers: await checkCertificate(chain, trust.members, certificate) };
}

async function follow(chain, trust, [final, [entries]]) {
  const { header } = await checkFinal(chain, trust, final);
  need(!same(header.validators, header.next), "a header does not close its epoch");
  const members = entries.map(([key, weight]) => ({ key, weight }));
  need(same(header.next, await setHash(members)), "the next validators are not the header's");
  return { epoch: trust.epoch + 1n, members };
}

// -- what is proved ---------------------------------------------------------------------------

async function checkMerkle(root, leaf, [index, size, siblings]) {
  let node = await digest("leaf", leaf);
  let position = Number(index), last = Number(size) - 1, used = 0;
  need(position >= 0 && position <= last, "the Merkle path is out of shape");
  while (last > 0) {
    if ((position ^ 1) <= last) {
      need(used < siblings.length, "the Merkle path is too short");
      const sibling = siblings[used++];
      node = position & 1 ? await digest("node", sibling, node) : await digest("node", node, sibling);
    }
    position >>= 1;
    last >>= 1;
  }
  need(used === siblings.length && same(node, root), "the Merkle path does not lead to the root");
}

async function checkState(root, key, value, [nodes, leaf]) {
  const place = await digest("state-key", key);
  const path = hex(place);
  let expected = root, vacant = false;
  for (let depth = 0; depth < nodes.length; depth++) {
    const content = nodes[depth];
    need(!vacant && same(await digest("state-node", content), expected), "a state node is forged");
    const bitmap = (content[0] << 8) | content[1], nibble = parseInt(path[depth], NIBBLES);
    let below = 0;
    for (let other = 0; other < nibble; other++) below += (bitmap >> other) & 1;
    vacant = !((bitmap >> nibble) & 1);
    if (!vacant) expected = content.subarray(2 + DIGEST * below, 2 + DIGEST * (below + 1));
  }
  if (vacant || (!leaf.length && !nodes.length && expected.every((byte) => byte === 0))) {
    need(!leaf.length && value === null, "the state proof says that the key is absent");
    return;
  }
  need(same(await digest("state-leaf", leaf), expected), "the state leaf is forged");
  const found = leaf.subarray(0, DIGEST);
  need(hex(found).slice(0, nodes.length) === path.slice(0, nodes.length), "the leaf is elsewhere");
  if (!same(found, place)) {
    need(value === null, "the state proof says that the key is absent");
    return;
  }
  need(value !== null && same(leaf.subarray(DIGEST), await digest("state-value", value)),
    "the key holds another value");
}

async function checkSubject(header, subject) {
  const [tag] = subject;
  if (tag === 1n) {
    const [, record, path] = subject;
    await checkMerkle(header.predictionsRoot, record.raw, path);
    const [id, , contract, model, input, output, kind, height] = record;
    need(height === header.height, "the prediction is of another height");
    return { what: "prediction", id: hex(id), output: output.join(", "), model: hex(model),
      "input digest": hex(input), contract, class: kind };
  }
  if (tag === 2n) {
    const [, receipt, path] = subject;
    await checkMerkle(header.receiptsRoot, receipt.raw, path);
    return { what: "receipt", transaction: hex(receipt[0]), succeeded: receipt[1] ? "yes" : "no" };
  }
  if (tag === 3n) {
    const [, raw, path] = subject;
    await checkMerkle(header.transactionsRoot, raw, path);
    return { what: "transaction", bytes: String(raw.length) };
  }
  need(tag === 4n, "the proof is of an unknown kind");
  const [, key, value, path] = subject;
  await checkState(header.stateRoot, key, value, path);
  return { what: "state", key: new TextDecoder().decode(key).split("\0").slice(0, 2).join("."),
    present: value === null ? "no" : "yes" };
}

export async function verifyBundle(genesisDocument, bytes) {
  const genesis = await readGenesis(genesisDocument);
  const [hash, changes, final, notar, subject] = decode(bytes);
  need(same(hash, genesis.hash), "the proof is of another network than the genesis");
  let trust = { epoch: 0n, members: genesis.members };
  for (const change of changes) trust = await follow(genesis.chain, trust, change);
  const proved = await checkFinal(genesis.chain, trust, final);
  const voters = new Set(proved.signers);
  if (notar !== null) {
    const [kind, epoch, , block] = notar[0];
    need(kind === BigInt(VOTE_NOTAR) && epoch === trust.epoch && same(block, proved.hash),
      "the Notar certificate is not of this block");
    for (const index of await checkCertificate(genesis.chain, trust.members, notar)) voters.add(index);
  }
  const facts = await checkSubject(proved.header, subject);
  return { ...facts, height: String(proved.header.height), block: hex(proved.hash),
    votes: `${voters.size} of ${trust.members.length}`, chain: genesis.chain };
}

// -- the page ---------------------------------------------------------------------------------

async function check(form, output) {
  output.replaceChildren();
  output.className = "";
  const [proof] = form.elements.proof.files, [own] = form.elements.genesis.files;
  if (!proof) return;
  const genesis = own ? JSON.parse(await own.text())
    : await (await fetch("/genesis.json")).json();
  try {
    need(globalThis.crypto?.subtle, "this browser offers no cryptography here: use https or localhost");
    const facts = await verifyBundle(genesis, new Uint8Array(await proof.arrayBuffer()));
    const list = document.createElement("dl");
    for (const [name, value] of Object.entries(facts)) {
      const term = document.createElement("dt"), detail = document.createElement("dd");
      term.textContent = name;
      detail.textContent = value;
      list.append(term, detail);
    }
    const verdict = document.createElement("p");
    verdict.textContent = own ? "Valid." : "Valid for the genesis that this node shows.";
    verdict.className = "ok";
    output.append(verdict, list);
  } catch (error) {
    output.className = "bad";
    output.textContent = `Not valid: ${error.message}`;
  }
}

if (globalThis.document) {
  const form = document.getElementById("verify"), output = document.getElementById("verdict");
  form.hidden = false;
  form.addEventListener("change", () => check(form, output));
}
