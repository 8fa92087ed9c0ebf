// DNS messages as RFC 1035 has them: a question written, an answer read. Whatever bytes come, reading ends, with a
// `Malformed` where they make no sense.

export const TYPES = { A: 1, NS: 2, CNAME: 5, SOA: 6, MX: 15, TXT: 16, AAAA: 28, CAA: 257 };
export const RCODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];
const INTERNET = 1;
const LONGEST_NAME = 255;

export class Malformed extends Error {}

// The labels of a name that a person wrote; none where it cannot be one.
export function labels(name) {
  const parts = name.toLowerCase().replace(/\.$/, '').split('.');
  if (name === '.') return [];
  const well = parts.every((part) => /^[a-z0-9_*-]{1,63}$/.test(part));
  return well && parts.join('.').length + 2 <= LONGEST_NAME ? parts : undefined;
}

// A question for all records of a type that a name has, and for the server to look further if it does so.
export function question(id, name, type) {
  const bytes = [id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  for (const label of labels(name)) bytes.push(label.length, ...Array.from(label, (letter) => letter.charCodeAt(0)));
  bytes.push(0, TYPES[type] >> 8, TYPES[type] & 255, 0, INTERNET);
  return Uint8Array.from(bytes);
}

// What a server answers to a question: its code, whether it speaks for the zone, and the records of the answer.
export function answer(bytes, id, name, type) {
  const reader = new Reader(bytes);
  if (reader.u16() !== id) throw new Malformed('it is for another question');
  const flags = reader.u16();
  if (!(flags & 0x8000)) throw new Malformed('it is a question itself');
  const [questions, answers] = [reader.u16(), reader.u16()];
  reader.skip(4);
  const rcode = RCODES[flags & 15] ?? `RCODE${flags & 15}`;
  // Who does not understand a question need not repeat it.
  if (questions > 1 || (questions === 0 && rcode === 'NOERROR')) throw new Malformed('it repeats no question');
  if (questions === 1) {
    const asked = [reader.name(), reader.u16(), reader.u16()];
    const same = asked[0] === labels(name).join('.') && asked[1] === TYPES[type] && asked[2] === INTERNET;
    if (!same) throw new Malformed(`it is for another question: ${asked[0]}`);
  }
  const records = [];
  for (let i = 0; i < answers; i++) records.push(record(reader));
  return { rcode, authoritative: Boolean(flags & 0x0400), records };
}

function record(reader) {
  const owner = reader.name();
  const [type, inClass, ttl, length] = [reader.u16(), reader.u16(), reader.u32(), reader.u16()];
  const end = reader.at + length;
  if (end > reader.bytes.length) throw new Malformed('it ends within a record');
  // What is of another class is of no type that is looked for.
  const kind = inClass === INTERNET ? Object.keys(TYPES).find((name) => TYPES[name] === type) : undefined;
  const read = READ[kind];
  // A TTL has 31 bits; with the highest one set it is none (RFC 2181).
  const found = { owner, type: kind, ttl: ttl > 0x7fffffff ? 0 : ttl, value: read?.(reader, end) };
  if (read && reader.at !== end) throw new Malformed('a record is not as long as it says');
  reader.at = end;
  return found;
}

// How the records of a type are read, to the text that a person would write for one.
const READ = {
  A: (reader) => [...reader.take(4)].join('.'),
  AAAA: (reader) => shortest(Array.from({ length: 8 }, () => reader.u16())),
  NS: (reader) => reader.name(),
  CNAME: (reader) => reader.name(),
  MX: (reader) => `${reader.u16()} ${reader.name()}`,
  SOA: (reader) => [reader.name(), reader.name(), ...Array.from({ length: 5 }, () => reader.u32())].join(' '),
  TXT: (reader, end) => {
    const parts = [];
    while (reader.at < end) parts.push(...reader.take(reader.u8()));
    return text(parts);
  },
  CAA: (reader, end) => {
    const [flags, tag] = [reader.u8(), text(reader.take(reader.u8()))];
    return `${flags} ${tag} "${text(reader.take(Math.max(end - reader.at, 0)))}"`;
  },
};

// The text that stands for the value of a record in one way only: what a person wrote, as what is read.
export function canonical(type, written) {
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
  return shortest([...head, ...Array(missing).fill('0'), ...(tail ?? [])].map((group) => parseInt(group, 16)));
}

// As RFC 5952 has it: the first of the longest runs of zeros is left out.
function shortest(groups) {
  const hex = groups.map((group) => group.toString(16)).join(':');
  const runs = hex.match(/\b0(:0)+\b/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), '');
  if (!longest) return hex;
  const at = hex.split(':').findIndex((_, i, all) => `${all.slice(i).join(':')}:`.startsWith(`${longest}:`));
  const zeros = longest.split(':').length;
  const [before, after] = [groups.slice(0, at), groups.slice(at + zeros)];
  return [before, after].map((part) => part.map((group) => group.toString(16)).join(':')).join('::');
}

// Printable ASCII as it is; what else a server puts into a text as `\DDD`, as in zone files.
function text(bytes) {
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

  // A name, in lower case; a pointer in it leads further to the front each time, so that it comes to an end.
  name() {
    const parts = [];
    let [after, size, front] = [undefined, 1, this.at];
    for (;;) {
      const length = this.u8();
      if (length === 0) break;
      if (length < 64) {
        // A dot within a label is none between two.
        parts.push(text(this.take(length)).toLowerCase().replaceAll('.', '\\.'));
        size += length + 1;
        if (size > LONGEST_NAME) throw new Malformed('a name is longer than 255 bytes');
      } else if (length >= 192) {
        const target = (length - 192) * 256 + this.u8();
        after ??= this.at;
        if (target >= front) throw new Malformed('a name leads to itself');
        front = this.at = target;
      } else {
        throw new Malformed('a name has a label of no known kind');
      }
    }
    this.at = after ?? this.at;
    return parts.join('.');
  }
}
