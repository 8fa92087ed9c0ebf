// A probe of DNS records: checks the records of a name at one DNS server. The contract in ../wit has the exports of a
// probe, and all interfaces that it can import.

import { Span, setData } from 'sentrynet:probe/span@0.1.1';
import { Connection, ConnectionError } from './connection.js';
import { Malformed, RCODES, TYPES, canonicalValue, decodeResponse, encodeQuery, labels } from './message.js';

// A constant message id: over TCP no other host can inject a response.
const ID = 1;

const seconds = (description) => ({ type: 'integer', minimum: 0, maximum: 0x7fffffff, description });

// The JSON Schema of the settings. The host validates them with it, and shows its descriptions to operators.
const SETTINGS = {
  type: 'object',
  properties: {
    server: { type: 'string', minLength: 1, description: 'The DNS server to query: a name or an address.' },
    port: { type: 'integer', minimum: 1, maximum: 65535, default: 53, description: 'The TCP port; 53 unless given.' },
    name: {
      type: 'string',
      minLength: 1,
      description: 'The name to query; an internationalised one in its form `xn--…`.',
    },
    type: { enum: Object.keys(TYPES).sort(), default: 'A', description: 'The type of the records; A unless given.' },
    values: {
      type: 'array',
      items: { type: 'string' },
      description: 'All expected records, in any order, as zone files have them, such as `10 mail.shop.example`, '
        + 'but TXT without quotes; `[]` if there must be none. Unless given, any record is accepted.',
    },
    contains: {
      type: 'array',
      items: { type: 'string' },
      minItems: 1,
      description: 'Records that must be among those of the name.',
    },
    min_ttl: seconds('The least TTL that the records may have, in seconds.'),
    max_ttl: seconds('The greatest TTL that the records may have, in seconds.'),
    rcode: { enum: RCODES, default: 'NOERROR', description: 'The expected response code; NOERROR unless given.' },
    authoritative: {
      type: 'boolean',
      description: 'True if the response must be authoritative, false if it must not be.',
    },
    timeout: {
      type: 'number',
      exclusiveMinimum: 0,
      maximum: 3600,
      default: 5,
      description: 'Seconds for the whole run, 3,600 at most; 5 unless given.',
    },
  },
  required: ['server', 'name'],
  additionalProperties: false,
};

export const prober = {
  describe() {
    return {
      name: 'dns',
      version: '0.1.0',
      summary: 'Checks that a name has the expected records',
      settingsSchema: JSON.stringify(SETTINGS),
    };
  },

  // Checks what the schema cannot express. Returns the title of a probe without one.
  check(settings) {
    const { name, type = 'A', server, min_ttl, max_ttl, ...all } = JSON.parse(settings);
    const problems = [];
    if (!labels(name)) problems.push({ pointer: '/name', message: `\`${name}\` is no DNS name` });
    for (const key of ['values', 'contains']) {
      (all[key] ?? []).forEach((value, index) => {
        const message = `\`${value}\` is no record of type ${type}: expected one such as \`${EXAMPLES[type]}\``;
        if (canonicalValue(type, value) === undefined) problems.push({ pointer: `/${key}/${index}`, message });
      });
    }
    if (min_ttl > max_ttl) problems.push({ pointer: '/min_ttl', message: '`min_ttl` is greater than `max_ttl`' });
    if (problems.length > 0) throw problems;
    return `${type} of ${name} at ${server}`;
  },

  run(settings) {
    const { server, port = 53, name, type = 'A', timeout = 5, ...expected } = JSON.parse(settings);
    const query = encodeQuery(ID, name, type);
    const received = runStep('dns.query', `${type} ${name}`, () => sendQuery(server, port, query, timeout));
    const found = runStep('dns.parse', `Read ${received.length} bytes`, () => decodeResponse(received, ID, name, type));
    runStep('dns.check', 'Check the response', () => checkResponse(found, name, type, expected));
  },
};

