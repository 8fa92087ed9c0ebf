// Checks the health of a service: expects JSON in which `status` is `ok` and `queue` is at most `max_queue`.
// The WIT files in wit/ define what a probe exports, and what the host does for it.

import { Request } from 'sentrynet:probe/http@0.1.1';
import { write as log } from 'sentrynet:probe/log@0.1.1';
import { Span, setData } from 'sentrynet:probe/span@0.1.1';

// The JSON Schema of the settings. The host validates them with it, and shows its descriptions to operators.
const SETTINGS = {
  type: 'object',
  properties: {
    url: { type: 'string', description: 'The URL at which the service reports its health.' },
    max_queue: {
      type: 'integer',
      minimum: 0,
      default: 100,
      description: 'The longest queue that is still healthy; 100 unless given.',
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
      summary: 'Checks that a service reports good health',
      settingsSchema: JSON.stringify(SETTINGS),
    };
  },

  // Finds mistakes that the schema does not exclude. Returns the title of the run, if the configuration gives none.
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
      const health = step('json.parse', 'Parse the response', () => parse(response.body()));
      log('info', `status ${health.status}, queue ${health.queue}`);
      step('health.check', 'Check status and queue', () => checkHealth(health, max_queue));
    });
  },
};

// Runs `work`. An unexpected exception is a bug in this file: `report` makes an error from its message and stack.
function guarded(report, work) {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw report(`${error} ${error.stack}`.trim().replace(/\s+/g, ' '));
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
    // The error `denied` means that the host refuses the request, which is no failure of the target.
    const { tag, val } = error.payload;
    throw tag === 'denied' ? broken(val) : failed(tag, val);
  }
}

function parse(body) {
  try {
    return JSON.parse(text(body)) ?? {};
  } catch (error) {
    throw failed('json', `the response is not JSON: ${error.message}`);
  }
}

// Decodes UTF-8. QuickJS has no TextDecoder.
function text(bytes) {
  return decodeURIComponent(Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''));
}

function checkHealth({ status, queue }, max_queue) {
  const wrong = [];
  if (status !== 'ok') wrong.push(mismatch('$.status', '"ok"', JSON.stringify(status)));
  if (Number.isFinite(queue)) setData('queue', { tag: 'number', val: queue });
  if (!(queue <= max_queue)) wrong.push(mismatch('$.queue', `at most ${max_queue}`, JSON.stringify(queue)));
  if (wrong.length > 0) throw failed('health', 'the service is not well', wrong);
}

// Runs `work` in a span of its own.
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

// Returns the error for a failure of the target. `reason` is one of a few fixed words: failures with the same reason
// belong to the same Issue.
function failed(reason, message, mismatches = []) {
  return { tag: 'failed', val: { reason, message, mismatches } };
}

// Returns the error for a probe that could not do its work, while the target may be well.
function broken(why) {
  return { tag: 'broken', val: why };
}

function mismatch(subject, expected, actual = 'nothing') {
  return { subject, expected: String(expected), actual: String(actual) };
}
