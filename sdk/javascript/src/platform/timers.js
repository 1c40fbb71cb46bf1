// Timers for engines without them. The build injects these where they are used.

import { addTimer, clearTimer } from "./wait.js";

export const setTimeout = (callback, milliseconds, ...args) => addTimer(callback, milliseconds, args, false);
export const setInterval = (callback, milliseconds, ...args) => addTimer(callback, milliseconds, args, true);
export const clearTimeout = clearTimer;
export const clearInterval = clearTimer;
