// A second verifier of bundles and receipts, written after docs/audit.md with nothing but Node's own modules.
// node verify.mjs (bundle|receipt|row) FILE VKEY...   exit codes: 0 in order, 1 not, 3 incomplete, 4 no trusted key, 64 usage
// node verify.mjs vectors FILE                    prints roots and proofs for entries in hex, as JSON
import { createHash, createPublicKey, verify as verifySignature } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { createInterface } from "node:readline";

class Incomplete extends Error {}
class Untrusted extends Error {}
class Malformed extends Error {}

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const leafHash = (entry) => sha256(Buffer.from([0]), entry);
const nodeHash = (left, right) => sha256(Buffer.from([1]), left, right);
const hex = (text) => {
  if (!/^[0-9a-f]{64}$/.test(text)) throw new Malformed("a hash is not 64 hex digits");
  return Buffer.from(text, "hex");
};

// The tree: numbers are BigInt, since it may have more leaves than a Number counts exactly.
class Frontier {
  constructor(size = 0n, peaks = []) {
    let bits = 0;
    for (let rest = size; rest > 0n; rest >>= 1n) bits += Number(rest & 1n);
    if (bits !== peaks.length) throw new Malformed("the subtrees do not belong to the first position");
    this.size = size;
    this.peaks = [...peaks];
  }
  append(leaf) {
    for (let rest = this.size; rest & 1n; rest >>= 1n) leaf = nodeHash(this.peaks.pop(), leaf);
    this.peaks.push(leaf);
    this.size += 1n;
  }
  root() {
    if (this.peaks.length === 0) return sha256();
    return this.peaks.slice(0, -1).reduceRight((joined, peak) => nodeHash(peak, joined), this.peaks.at(-1));
  }
}

function climb(index, size, proof, step) {
  let [place, last] = [index, size - 1n];
  for (const sibling of proof) {
    if (last === 0n) throw new Error("the proof is too long");
    const left = (place & 1n) === 1n || place === last;
    step(sibling, left);
    while (left && (place & 1n) === 0n && place !== 0n) [place, last] = [place >> 1n, last >> 1n];
    [place, last] = [place >> 1n, last >> 1n];
  }
  if (last !== 0n) throw new Error("the proof is too short");
}

function includes(leaf, index, size, proof, root) {
  if (index < 0n || index >= size) return false;
  let reached = leaf;
  climb(index, size, proof, (sibling, left) => {
    reached = left ? nodeHash(sibling, reached) : nodeHash(reached, sibling);
  });
  return reached.equals(root);
}

function continues(old, oldRoot, size, root, proof) {
  if (old < 1n || old > size) return false;
  if (old === size) return proof.length === 0 && oldRoot.equals(root);
  const hashes = (old & (old - 1n)) === 0n ? [oldRoot, ...proof] : proof;
  let [place, last] = [old - 1n, size - 1n];
  while (place & 1n) [place, last] = [place >> 1n, last >> 1n];
  let [before, after] = [hashes[0], hashes[0]];
  climb(place, last + 1n, hashes.slice(1), (hash, left) => {
    if (left) before = nodeHash(hash, before);
    after = left ? nodeHash(hash, after) : nodeHash(after, hash);
  });
  return before.equals(oldRoot) && after.equals(root);
}

// Signed notes and checkpoints.
function readKey(vkey) {
  const [, name, id, encoded] = /^([^\s+]+)\+([0-9a-f]{8})\+(\S+)$/.exec(vkey.trim()) ?? [];
  const material = Buffer.from(encoded ?? "", "base64");
  if (material.length !== 33 || material[0] !== 1) throw new Malformed("this is no Ed25519 key of a note");
  const expected = sha256(name, "\n", material).subarray(0, 4).toString("hex");
  if (id !== expected) throw new Malformed("the key's id is another");
  const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), material.subarray(1)]);
  return { vkey: vkey.trim(), name, id, key: createPublicKey({ key: der, format: "der", type: "spki" }) };
}

