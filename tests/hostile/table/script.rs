//! Attacks by programs of a model, in the plugin that runs them.

use super::super::attack::{Attack, TIMEOUT, answer, attack, failed, limit};

const SCRIPT: &str = "path = '<script>'\npermissions.tools = ['calm_healthy']";
const QUICK: &str = "path = '<script>'\npermissions.tools = ['calm_healthy']\ntimeout = '300ms'";
const MANY: &str =
    "path = '<script>'\npermissions.tools = ['calm_healthy']\nmax-tool-calls = 1000000";

/// `<` stands for something else in the table, so programs are written without it.
const fn program(
    name: &'static str,
    arguments: &'static str,
    manifest: &'static str,
    end: super::super::attack::End,
) -> Attack {
    attack(name, "run_script", arguments, manifest, end)
}

pub const ATTACKS: &[Attack] = &[
    program(
        "script-pollutes-tools-by-object-prototype",
        r#"{"code": "Object.prototype.calm_healthy = () => 'mine'; Object.prototype.get = () => 'mine'; await tools.calm_healthy({ number: 7 })"}"#,
        SCRIPT,
        answer("49"),
    ),
    program(
        "script-pollutes-tools-by-its-own-prototype",
        r#"{"code": "const done = [Reflect.setPrototypeOf(tools, { other: 1 }), Reflect.set(tools, 'calm_healthy', 1), Reflect.defineProperty(tools, 'calm_healthy', { value: 1 }), Reflect.deleteProperty(tools, 'calm_healthy')]; done.push(await tools.calm_healthy({ number: 7 })); done"}"#,
        SCRIPT,
        answer("[false,false,false,false,\"49\"]"),
    ),
    program(
        "script-pollutes-what-the-prelude-uses",
        r#"{"code": "const types = [Map, Promise, Array, Function, Error, Object].map((it) => it.prototype), keys = types.map(Reflect.ownKeys); for (let t = 0; t !== 6; t++) for (let k = 0; k !== keys[t].length; k++) if (keys[t][k] !== 'constructor') try { types[t][keys[t][k]] = () => { throw 'mine' } } catch {}\nJSON.stringify = JSON.parse = () => 'mine'; const answer = await tools.calm_healthy({ number: 7 }); answer"}"#,
        SCRIPT,
        answer("49"),
    ),
    program(
        "script-waits-for-what-never-settles",
        r#"{"code": "await new Promise(() => {})"}"#,
        SCRIPT,
        failed("the script waits for a promise that nothing will settle…"),
    ),
    program(
        "script-makes-a-million-promises",
        r#"{"code": "(await Promise.all(Array.from({ length: 1e6 }, (_, n) => new Promise((resolve) => setTimeout(resolve, 1))))).length"}"#,
        SCRIPT,
        failed("…"),
    ),
    program(
        "script-makes-promises-without-end",
        r#"{"code": "for (;;) await null"}"#,
        QUICK,
        TIMEOUT,
    ),
    program(
        "script-starts-more-calls-than-it-may",
        r#"{"code": "(await Promise.all(Array.from({ length: 2000 }, () => tools.calm_healthy({ number: 7 })))).length"}"#,
        SCRIPT,
        failed("ToolError: calm_healthy failed (limit): tool call limit exceeded (256)…"),
    ),
    program(
        "script-starts-many-more-calls-than-it-may",
        r#"{"code": "(await Promise.all(Array.from({ length: 1e5 }, () => tools.calm_healthy({ number: 7 })))).length"}"#,
        SCRIPT,
        failed("…"),
    ),
    program(
        "script-starts-calls-without-end",
        r#"{"code": "for (;;) tools.calm_healthy({ number: 7 })"}"#,
        MANY,
        limit("memory limit exceeded (64 MiB)"),
    ),
    program(
        "script-starts-timers-without-end",
        r#"{"code": "for (;;) setTimeout(() => {}, 1e6)"}"#,
        SCRIPT,
        limit("memory limit exceeded (64 MiB)"),
    ),
    program(
        "script-calls-with-a-huge-argument",
        r#"{"code": "await tools.calm_healthy({ number: 7, more: 'x'.repeat(5e6) })"}"#,
        SCRIPT,
        failed("ToolError: calm_healthy failed (limit): argument size limit exceeded (…"),
    ),
    program(
        "script-returns-a-huge-value",
        r#"{"code": "'x'.repeat(1.5e7)"}"#,
        SCRIPT,
        failed("the value has 15000002 bytes as JSON…"),
    ),
    program(
        "script-prints-without-end",
        r#"{"code": "for (let n = 0; n != 1e5; n++) console.log('x'.repeat(100)); 1"}"#,
        SCRIPT,
        answer("1\nconsole:\n…more lines are left out)"),
    ),
    program(
        "script-of-ten-megabytes",
        r#"{"code": "<10-mb>"}"#,
        SCRIPT,
        limit("argument size limit exceeded (…"),
    ),
    program(
        "script-recurses",
        r#"{"code": "const f = () => f() + 1; f()"}"#,
        SCRIPT,
        limit("stack size limit exceeded (512 KiB)"),
    ),
    program(
        "script-recurses-in-data",
        r#"{"code": "let a = []; for (let n = 0; n != 1e5; n++) a = [a]; a"}"#,
        SCRIPT,
        limit("stack size limit exceeded (512 KiB)"),
    ),
    program(
        "script-recurses-in-arguments",
        r#"{"code": "let a = []; for (let n = 0; n != 1000; n++) a = [a]; await tools.calm_healthy({ number: a })"}"#,
        SCRIPT,
        failed("ToolError: calm_healthy failed (invalid-arguments): …"),
    ),
    program(
        "script-spins-in-eval",
        r#"{"code": "eval('for (;;);')"}"#,
        QUICK,
        TIMEOUT,
    ),
    program(
        "script-looks-for-more-by-eval",
        r#"{"code": "const all = new Function('return this')(); ['process', 'require', 'std', 'os', 'bjson', 'Worker', 'fetch'].filter((name) => name in all || (0, eval)('typeof ' + name) !== 'undefined')"}"#,
        SCRIPT,
        answer("[]"),
    ),
    program(
        "script-imports",
        r#"{"code": "Promise.allSettled(['std', 'os', 'fs', './script.js', '/etc/passwd', 'qjs:std'].map((name) => import(name))).then((all) => all.map((it) => it.status).join())"}"#,
        SCRIPT,
        answer("rejected,rejected,rejected,rejected,rejected,rejected"),
    ),
    program(
        "script-spins-in-a-regular-expression",
        r#"{"code": "/^(a+)+$/.test('a'.repeat(50) + 'b')"}"#,
        QUICK,
        TIMEOUT,
    ),
    program(
        "script-recurses-in-a-regular-expression",
        r#"{"code": "new RegExp('('.repeat(1e5) + ')'.repeat(1e5))"}"#,
        SCRIPT,
        failed("…"),
    ),
    program(
        "script-escapes-by-the-constructor-of-an-error",
        r#"{"code": "try { await tools.calm_healthy({}) } catch (error) { const F = error.constructor.constructor; return [typeof F('return typeof process')(), F('return this')() === globalThis, Object.keys(error)] }"}"#,
        SCRIPT,
        answer("[\"string\",true,[\"tool\",\"code\"]]"),
    ),
    program(
        "script-spins-in-the-stack-of-an-error",
        r#"{"code": "throw Object.defineProperty(new Error('a'), 'stack', { get() { for (;;); } })"}"#,
        QUICK,
        TIMEOUT,
    ),
    program(
        "script-spins-in-prepare-stack-trace",
        r#"{"code": "Error.prepareStackTrace = () => { for (;;); }; await tools.calm_healthy({})"}"#,
        QUICK,
        TIMEOUT,
    ),
    program(
        "script-throws-what-throws",
        r#"{"code": "throw new Proxy(new Error('a'), { get() { throw new Error('b') }, getPrototypeOf() { throw new Error('c') } })"}"#,
        SCRIPT,
        failed("…"),
    ),
    program(
        "script-throws-an-endless-message",
        r#"{"code": "throw new Error('x'.repeat(1.5e7))"}"#,
        SCRIPT,
        failed("…"),
    ),
    program(
        "script-answers-what-spins",
        r#"{"code": "({ toJSON() { for (;;); } })"}"#,
        QUICK,
        TIMEOUT,
    ),
    program(
        "script-answers-a-thenable-without-end",
        r#"{"code": "const again = { then(resolve) { resolve(again) } }; again"}"#,
        QUICK,
        TIMEOUT,
    ),
];
