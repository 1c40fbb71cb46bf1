// The build puts quickjs.js or starlingmonkey.js in the place of this.
export { serve, size } from "./starlingmonkey.js";
