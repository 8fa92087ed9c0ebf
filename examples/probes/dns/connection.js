// A TCP connection over wasi:sockets with a deadline for all operations. The host resolves names, refuses addresses
// that the operator has not allowed, and records the spans of lookups and connections. An import's error result is
// thrown as an exception with the error code, a text, in its `payload`.

import { poll } from 'wasi:io/poll@0.2.12';
import { now, subscribeInstant } from 'wasi:clocks/monotonic-clock@0.2.12';
import { instanceNetwork } from 'wasi:sockets/instance-network@0.2.12';
import { resolveAddresses } from 'wasi:sockets/ip-name-lookup@0.2.12';
import { createTcpSocket } from 'wasi:sockets/tcp-create-socket@0.2.12';

// An error of the connection. `reason` is `denied`, `dns`, `connect`, `timeout` or `closed`.
export class ConnectionError extends Error {
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}

function deniedError(address) {
  return new ConnectionError('denied', `${address} is not allowed: the run's log says what to add`);
}

export class Connection {
  #socket; #input; #output; #deadline;

  // Connects to the first address of the host that accepts the connection. `seconds` is the time limit of all
  // operations together.
  constructor(host, port, seconds) {
    this.#deadline = now() + Math.round(seconds * 1e9);
    const network = instanceNetwork();
    const failures = [];
    for (const address of this.#resolve(network, host)) {
      const socket = createTcpSocket(address.tag);
      try {
        const more = address.tag === 'ipv6' ? { flowInfo: 0, scopeId: 0 } : {};
        socket.startConnect(network, { tag: address.tag, val: { port, address: address.val, ...more } });
        [this.#input, this.#output] = this.#retryUntilReady(socket, () => socket.finishConnect(), 'connecting');
        this.#socket = socket;
        return;
      } catch (error) {
        if (error instanceof ConnectionError) throw error;
        failures.push(error.payload);
      }
    }
    // If the host refuses one address, this is reported, whatever the errors of the other addresses.
    const why = failures.includes('access-denied') ? 'access-denied' : failures[0];
    if (why === 'access-denied') throw deniedError(`${host}:${port}`);
    throw new ConnectionError('connect', `no connection to ${host}:${port}: ${String(why).replaceAll('-', ' ')}`);
  }

  write(bytes) {
    while (bytes.length > 0) {
      const writable = this.#stream(() => this.#output.checkWrite());
      if (writable === 0) this.#wait(this.#output, 'sending');
      const some = bytes.subarray(0, writable);
      if (writable > 0) this.#stream(() => this.#output.write(some));
      bytes = bytes.subarray(some.length);
    }
  }

  // Reads exactly this many bytes.
  read(count) {
    const bytes = new Uint8Array(count);
    for (let at = 0; at < count;) {
      const some = this.#stream(() => this.#input.read(count - at));
      if (some.length === 0) this.#wait(this.#input, 'waiting for the response');
      bytes.set(some, at);
      at += some.length;
    }
    return bytes;
  }

  #resolve(network, host) {
    const found = [];
    try {
      const stream = resolveAddresses(network, host);
      const next = () => stream.resolveNextAddress();
      for (let address; (address = this.#retryUntilReady(stream, next, 'resolving the name'));) found.push(address);
    } catch (error) {
      if (error instanceof ConnectionError) throw error;
      if (error.payload === 'access-denied') throw deniedError(host);
      throw new ConnectionError('dns', `${host} does not resolve: ${String(error.payload).replaceAll('-', ' ')}`);
    }
    return found;
  }

  // Repeats `attempt` until it returns something else than `would-block`, and returns that.
  #retryUntilReady(pending, attempt, activity) {
    for (;;) {
      try {
        return attempt();
      } catch (error) {
        if (error.payload !== 'would-block') throw error;
      }
      this.#wait(pending, activity);
    }
  }

  #wait(pending, activity) {
    const [ready, late] = [pending.subscribe(), subscribeInstant(this.#deadline)];
    const timedOut = poll([ready, late]).includes(1);
    ready[Symbol.dispose]();
    late[Symbol.dispose]();
    if (timedOut) throw new ConnectionError('timeout', `timed out while ${activity}`);
  }

  #stream(work) {
    try {
      return work();
    } catch (error) {
      const how = error.payload?.tag === 'closed' ? 'closed' : 'aborted';
      throw new ConnectionError('closed', `the server ${how} the connection`);
    }
  }
}
