// StarlingMonkey has promises, timers, fetch and the rest by itself: exports may be async.

export const serve = async (run, error) => {
  try {
    return await run();
  } catch (thrown) {
    throw error ? error(thrown) : thrown;
  }
};

export const size = (bytes) => (bytes === undefined ? undefined : BigInt(bytes));

export const u64 = (number) => BigInt(number);
