// Asks a service how it is: expects JSON in which `status` is `ok`, and `queue` no longer than the settings allow.
// The contract is in wit/: what a probe exports, and all that the host does for it.

import { Request } from 'sentrynet:probe/http@0.1.0';
import { write as log } from 'sentrynet:probe/log@0.1.0';
import { Span, setData } from 'sentrynet:probe/span@0.1.0';

// The host holds settings against this, and shows it to who writes them.
const SETTINGS = {
  type: 'object',
  properties: {
    url: { type: 'string', description: 'Where the service says how it is.' },
    max_queue: {
      type: 'integer',
      minimum: 0,
      default: 100,
      description: 'The longest queue that is still well; 100 unless given.',
    },
  },
  required: ['url'],
  additionalProperties: false,
};

export const prober = {
  describe() {
    return {
      name: 'json-health',
      version: '0.1.0',
      summary: 'Whether a service says that it is well',
      settingsSchema: JSON.stringify(SETTINGS),
    };
  },

  // What a schema cannot say. Answers with the title of a probe that is given none.
  check(settings) {
    const problem = (pointer, message) => [{ pointer, message }];
    return guarded((why) => problem('', why), () => {
      const { url } = JSON.parse(settings);
      try {
        Request.new('GET', url);
      } catch (error) {
        throw problem('/url', error.payload);
      }
      return `Health of ${url}`;
    });
  },

  run(settings) {
    guarded(broken, () => {
      const { url, max_queue = 100 } = JSON.parse(settings);
      const response = get(url);
      if (response.status() !== 200) {
        const message = `expected status 200, got ${response.status()}`;
        throw failed('status', message, [mismatch('status', 200, response.status())]);
      }
      const health = step('json.parse', 'Parse the answer', () => parse(response.body()));
      log('info', `status ${health.status}, queue ${health.queue}`);
      step('health.check', 'Check status and queue', () => hold(health, max_queue));
    });
  },
};

// An exception that nobody has thought of is a mistake in here: says which, and where.
function guarded(told, work) {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw told(`${error} ${error.stack}`.trim().replace(/\s+/g, ' '));
  }
}

function get(url) {
  let request;
  try {
    request = Request.new('GET', url);
    request.header('accept', 'application/json');
  } catch (error) {
    throw broken(error.payload);
  }
  try {
    return request.send();
  } catch (error) {
    // What the host refuses is not the target's fault; all else is, by the name of the phase.
    const { tag, val } = error.payload;
    throw tag === 'denied' ? broken(val) : failed(tag, val);
  }
}

function parse(body) {
  try {
    return JSON.parse(text(body)) ?? {};
  } catch (error) {
    throw failed('json', `the answer is not JSON: ${error.message}`);
  }
}

// QuickJS has no TextDecoder.
function text(bytes) {
  return decodeURIComponent(Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''));
}

function hold({ status, queue }, max_queue) {
  const wrong = [];
  if (status !== 'ok') wrong.push(mismatch('$.status', '"ok"', JSON.stringify(status)));
  if (Number.isFinite(queue)) setData('queue', { tag: 'number', val: queue });
  if (!(queue <= max_queue)) wrong.push(mismatch('$.queue', `at most ${max_queue}`, JSON.stringify(queue)));
  if (wrong.length > 0) throw failed('health', 'the service is not well', wrong);
}

// Does a part of the run as a span of its own.
function step(op, description, work) {
  const span = new Span(op, description);
  try {
    return work();
  } catch (error) {
    span.setStatus('internal-error');
    throw error;
  } finally {
    span[Symbol.dispose]();
  }
}

// The target is wrong. `reason` is one of few: outages are grouped by it.
function failed(reason, message, mismatches = []) {
  return { tag: 'failed', val: { reason, message, mismatches } };
}

// The probe could not do its work, though the target may be well.
function broken(why) {
  return { tag: 'broken', val: why };
}

function mismatch(subject, expected, actual = 'nothing') {
  return { subject, expected: String(expected), actual: String(actual) };
}
