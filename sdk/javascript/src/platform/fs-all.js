// `node:fs` in a component, with its promises: see `fs.js`.

import * as sync from "./fs.js";
import promises from "./fs-promises.js";

export * from "./fs.js";
export { promises };
export default { ...sync, promises };
