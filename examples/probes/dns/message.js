// DNS messages by RFC 1035: encodes a query, and decodes a response. Decoding invalid bytes throws `Malformed`.

export const TYPES = { A: 1, NS: 2, CNAME: 5, SOA: 6, MX: 15, TXT: 16, AAAA: 28, CAA: 257 };
export const RCODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];
const INTERNET = 1;
const MAX_NAME_BYTES = 255;

export class Malformed extends Error {}

// Returns the labels of a name, or undefined if it is invalid.
export function labels(name) {
  const parts = name.toLowerCase().replace(/\.$/, '').split('.');
  if (name === '.') return [];
  const well = parts.every((part) => /^[a-z0-9_*-]{1,63}$/.test(part));
  return well && parts.join('.').length + 2 <= MAX_NAME_BYTES ? parts : undefined;
}

// Encodes a query, with recursion desired, for all records of a type.
export function encodeQuery(id, name, type) {
  const bytes = [id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  for (const label of labels(name)) bytes.push(label.length, ...Array.from(label, (letter) => letter.charCodeAt(0)));
  bytes.push(0, TYPES[type] >> 8, TYPES[type] & 255, 0, INTERNET);
  return Uint8Array.from(bytes);
}

// Decodes a response. Returns its code, whether it is authoritative, and the records of its answer section.
export function decodeResponse(bytes, id, name, type) {
  const reader = new Reader(bytes);
  if (reader.u16() !== id) throw new Malformed('it is for another question');
  const flags = reader.u16();
  if (!(flags & 0x8000)) throw new Malformed('it is a query');
  const [questions, answers] = [reader.u16(), reader.u16()];
  reader.skip(4);
  const rcode = RCODES[flags & 15] ?? `RCODE${flags & 15}`;
  // An error response may leave out the question.
  if (questions > 1 || (questions === 0 && rcode === 'NOERROR')) throw new Malformed('it does not repeat the question');
  if (questions === 1) {
    const question = [reader.name(), reader.u16(), reader.u16()];
    const same = question[0] === labels(name).join('.') && question[1] === TYPES[type] && question[2] === INTERNET;
    if (!same) throw new Malformed(`it is for another question: ${question[0]}`);
  }
  const records = [];
  for (let i = 0; i < answers; i++) records.push(readRecord(reader));
  return { rcode, authoritative: Boolean(flags & 0x0400), records };
}

function readRecord(reader) {
  const owner = reader.name();
  const [type, inClass, ttl, length] = [reader.u16(), reader.u16(), reader.u32(), reader.u16()];
  const end = reader.at + length;
  if (end > reader.bytes.length) throw new Malformed('it ends within a record');
  // For a record of another class, `type` is undefined and the data are not decoded.
  const kind = inClass === INTERNET ? Object.keys(TYPES).find((name) => TYPES[name] === type) : undefined;
  const decode = DECODERS[kind];
  // A TTL has 31 bits; one with the highest bit set counts as 0 (RFC 2181).
  const found = { owner, type: kind, ttl: ttl > 0x7fffffff ? 0 : ttl, value: decode?.(reader, end) };
  if (decode && reader.at !== end) throw new Malformed('the data of a record do not have its declared length');
  reader.at = end;
  return found;
}

// Decoders of record data by type; each returns the text of a zone file.
const DECODERS = {
  A: (reader) => [...reader.take(4)].join('.'),
  AAAA: (reader) => compress(Array.from({ length: 8 }, () => reader.u16())),
  NS: (reader) => reader.name(),
  CNAME: (reader) => reader.name(),
  MX: (reader) => `${reader.u16()} ${reader.name()}`,
  SOA: (reader) => [reader.name(), reader.name(), ...Array.from({ length: 5 }, () => reader.u32())].join(' '),
  TXT: (reader, end) => {
    const parts = [];
    while (reader.at < end) parts.push(...reader.take(reader.u8()));
    return escapeText(parts);
  },
  CAA: (reader, end) => {
    const [flags, tag] = [reader.u8(), escapeText(reader.take(reader.u8()))];
    return `${flags} ${tag} "${escapeText(reader.take(Math.max(end - reader.at, 0)))}"`;
  },
};

// Returns the canonical text of a record value, so that configured and received values can be compared. Returns
// undefined for an invalid value.
export function canonicalValue(type, written) {
  const words = written.trim().split(/\s+/);
  const name = (word) => labels(word)?.join('.');
  const number = (word) => (/^\d{1,10}$/.test(word) ? String(Number(word)) : undefined);
  const all = (...parts) => (parts.includes(undefined) || parts.length !== words.length ? undefined : parts.join(' '));
  switch (type) {
    case 'A': return ipv4(written);
    case 'AAAA': return ipv6(written);
    case 'NS': case 'CNAME': return all(name(words[0]));
    case 'MX': return all(number(words[0]), name(words[1] ?? ''));
    case 'SOA': return all(name(words[0]), name(words[1] ?? ''), ...words.slice(2, 7).map(number));
    case 'CAA': {
      const [, flags, tag, value] = /^(\d{1,3})\s+([a-z0-9]+)\s+"?([^"]*)"?$/i.exec(written.trim()) ?? [];
      return tag && `${Number(flags)} ${tag.toLowerCase()} "${value}"`;
    }
    default: return written;
  }
}

