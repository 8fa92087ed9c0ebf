// Restricts listening and connecting to loopback. Node.js loads this file before a server (`--require`).
"use strict";
const net = require("node:net");

const LOOPBACK = ["127.0.0.1", "::1", "localhost"];
const { listen } = net.Server.prototype;
const { connect } = net.Socket.prototype;

net.Server.prototype.listen = function (portOrOptions, ...rest) {
  const port = typeof portOrOptions === "object" ? portOrOptions.port : Number(portOrOptions);
  return listen.call(this, { port, host: "127.0.0.1" }, rest.find((each) => typeof each === "function"));
};

net.Socket.prototype.connect = function (...args) {
  // Node.js passes its own normalised arguments as one list, options first.
  const [portOrOptions, host] = Array.isArray(args[0]) ? args[0] : args;
  const target = typeof portOrOptions === "object" ? portOrOptions.host : host;
  if (target === undefined || target === null || LOOPBACK.includes(target)) return connect.apply(this, args);
  process.nextTick(() => this.destroy(new Error(`${target} is not on this machine`)));
  return this;
};
