// The build puts quickjs.js or starlingmonkey.js in the place of this.
export { serve, size, u64 } from "./starlingmonkey.js";
