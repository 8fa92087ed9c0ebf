// A TCP connection over wasi:sockets: opened, written to and read from until a deadline. The host resolves names, asks
// what the operator allows, and writes the spans of it all.
// What an import answers with as an error is the `payload` of what it throws: a code is a text.

import { poll } from 'wasi:io/poll@0.2.12';
import { now, subscribeInstant } from 'wasi:clocks/monotonic-clock@0.2.12';
import { instanceNetwork } from 'wasi:sockets/instance-network@0.2.12';
import { resolveAddresses } from 'wasi:sockets/ip-name-lookup@0.2.12';
import { createTcpSocket } from 'wasi:sockets/tcp-create-socket@0.2.12';

// Why there is no connection, or no more of it: `reason` is `denied`, `dns`, `connect`, `timeout` or `closed`.
export class Lost extends Error {
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}

function refused(where) {
  return new Lost('denied', `${where} is not allowed: the run's log says what to add`);
}

export class Connection {
  #socket; #input; #output; #deadline;

  // To the first of the host's addresses that answers within so many seconds, which are for all that follows too.
  constructor(host, port, seconds) {
    this.#deadline = now() + Math.round(seconds * 1e9);
    const network = instanceNetwork();
    const unreached = [];
    for (const address of this.#resolve(network, host)) {
      const socket = createTcpSocket(address.tag);
      try {
        const more = address.tag === 'ipv6' ? { flowInfo: 0, scopeId: 0 } : {};
        socket.startConnect(network, { tag: address.tag, val: { port, address: address.val, ...more } });
        [this.#input, this.#output] = this.#finish(socket, () => socket.finishConnect(), 'connecting');
        this.#socket = socket;
        return;
      } catch (error) {
        if (error instanceof Lost) throw error;
        unreached.push(error.payload);
      }
    }
    // One that is refused by the host says more than one that nobody answers at.
    const why = unreached.includes('access-denied') ? 'access-denied' : unreached[0];
    if (why === 'access-denied') throw refused(`${host}:${port}`);
    throw new Lost('connect', `no connection to ${host}:${port}: ${String(why).replaceAll('-', ' ')}`);
  }

  write(bytes) {
    while (bytes.length > 0) {
      const room = this.#stream(() => this.#output.checkWrite());
      if (room === 0) this.#wait(this.#output, 'sending');
      const some = bytes.subarray(0, room);
      if (room > 0) this.#stream(() => this.#output.write(some));
      bytes = bytes.subarray(some.length);
    }
  }

  // Just so many bytes.
  read(count) {
    const bytes = new Uint8Array(count);
    for (let at = 0; at < count;) {
      const some = this.#stream(() => this.#input.read(count - at));
      if (some.length === 0) this.#wait(this.#input, 'waiting for the answer');
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
      for (let address; (address = this.#finish(stream, next, 'resolving the name'));) found.push(address);
    } catch (error) {
      if (error instanceof Lost) throw error;
      if (error.payload === 'access-denied') throw refused(host);
      throw new Lost('dns', `${host} does not resolve: ${String(error.payload).replaceAll('-', ' ')}`);
    }
    return found;
  }

  // What something comes to that does not come to it at once.
  #finish(pending, attempt, doing) {
    for (;;) {
      try {
        return attempt();
      } catch (error) {
        if (error.payload !== 'would-block') throw error;
      }
      this.#wait(pending, doing);
    }
  }

  #wait(pending, doing) {
    const [ready, late] = [pending.subscribe(), subscribeInstant(this.#deadline)];
    const over = poll([ready, late]).includes(1);
    ready[Symbol.dispose]();
    late[Symbol.dispose]();
    if (over) throw new Lost('timeout', `not done in time: the time was over while ${doing}`);
  }

  #stream(work) {
    try {
      return work();
    } catch (error) {
      const how = error.payload?.tag === 'closed' ? 'closed' : 'broke off';
      throw new Lost('closed', `the server ${how} the connection`);
    }
  }
}
