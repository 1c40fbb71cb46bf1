// Math.random for QuickJS, whose own is seeded when the component is built and would return the same numbers in every call.
// The build substitutes this where it is used.

import * as random from "wasi:random/random@0.2.12";

let state;

const rotate = (value, by) => (value << by) | (value >>> (32 - by));

/** xoshiro128**, by Blackman and Vigna. */
function next() {
  const result = Math.imul(rotate(Math.imul(state[1], 5), 7), 9) >>> 0;
  const shifted = state[1] << 9;
  state[2] ^= state[0];
  state[3] ^= state[1];
  state[1] ^= state[2];
  state[0] ^= state[3];
  state[2] ^= shifted;
  state[3] = rotate(state[3], 11);
  return result;
}

export function mathRandom() {
  state ??= new Uint32Array(Uint8Array.from(random.getRandomBytes(16)).buffer);
  return ((next() >>> 5) * 0x4000000 + (next() >>> 6)) / 2 ** 53;
}