const EXAMPLES = {
  A: '192.0.2.7',
  AAAA: '2001:db8::7',
  CAA: '0 issue "letsencrypt.org"',
  CNAME: 'shop.example',
  MX: '10 mail.shop.example',
  NS: 'ns1.shop.example',
  SOA: 'ns1.shop.example hostmaster.shop.example 2026010200 3600 600 604800 300',
  TXT: 'v=spf1 -all',
};

// Sends a query and returns the response. Over TCP, each message is preceded by its length.
function sendQuery(server, port, message, timeout) {
  const connection = new Connection(server, port, timeout);
  connection.write(Uint8Array.from([message.length >> 8, message.length & 255, ...message]));
  const [high, low] = connection.read(2);
  return connection.read(high * 256 + low);
}

function checkResponse({ rcode, authoritative, records }, name, type, expected) {
  const mismatches = [];
  const check = (holds, subject, expected, actual) => {
    if (!holds) mismatches.push({ subject, expected: String(expected), actual: String(actual) });
  };
  setData('dns.rcode', { tag: 'text', val: rcode });
  setData('dns.authoritative', { tag: 'boolean', val: authoritative });
  check(rcode === (expected.rcode ?? 'NOERROR'), 'rcode', expected.rcode ?? 'NOERROR', rcode);
  // With an unexpected code, the records are not compared.
  if (mismatches.length === 0) {
    const found = recordsOf(records, name, type);
    const values = found.map((record) => record.value).sort();
    setData('dns.answers', { tag: 'text', val: formatList(values) });
    const wanted = (key) => expected[key]?.map((value) => canonicalValue(type, value)).sort();
    const [exactly, among] = [wanted('values'), wanted('contains')];
    if (exactly) check(exactly.join('\n') === values.join('\n'), type, formatList(exactly), formatList(values));
    if (among) {
      check(among.every((value) => values.includes(value)), type, `with ${formatList(among)}`, formatList(values));
    }
    if (!exactly && !among && rcode === 'NOERROR') check(values.length > 0, type, 'any', formatList(values));
    const ttls = found.map((record) => record.ttl);
    if (ttls.length > 0) {
      const [least, most] = [Math.min(...ttls), Math.max(...ttls)];
      setData('dns.ttl', { tag: 'integer', val: least });
      check(!(least < expected.min_ttl), 'ttl', `at least ${expected.min_ttl}`, least);
      check(!(most > expected.max_ttl), 'ttl', `at most ${expected.max_ttl}`, most);
    }
  }
  const expectedAuthority = expected.authoritative ?? authoritative;
  check(expectedAuthority === authoritative, 'authoritative', expectedAuthority, authoritative);
  if (mismatches.length > 0) throw failed('answer', 'the response is not as expected', mismatches);
}

// Returns the records of a type that a name has, directly or through CNAME records.
function recordsOf(records, name, type) {
  let owner = labels(name).join('.');
  // The number of records bounds the steps, so that a loop of aliases ends.
  for (const _ of records) {
    const alias = type !== 'CNAME' && records.find((record) => record.owner === owner && record.type === 'CNAME');
    owner = alias ? alias.value : owner;
  }
  return records.filter((record) => record.owner === owner && record.type === type);
}

function formatList(values) {
  return values.join(', ') || 'none';
}

// Runs a part of the probe in a span of its own.
function runStep(op, description, work) {
  const span = new Span(op, description);
  try {
    return work();
  } catch (error) {
    span.setStatus(error.reason === 'timeout' ? 'deadline-exceeded' : 'internal-error');
    throw toTrouble(error);
  } finally {
    span[Symbol.dispose]();
  }
}

function toTrouble(error) {
  if (error instanceof Malformed) return failed('protocol', `the response is invalid: ${error.message}`);
  if (!(error instanceof Error)) return error;
  // Refusals of the host and errors of this code are no failures of the target.
  if (!(error instanceof ConnectionError)) return { tag: 'broken', val: `${error} ${error.stack}` };
  if (error.reason === 'denied') return { tag: 'broken', val: error.message };
  return failed(error.reason, error.message);
}

// Returns a failure of the target. Failures with the same `reason` are one Issue: it is one of a few words.
function failed(reason, message, mismatches = []) {
  return { tag: 'failed', val: { reason, message, mismatches } };
}