function readNote(content) {
  const end = content.lastIndexOf("\n\n");
  if (end < 0 || !content.endsWith("\n")) throw new Malformed("this is no signed note");
  const signatures = content
    .slice(end + 2, -1)
    .split("\n")
    .map((line) => {
      const [, name, encoded] = /^\u2014 ([^\s+]+) (\S+)$/.exec(line) ?? [];
      if (!name) throw new Malformed("a line below the text is no signature");
      const decoded = Buffer.from(encoded, "base64");
      return { name, id: decoded.subarray(0, 4).toString("hex"), signature: decoded.subarray(4) };
    });
  return { text: content.slice(0, end + 1), signatures };
}

function signers(note, keys) {
  return keys.filter((key) =>
    note.signatures.some(({ name, id, signature }) => {
      if (name !== key.name || id !== key.id) return false;
      if (!verifySignature(null, Buffer.from(note.text), key.key, signature)) throw new Error("a signature is forged");
      return true;
    }),
  );
}

function readCheckpoint(note) {
  const [, origin, size, root] = /^(.+)\n(0|[1-9][0-9]{0,18})\n(\S+)\n$/.exec(note.text) ?? [];
  if (!origin) throw new Malformed("this is no checkpoint");
  return { origin, size: BigInt(size), root: Buffer.from(root, "base64") };
}

function trusted(listed, known) {
  const believed = new Set(known);
  const keys = listed.keys.map((each) => ({ ...each, ...readKey(each.key) }));
  for (let again = true; again; ) {
    again = false;
    for (let number = 1; number < keys.length; number += 1) {
      const [before, after] = [keys[number - 1], keys[number]];
      if (believed.has(before.vkey) === believed.has(after.vkey) || after.handover === null) continue;
      const note = readNote(after.handover);
      const size = Number(readCheckpoint(note).size);
      if (before.last_size !== size || after.first_size !== size || signers(note, [before, after]).length !== 2) continue;
      again = true;
      believed.add(before.vkey).add(after.vkey);
    }
  }
  return keys.filter((key) => believed.has(key.vkey));
}

function signed(note, { origin, size }, ranges) {
  const covering = ranges.filter(
    (key) => key.name === origin && BigInt(key.first_size) <= size && (key.last_size === null || size <= BigInt(key.last_size)),
  );
  if (signers(note, covering).length === 0) throw new Untrusted("no trusted key signed the checkpoint");
}

function signedCheckpoint(content, ranges) {
  const note = readNote(content);
  const found = readCheckpoint(note);
  signed(note, found, ranges);
  return found;
}

function signedCertificate(content, ranges) {
  const note = readNote(content);
  const [format, text, rest] = note.text.split("\n");
  if (format !== "counterfoil.certificate.v1" || rest !== "") throw new Malformed("this is no certificate");
  const found = JSON.parse(text);
  signed(note, { origin: found.origin, size: BigInt(found.size) }, ranges);
  return found;
}

// Events.
function leafOf(event) {
  const int64 = (value) => {
    const buffer = Buffer.alloc(8);
    buffer.writeBigInt64BE(BigInt(value));
    return buffer;
  };
  const text = (value) => {
    const [length, bytes] = [Buffer.alloc(4), Buffer.from(value)];
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  };
  return leafHash(
    Buffer.concat([
      Buffer.from([1]),
      int64(event.epoch),
      ...text(event.stream),
      int64(event.version),
      ...text(event.type),
      int64(event.recorded_at),
      sha256(event.metadata),
      sha256(event.payload),
    ]),
  );
}

function examine(line, findings) {
  const { event, position } = line;
  if (event === null) return findings.push([position, "event-missing"]);
  if (event.position !== position || !leafOf(event).equals(hex(line.leaf))) findings.push([position, "event-changed"]);
  const { tags = [] } = JSON.parse(event.metadata);
  if (JSON.stringify([...tags].sort()) !== JSON.stringify([...line.tags].sort())) findings.push([position, "tags-changed"]);
}

