// Loaded by Node.js before a server (`--require`): restricts listening and connecting to loopback.
"use strict";
const net = require("node:net");

const LOOPBACK = ["127.0.0.1", "::1", "localhost"];
const { listen } = net.Server.prototype;
const { connect } = net.Socket.prototype;

net.Server.prototype.listen = function (where, ...rest) {
  const port = typeof where === "object" ? where.port : Number(where);
  return listen.call(this, { port, host: "127.0.0.1" }, rest.find((each) => typeof each === "function"));
};

net.Socket.prototype.connect = function (...given) {
  // Node.js passes its own normalised arguments as one list, options first.
  const [where, host] = Array.isArray(given[0]) ? given[0] : given;
  const to = typeof where === "object" ? where.host : host;
  if (to === undefined || to === null || LOOPBACK.includes(to)) return connect.apply(this, given);
  process.nextTick(() => this.destroy(new Error(`${to} is not on this machine`)));
  return this;
};
