// The build substitutes quickjs.js or starlingmonkey.js.
export { serve, size, u64, waitForCallsWith } from "./starlingmonkey.js";
