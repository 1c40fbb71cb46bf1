/** The version of this package, which is that of the binary. */
export const VERSION = "0.1.0";