function examineOutcome(line, state, findings, alone) {
  const { event, position, outcomes } = line;
  if (alone || state.current === null || position > state.current.last) {
    state.versions = new Map();
    const fits = outcomes.filter((each) => each.last >= position && (each.first === position || (state.early && each.first < position)));
    state.current = fits[0] ?? null;
    state.whole = !alone && state.current !== null && state.current.first === position;
    if (outcomes.length === 0) findings.push([position, "outcome-missing"]);
    else if (outcomes.length > 1 || fits.length !== 1) findings.push([position, "outcome-changed"]);
  } else if (outcomes.length > 0) findings.push([position, "outcome-added"]);
  if (state.current === null || event === null) return void (state.whole = false);
  const metadata = JSON.parse(event.metadata);
  const { key, fingerprint, last, versions } = state.current;
  if (metadata.idempotency !== undefined && metadata.idempotency !== key) findings.push([position, "outcome-changed"]);
  if (metadata.fingerprint !== undefined && Buffer.from(metadata.fingerprint, "base64").toString("hex") !== fingerprint)
    findings.push([position, "outcome-changed"]);
  state.versions.set(event.stream, event.version);
  if (position !== last || !(state.whole || alone)) return;
  if ([...state.versions.values()].some((version) => !versions.includes(version))) findings.push([position, "outcome-changed"]);
}

function certified({ origin, certificates = [] }, ranges, findings) {
  return certificates.flatMap((content) => {
    try {
      const found = signedCertificate(content, ranges);
      if (found.origin === origin) return [found];
    } catch {
      // whatever is wrong with it, it certifies nothing
    }
    findings.push([0, "certificate-forged"]);
    return [];
  });
}

function examineCase({ kind, stream, subject }, { event, position }, versions, findings) {
  if (kind === "actor") {
    if (JSON.parse(event.metadata).actor !== subject) findings.push([position, "event-changed"]);
    return;
  }
  if (kind === "case" && event.stream !== stream) findings.push([position, "event-changed"]);
  else if (versions.has(event.stream) ? event.version !== versions.get(event.stream) + 1 : event.version > 1)
    findings.push([position, "version-missing"]);
  versions.set(event.stream, event.version);
}

async function checkBundle(file, known) {
  const lines = createInterface({ input: createReadStream(file), crlfDelay: Infinity });
  const findings = [];
  const state = { current: null, early: true, whole: false, versions: new Map() };
  let header = null;
  let sealed, tree, certificates;
  let [events, end, expected] = [0, null, 0];
  const [shapes, digest, types, versions] = [new Set(), createHash("sha256"), new Set(), new Map()];
  for await (const text of lines) {
    const line = JSON.parse(text);
    if (header === null) {
      if (line.line !== "bundle" || line.format !== "counterfoil.bundle.v1") throw new Malformed("this is no bundle");
      header = line;
      const ranges = trusted(header.keys, known);
      sealed = signedCheckpoint(header.checkpoint, ranges);
      certificates = certified(header, ranges, findings);
      if (sealed.origin !== header.origin) findings.push([0, "checkpoint-forged"]);
      if (header.kind === "range") tree = new Frontier(BigInt(header.first - 1), header.before.map(hex));
      expected = header.first;
    } else if (line.line === "event" && end === null) {
      events += 1;
      examine(line, findings);
      if (line.event !== null) types.add(line.event.type);
      if (header.kind === "range") {
        if (line.position !== expected) findings.push([expected, "position-missing"]);
        state.early = line.position === header.first;
        examineOutcome(line, state, findings, false);
        tree.append(hex(line.leaf));
        for (const { size, log_root } of certificates)
          if (BigInt(size) === tree.size && log_root !== tree.root().toString("hex")) findings.push([size, "certificate-mismatch"]);
      } else {
        if (line.position < expected) findings.push([line.position, "position-missing"]);
        examineOutcome(line, state, findings, true);
        if (!includes(hex(line.leaf), BigInt(line.position - 1), sealed.size, line.proof.map(hex), sealed.root))
          findings.push([line.position, "root-mismatch"]);
        if (line.event !== null) examineCase(header, line, versions, findings);
      }
      expected = line.position + 1;
    } else if (line.line === "shape" && end === null) {
      if (shapes.has(line.type) || types.has(line.type)) findings.push([0, "shapes-changed"]);
      shapes.add(line.type);
      digest.update(`${line.type}\n${line.schema}\n`);
    } else if (line.line === "page" && end === null && header.kind !== "range") {
      // made of the events by the exporter, for people: nothing of it is used here
    } else if (line.line === "end" && end === null) {
      end = line;
      if ((line.shapes ?? null) !== (shapes.size > 0 ? digest.digest("hex") : null)) findings.push([0, "shapes-changed"]);
      if (line.events !== events) findings.push([0, "events-missing"]);
    } else throw new Malformed("a line stands where none of its kind can be");
  }
  if (header === null) throw new Malformed("the file is empty");
  if (header.kind === "range") {
    if (expected <= header.last) findings.push([expected, "position-missing"]);
    if (!continues(tree.size, tree.root(), sealed.size, sealed.root, header.after.map(hex))) findings.push([0, "root-mismatch"]);
  }
  if (findings.length > 0) return findings;
  if (end === null) throw new Incomplete("the bundle ends before its last line");
  return findings;
}

