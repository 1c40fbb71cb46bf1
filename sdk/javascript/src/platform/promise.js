// ECMAScript promises on top of `loop.js`.

import { enqueue } from "./loop.js";

const PENDING = 0;
const FULFILLED = 1;
const REJECTED = 2;

export class Promise {
  #state = PENDING;
  #value;
  #reactions = [];

  constructor(executor) {
    if (typeof executor !== "function") throw new TypeError("Promise resolver is not a function");
    const { resolve, reject } = this.#functions();
    try {
      executor(resolve, reject);
    } catch (error) {
      reject(error);
    }
  }

  /** A pair that settles this once. */
  #functions() {
    let isDone = false;
    const once = (settle) => (value) => {
      if (isDone) return;
      isDone = true;
      settle(value);
    };
    return { resolve: once((value) => this.#resolve(value)), reject: once((reason) => this.#settle(REJECTED, reason)) };
  }

  #resolve(value) {
    if (value === this) return this.#settle(REJECTED, new TypeError("a promise cannot be resolved with itself"));
    if ((typeof value !== "object" || value === null) && typeof value !== "function")
      return this.#settle(FULFILLED, value);
    let then;
    try {
      then = value.then;
    } catch (error) {
      return this.#settle(REJECTED, error);
    }
    if (typeof then !== "function") return this.#settle(FULFILLED, value);
    enqueue(() => {
      const { resolve, reject } = this.#functions();
      try {
        then.call(value, resolve, reject);
      } catch (error) {
        reject(error);
      }
    });
  }

  #settle(state, value) {
    this.#state = state;
    this.#value = value;
    for (const reaction of this.#reactions) this.#react(reaction);
    this.#reactions = undefined;
  }

  #react({ onFulfilled, onRejected, resolve, reject }) {
    enqueue(() => {
      const handler = this.#state === FULFILLED ? onFulfilled : onRejected;
      if (typeof handler !== "function") return this.#state === FULFILLED ? resolve(this.#value) : reject(this.#value);
      try {
        resolve(handler(this.#value));
      } catch (error) {
        reject(error);
      }
    });
  }

  then(onFulfilled, onRejected) {
    const Species = this.constructor?.[Symbol.species] ?? Promise;
    return new Species((resolve, reject) => {
      const reaction = { onFulfilled, onRejected, resolve, reject };
      if (this.#state === PENDING) this.#reactions.push(reaction);
      else this.#react(reaction);
    });
  }

  catch(onRejected) {
    return this.then(undefined, onRejected);
  }

  finally(onFinally) {
    if (typeof onFinally !== "function") return this.then(onFinally, onFinally);
    const { constructor: Constructor } = this;
    return this.then(
      (value) => Constructor.resolve(onFinally()).then(() => value),
      (reason) =>
        Constructor.resolve(onFinally()).then(() => {
          throw reason;
        }),
    );
  }

  get [Symbol.toStringTag]() {
    return "Promise";
  }

  static get [Symbol.species]() {
    return this;
  }

  static resolve(value) {
    return value instanceof Promise && value.constructor === this ? value : new this((resolve) => resolve(value));
  }

  static reject(reason) {
    return new this((_, reject) => reject(reason));
  }

  static withResolvers() {
    let functions;
    const promise = new this((resolve, reject) => (functions = { resolve, reject }));
    return { promise, ...functions };
  }

  static try(run, ...args) {
    return new this((resolve) => resolve(run(...args)));
  }

  static all(values) {
    return this.#collect(values, (item, index, results, settle, reject) =>
      item.then((value) => settle((results[index] = value)), reject),
    );
  }

  static allSettled(values) {
    return this.#collect(values, (item, index, results, settle) =>
      item.then(
        (value) => settle((results[index] = { status: "fulfilled", value })),
        (reason) => settle((results[index] = { status: "rejected", reason })),
      ),
    );
  }

  static any(values) {
    return new this((resolve, reject) => {
      this.#collect(values, (item, index, errors, settle) =>
        item.then(resolve, (reason) => settle((errors[index] = reason))),
      ).then((errors) => reject(new AggregateError(errors, "All promises were rejected")), reject);
    });
  }

  static race(values) {
    return new this((resolve, reject) => {
      for (const value of values) this.resolve(value).then(resolve, reject);
    });
  }

  static #collect(values, follow) {
    return new this((resolve, reject) => {
      const results = [];
      let open = 1;
      const settle = () => {
        open -= 1;
        if (open === 0) resolve(results);
      };
      for (const value of values) {
        const index = results.push(undefined) - 1;
        open += 1;
        follow(this.resolve(value), index, results, settle, reject);
      }
      settle();
    });
  }
}
