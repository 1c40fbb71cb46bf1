// What must not compile: each line below `@ts-expect-error` is a mistake that TypeScript finds.

import { callTool, prompt, resource, tool } from "toolhost-plugin";
import { z } from "zod";

const n = { type: "object", properties: { n: { type: "integer" } } } as const;

// @ts-expect-error: the result is no number
tool({ name: "a", description: "", input: z.object({ a: z.string() }), output: z.object({ n: z.number() }), run: ({ a }) => ({ n: a }) });

// @ts-expect-error: a number has no length
tool({ name: "b", description: "", input: { ...n, required: ["n"] }, run: ({ n }) => n.length });

// @ts-expect-error: it may be left out
tool({ name: "c", description: "", input: n, run: ({ n }) => n + 1 });

// @ts-expect-error: there is no such variable
resource({ uri: "note://{day}", read: ({ month }) => month });

// @ts-expect-error: there is no such argument
prompt({ name: "d", arguments: { code: "The code." }, run: ({ text }) => text });

// @ts-expect-error: arguments are an object
callTool("e", 1);