function checkRow(file, known) {
  const row = JSON.parse(readFileSync(file, "utf8"));
  if (row.line !== "row" || row.format !== "counterfoil.row.v1") throw new Malformed("this is no proof of a row");
  const found = signedCertificate(row.certificate, trusted(row.keys, known));
  const leaf = leafHash(Buffer.from(row.entry));
  return includes(leaf, BigInt(row.index), BigInt(found.rows), row.proof.map(hex), hex(found.root)) ? [] : [[0, "row-changed"]];
}

function checkReceipt(file, known) {
  const content = readFileSync(file, "utf8");
  const cut = content.indexOf("\n\n");
  const [first, extra, index, ...hashes] = content.slice(0, cut).split("\n");
  if (first !== "c2sp.org/tlog-proof@v1" || !extra.startsWith("extra ")) throw new Malformed("this is no receipt");
  const event = JSON.parse(Buffer.from(extra.slice(6), "base64").toString());
  const ranges = known.map((vkey) => ({ ...readKey(vkey), first_size: 0, last_size: null }));
  const sealed = signedCheckpoint(content.slice(cut + 2), ranges);
  const place = BigInt(event.position - 1);
  const proof = hashes.map((each) => Buffer.from(each, "base64"));
  const holds = index === `index ${place}` && includes(leafOf(event), place, sealed.size, proof, sealed.root);
  return holds ? [] : [[event.position, "root-mismatch"]];
}

function vectors(file) {
  const { entries, inclusion, consistency } = JSON.parse(readFileSync(file, "utf8"));
  const [tree, roots] = [new Frontier(), []];
  for (const entry of entries) {
    tree.append(leafHash(Buffer.from(entry, "hex")));
    roots.push(tree.root());
  }
  const buffers = (hashes) => hashes.map(hex);
  return {
    roots: roots.map((root) => root.toString("hex")),
    inclusion: inclusion.map(([index, size, proof]) =>
      includes(leafHash(Buffer.from(entries[index], "hex")), BigInt(index), BigInt(size), buffers(proof), roots[size - 1]),
    ),
    consistency: consistency.map(([old, size, proof]) =>
      continues(BigInt(old), roots[old - 1], BigInt(size), roots[size - 1], buffers(proof)),
    ),
  };
}

const [what, file, ...known] = process.argv.slice(2);
try {
  if (what === "vectors") console.log(JSON.stringify(vectors(file)));
  else {
    const check = { receipt: checkReceipt, row: checkRow }[what] ?? checkBundle;
    const findings = await check(file, known);
    console.log(JSON.stringify(findings));
    process.exitCode = findings.length > 0 ? 1 : 0;
  }
} catch (error) {
  console.log(`${error.constructor.name}: ${error.message}`);
  const codes = [[Incomplete, 3], [Untrusted, 4], [Malformed, 64]];
  process.exitCode = codes.find(([kind]) => error instanceof kind)?.[1] ?? 1;
}
