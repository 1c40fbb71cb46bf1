// Round trips through the pipe from Node, beside the same calls inside the host.
//
//     node benches/clients/pipe.mjs target/release/toolhost target/guests/echo.wasm

import { Host } from "../../clients/typescript/dist/index.js";

const [binary, path] = process.argv.slice(2);
const ARGUMENTS = { text: "hello" };
const ROUNDS = 3;
const median = (numbers) => numbers.sort((one, other) => one - other)[numbers.length >> 1];

const host = await Host.open({ host: { "max-concurrency": 64 }, plugin: { echo: { path } } }, { binary });

async function together(calls, atOnce) {
  const begun = performance.now();
  const worker = async () => {
    for (let n = 0; n < calls / atOnce; n++) {
      await host.call("echo", ARGUMENTS);
    }
  };
  await Promise.all([...Array(atOnce)].map(worker));
  return calls / ((performance.now() - begun) / 1000);
}

await together(4000, 64);
let best = [Infinity, 0];
for (let round = 0; round < ROUNDS; round++) {
  const times = [];
  const inside = [];
  for (let n = 0; n < 2000; n++) {
    const begun = performance.now();
    const { usage } = await host.call("echo", ARGUMENTS);
    times.push((performance.now() - begun) * 1000);
    inside.push((usage.queueMs + usage.runMs) * 1000);
  }
  const found = [median(times), median(inside)];
  best = found[0] < best[0] ? found : best;
}
console.log(`one at a time: ${best[0].toFixed(1)} µs a call, ${best[1].toFixed(1)} µs of them in the host`);
for (const atOnce of [8, 64, 256]) {
  let rate = 0;
  for (let round = 0; round < ROUNDS; round++) {
    rate = Math.max(rate, await together(20000, atOnce));
  }
  console.log(`${atOnce} in flight: ${Math.round(rate).toLocaleString("en")} calls/s`);
}
await host.close();
