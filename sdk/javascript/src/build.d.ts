/** The component cannot be built: the message says why, and what to do. */
export class BuildError extends Error {}

/** Builds a component of a module, given by its file or its folder, and returns where it is. */
export function build(
  app: string,
  options?: { output?: string; engine?: "quickjs" | "starlingmonkey"; timeout?: number; log?: (line: string) => void },
): Promise<string>;

export const TOOLS: Record<"quickjs" | "starlingmonkey", Record<string, string>>;