function ipv4(written) {
  const parts = /^\d{1,3}(\.\d{1,3}){3}$/.test(written) ? written.split('.').map(Number) : [256];
  return parts.every((part) => part < 256) ? parts.join('.') : undefined;
}

function ipv6(written) {
  const [head, tail, more] = written.toLowerCase().split('::').map((part) => (part === '' ? [] : part.split(':')));
  const groups = [...head, ...(tail ?? [])];
  const missing = 8 - groups.length;
  const well = groups.every((group) => /^[0-9a-f]{1,4}$/.test(group)) && more === undefined;
  if (!well || (tail ? missing < 1 : missing !== 0)) return undefined;
  return compress([...head, ...Array(missing).fill('0'), ...(tail ?? [])].map((group) => parseInt(group, 16)));
}

// Formats an IPv6 address by RFC 5952: the first of the longest runs of zeros is compressed.
function compress(groups) {
  const hex = groups.map((group) => group.toString(16)).join(':');
  const runs = hex.match(/\b0(:0)+\b/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), '');
  if (!longest) return hex;
  const at = hex.split(':').findIndex((_, i, all) => `${all.slice(i).join(':')}:`.startsWith(`${longest}:`));
  const zeros = longest.split(':').length;
  const [before, after] = [groups.slice(0, at), groups.slice(at + zeros)];
  return [before, after].map((part) => part.map((group) => group.toString(16)).join(':')).join('::');
}

// Keeps printable ASCII, and escapes other bytes as `\DDD`, as in zone files.
function escapeText(bytes) {
  const shown = (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, '0')}`);
  return Array.from(bytes, shown).join('');
}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  take(count) {
    if (this.at + count > this.bytes.length) throw new Malformed('it ends too early');
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }

  skip(count) {
    this.take(count);
  }

  u8() {
    return this.take(1)[0];
  }

  u16() {
    const [high, low] = this.take(2);
    return high * 256 + low;
  }

  u32() {
    return this.u16() * 65536 + this.u16();
  }

  // Reads a name, and returns it in lower case. Each compression pointer must point before the part of the name that
  // contains it, so that the loop ends.
  name() {
    const parts = [];
    let [after, size, front] = [undefined, 1, this.at];
    for (;;) {
      const length = this.u8();
      if (length === 0) break;
      if (length < 64) {
        // A dot within a label is escaped.
        parts.push(escapeText(this.take(length)).toLowerCase().replaceAll('.', '\\.'));
        size += length + 1;
        if (size > MAX_NAME_BYTES) throw new Malformed('a name is longer than 255 bytes');
      } else if (length >= 192) {
        const target = (length - 192) * 256 + this.u8();
        after ??= this.at;
        if (target >= front) throw new Malformed('a name has a pointer that does not point backwards');
        front = this.at = target;
      } else {
        throw new Malformed('a name has a label of an unknown type');
      }
    }
    this.at = after ?? this.at;
    return parts.join('.');
  }
}
