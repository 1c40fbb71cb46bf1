// What a program has beside the language: `tools`, timers and `console`. It keeps what it needs of the
// language for itself, so that a program that changes a prototype harms only its own code.
((host) => {
  "use strict";
  const { start, timer, search, describe, names, print } = host;
  const { stringify } = JSON;
  const { fromEntries, defineProperty } = Object;
  const { from } = Array;
  const PromiseOf = Promise, ProxyOf = Proxy, MapOf = Map, SetOf = Set, ErrorOf = Error, text = String;
  const bind = (method) => Function.prototype.call.bind(method);
  const then = bind(Promise.prototype.then);
  const [get, set, has, remove] = ["get", "set", "has", "delete"].map((name) => bind(Map.prototype[name]));
  const join = bind(Array.prototype.join);
  const map = bind(Array.prototype.map);

  class ToolError extends Error {
    constructor(tool) {
      super("");
      this.tool = tool;
      this.code = "failed";
    }
  }
  defineProperty(ToolError.prototype, "name", { value: "ToolError" });
  const pending = new MapOf();

  // The number of what was started, or why it was not.
  const begun = (number, resolve, reject, error) => {
    if (typeof number === "number") set(pending, number, { resolve, reject, error });
    else fail(reject, error, number[0], number[1]);
  };
  const fail = (reject, error, code, message) => {
    error.code = code;
    defineProperty(error, "message", { value: message, configurable: true, writable: true });
    reject(error);
  };
  const callTool = (name, args) => {
    // It is made here for its stack, which names the line of the call.
    const error = new ToolError(name);
    return new PromiseOf((resolve, reject) => {
      begun(start(name, stringify(args === undefined || args === null ? {} : args) ?? "{}"), resolve, reject, error);
    });
  };

  // A tool may have the name of a function of `tools`: arguments of tools are an object.
  const orTool = (name, run) => (first, second) =>
    typeof first === "object" && first !== null ? callTool(name, first) : run(first, second);
  const own = {
    search: orTool("search", (words = "", limit = 10) =>
      new PromiseOf((resolve) => resolve(search(text(words), +limit)))),
    describe: orTool("describe", (name) => new PromiseOf((resolve, reject) => {
      const error = new ToolError(name), found = describe(text(name));
      if (typeof found === "string") resolve(found);
      else fail(reject, error, found[0], found[1]);
    })),
  };
  const functions = new MapOf();
  const tools = new ProxyOf({ __proto__: null }, {
    get: (_, name) => {
      // A promise is told from other objects by its `then`.
      if (typeof name !== "string" || name === "then") return undefined;
      if (name === "search" || name === "describe") return own[name];
      if (!has(functions, name)) set(functions, name, (args) => callTool(name, args));
      return get(functions, name);
    },
    has: (_, name) => typeof name === "string" && names().includes(name),
    ownKeys: () => names(),
    getOwnPropertyDescriptor: (_, name) => ({
      value: get(functions, name) ?? ((args) => callTool(name, args)),
      configurable: true,
      enumerable: true,
    }),
    set: () => false,
    defineProperty: () => false,
    deleteProperty: () => false,
    setPrototypeOf: () => false,
    preventExtensions: () => false,
  });

  const timers = new MapOf();
  let lastTimer = 0;
  const later = (run, milliseconds, repeats) => {
    const id = ++lastTimer;
    const wait = () => {
      const due = new PromiseOf((resolve, reject) => {
        const time = +milliseconds;
        begun(timer(time > 0 ? time : 0), resolve, reject, new ErrorOf("timer"));
      });
      then(due, () => {
        if (!has(timers, id)) return;
        if (repeats) wait(); else remove(timers, id);
        try { run(); } catch (error) { print("error", shown(error)); }
      }, (error) => print("error", shown(error)));
    };
    set(timers, id, true);
    wait();
    return id;
  };
  const clear = (id) => { remove(timers, id); };

  const plain = (_, value) => {
    if (typeof value === "bigint") return text(value);
    if (value instanceof MapOf) return fromEntries(value);
    if (value instanceof SetOf) return from(value);
    return value;
  };
  const shown = (value) => {
    if (typeof value === "string") return value;
    if (value instanceof ErrorOf) return `${value.name}: ${value.message}`;
    if (typeof value === "object" && value !== null) {
      try { return stringify(value, plain); } catch (error) { return text(error); }
    }
    return text(value);
  };
  const printing = (level) => (...values) => print(level, join(map(values, (value) => shown(value)), " "));
  const console = {
    log: printing("log"), info: printing("info"), debug: printing("debug"), trace: printing("debug"),
    warn: printing("warn"), error: printing("error"), table: printing("log"), dir: printing("log"),
    assert: (holds, ...values) => { if (!holds) printing("error")("assertion failed", ...values); },
  };

  const hidden = (name, value) => defineProperty(globalThis, name, { value, writable: true, configurable: true });
  hidden("console", console);
  hidden("ToolError", ToolError);
  hidden("setTimeout", (run, ms, ...args) => later(() => run(...args), ms, false));
  hidden("setInterval", (run, ms, ...args) => later(() => run(...args), ms, true));
  hidden("clearTimeout", clear);
  hidden("clearInterval", clear);
  hidden("sleep", (ms) => new PromiseOf((resolve) => later(resolve, ms, false)));
  defineProperty(globalThis, "tools", { value: tools, enumerable: true });

  return {
    settle: (number, isGood, value, message) => {
      const waiting = get(pending, number);
      if (waiting === undefined) return;
      remove(pending, number);
      if (isGood) waiting.resolve(value);
      else fail(waiting.reject, waiting.error, value, message);
    },
    json: (value) => stringify(value, plain) ?? "null",
  };
})
