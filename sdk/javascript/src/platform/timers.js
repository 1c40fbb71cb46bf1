// Timers, where the engine has none. Whoever names them imports them: the build injects this.

import { addTimer, clearTimer } from "./wait.js";

export const setTimeout = (callback, milliseconds, ...args) => addTimer(callback, milliseconds, args, false);
export const setInterval = (callback, milliseconds, ...args) => addTimer(callback, milliseconds, args, true);
export const clearTimeout = clearTimer;
export const clearInterval = clearTimer;
