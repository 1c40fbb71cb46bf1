//! Manifests that are made of the keys that there are.

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

/// A key, values that are right for it, and values that are wrong.
type Key = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const TOP: &[Key] = &[(
    "plugin-dir",
    &["'notes'", "'./notes/'"],
    &[
        "'nowhere'",
        "''",
        "'toolhost.toml'",
        "[]",
        "\"a\\u0000b\"",
        "7",
    ],
)];

const AUDIT: &[Key] = &[
    (
        "path",
        &["'audit.jsonl'", "'/tmp/a b.jsonl'"],
        &["1", "[]", "{}"],
    ),
    ("arguments", &["true", "false"], &["'true'", "1", "{}"]),
    (
        "on-error",
        &["'fail'", "'drop'"],
        &["'FAIL'", "''", "false"],
    ),
];

const AGENT: &[Key] = &[
    (
        "provider",
        &[
            "'openai-chat'",
            "'openai-responses'",
            "'anthropic'",
            "'gemini'",
        ],
        &["'openai'", "'json'", "'mcp'", "''", "1"],
    ),
    (
        "model",
        &["'m'", "''", "'a/b:c'"],
        &["1", "[]", "{}", "true"],
    ),
    (
        "base-url",
        &[
            "'http://127.0.0.1:8080/v1'",
            "'https://a.example'",
            "'http://[::1]'",
        ],
        &[
            "'a.example'",
            "'ftp://a'",
            "'https://u:p@a'",
            "'https://a?b'",
            "'https://a#b'",
            "''",
            "1",
            "\"\\u001b[2J\"",
        ],
    ),
    (
        "key",
        &["{ env = 'HOME' }", "{ file = 'key' }"],
        &[
            "'sk-1'",
            "{}",
            "{ env = 1 }",
            "{ env = 'A', file = 'b' }",
            "[]",
        ],
    ),
    ("system-prompt", &["''", "\"\\n\""], &["[]", "1"]),
    (
        "temperature",
        &["0", "1", "2.0", "0.5", "1e-3", "-0.0"],
        &["2.1", "-1", "nan", "inf", "'1'", "1e999"],
    ),
    (
        "max-tokens",
        &["1", "10_000_000"],
        &["0", "10_000_001", "-1", "1.5", "''"],
    ),
    (
        "max-iterations",
        &["1", "10_000"],
        &["0", "10_001", "'ten'", "99999999999999999999"],
    ),
    ("parallel", &["true", "false"], &["'no'", "0"]),
    (
        "tool-choice",
        &["'auto'", "'none'", "'required'", "'add'", "'é'"],
        &["true", "[]", "1"],
    ),
    (
        "max-result-chars",
        &["100", "9223372036854775807"],
        &["99", "0", "-1", "'1k'"],
    ),
    ("timeout", TIME.1, TIME.2),
    ("max-retries", &["0", "100"], &["101", "-1", "'1'", "1.0"]),
    (
        "request",
        &[
            "{}",
            "{ a = 1, b = [nan, 1e3], c = 1979-05-27, '' = { d = [{}] } }",
        ],
        &["[]", "'a'", "1"],
    ),
];

const COUNT: Key = (
    "",
    &["1", "7", "1_000", "0x10", "0o17", "0b11", "+5"],
    &[
        "-1",
        "1.0",
        "'1'",
        "99999999999999999999",
        "true",
        "[1]",
        "inf",
    ],
);
const MILLION: Key = ("", COUNT.1, &["0", "-1", "1000001", "1e3", "''"]);
const TIME: Key = (
    "",
    &["'1ns'", "'500ms'", "'30s'", "'1m 30s'", "'365days'", "'2h'"],
    &[
        "'0s'",
        "'366days'",
        "'30'",
        "30",
        "'-1s'",
        "'1e3s'",
        "''",
        "'99999999999999999999s'",
        "'é'",
    ],
);
const SIZE: Key = (
    "",
    &[
        "'1B'", "'64KiB'", "'1MiB'", "'1GB'", "'4GiB'", "'1.5MiB'", "'2 mib'", "'123'",
    ],
    &[
        "'0B'",
        "'5EiB'",
        "64",
        "'-1B'",
        "'1XB'",
        "''",
        "'1e9'",
        "'.'",
        "'9999999999999999999999EB'",
        "'é'",
    ],
);

const HOST: &[Key] = &[
    (
        "max-concurrency",
        COUNT.1,
        &["0", "10001", "-1", "'1'", "1.5", "0xffffffffffffffff"],
    ),
    ("max-queue", &["0", "1", "9223372036854775807"], COUNT.2),
    ("queue-timeout", TIME.1, TIME.2),
    (
        "max-suspended",
        COUNT.1,
        &["0", "10001", "-1", "'1'", "1.5"],
    ),
    ("total-memory", SIZE.1, SIZE.2),
    ("summarize", &["true", "false"], &["'yes'", "1"]),
    ("summarize-items", COUNT.1, COUNT.2),
    ("summarize-chars", COUNT.1, COUNT.2),
];

const LIMITS: &[Key] = &[
    ("timeout", TIME.1, TIME.2),
    ("cpu", TIME.1, TIME.2),
    ("memory", SIZE.1, SIZE.2),
    (
        "max-stack",
        &["'64KiB'", "'1MiB'", "'16MiB'", "'100000'"],
        &["'63KiB'", "'17MiB'", "1"],
    ),
    ("max-resources", MILLION.1, MILLION.2),
    ("max-transfer", SIZE.1, SIZE.2),
    ("max-input", SIZE.1, SIZE.2),
    ("max-output", SIZE.1, SIZE.2),
    ("max-log", SIZE.1, SIZE.2),
    ("max-requests", MILLION.1, MILLION.2),
    ("max-open-requests", MILLION.1, MILLION.2),
    ("max-tool-calls", MILLION.1, MILLION.2),
    (
        "max-parallel-calls",
        &["1", "10000"],
        &["0", "10001", "'1'"],
    ),
    ("max-depth", &["1", "8"], &["0", "9", "'1'"]),
    ("max-response", SIZE.1, SIZE.2),
    ("max-headers", SIZE.1, SIZE.2),
    ("max-component", SIZE.1, SIZE.2),
    ("max-compile", TIME.1, TIME.2),
];

const PLUGIN: &[Key] = &[
    ("path", &["'x.wasm'", "'/y.wasm'", "''"], &["1", "['x']"]),
    (
        "sha256",
        &["'0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef'"],
        &[
            "''",
            "'0123'",
            "'é123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcde'",
            "1",
        ],
    ),
    ("max-concurrency", COUNT.1, &["0", "10001", "'1'"]),
    (
        "prefix",
        &["'web_'", "'A-1'"],
        &["''", "'é'", "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'", "1"],
    ),
    (
        "tools",
        &["[]", "['a', 'b']", "[\"\\u0007\"]"],
        &["'a'", "[1]", "[['a']]"],
    ),
    ("wit", &["'x.wit'", "'/y.wit'", "''"], &["1", "['x']"]),
    (
        "rename",
        &["{}", "{ a = 'b' }", "{ 'a:b/c@1.0.0#d' = 'A-1' }"],
        &["'a'", "{ a = 1 }", "{ a = '' }", "{ a = 'é' }", "[]"],
    ),
    (
        "describe",
        &["{}", "{ a = 'A.', 'a.b' = \"\\u0007\" }", "{ '' = '' }"],
        &["'a'", "{ a = 1 }", "{ a = { b = 'c' } }"],
    ),
    (
        "config",
        &[
            "{}",
            "{ a = 1, b = [nan, 1e3], c = 1979-05-27 }",
            "{ '' = '', d.e.f = -0.0, g = 0xff }",
        ],
        &["[]", "'a'", "1"],
    ),
];

const PERMISSIONS: &[Key] = &[
    (
        "tools",
        &["[]", "['calc*', 'fs_read']", "['*']"],
        &["'a'", "['']", "[1]", "['é']", "['a b']"],
    ),
    (
        "files",
        &[
            "[]",
            "[{ host = 'notes', guest = '/' }, { host = '.', guest = '/b', access = 'read-write' }]",
            "[{ host = 'notes/${client}', guest = '/c', create = true }]",
        ],
        &[
            "[{ host = 'notes/x-${client}/..', guest = '/' }, { host = 'notes', guest = '/b', create = true }]",
            "[{ host = 'notes', guest = '/' }, { host = 'notes', guest = '/' }]",
            "[{ host = 'nowhere', guest = '/a' }]",
            "[{ host = 'notes', guest = '/a/../b' }]",
            "[{ host = 'notes', guest = 'a', access = 'write' }]",
            "[{ guest = '/a', more = 1 }, {}, 1]",
            "{}",
        ],
    ),
    (
        "http",
        &[
            "[]",
            "['https://a.example', 'https://*.b.example/v1']",
            "[{ url = 'http://127.0.0.1:8080', methods = ['GET', 'HEAD'] }, { url = 'http://[::1]' }]",
        ],
        &[
            "'https://a.example'",
            "['a.example', 'ftp://a', 'https://', 'https://u@a', 'https://a?b', 'https://a:99999', 1]",
            "[{ url = 'https://a', methods = [] }, { methods = ['get', 'CONNECT', '', 1] }, {}]",
            "[\"https://a\\u001b[31m.example\", \"https://\\u0000\"]",
        ],
    ),
    (
        "sockets",
        &[
            "[]",
            "['db.example.com:5432', '[::1]:1', '127.0.0.1:65535']",
        ],
        &[
            "['a']",
            "['a:0', 'a:65536', '*.a:1', ':1', '::1:1', 1]",
            "'a:1'",
            "[\"\\u0007:1\"]",
        ],
    ),
    (
        "http-headers",
        &[
            "[]",
            "[{ host = 'a.example', name = 'Authorization', value = 'Bearer ${KEY}' }]",
            "[{ host = '*.a.example:8443', name = 'x-price', value = '$$5' }]",
        ],
        &[
            "[{ host = 'a', name = 'x', value = '${NONE}' }]",
            "[{ host = 'a', name = 'Host', value = '$' }, { host = '', name = 'x', value = '' }, 1]",
            "[{ host = 'a', name = \"x\\u0007\", value = '' }, { host = 'a', name = 'x', value = \"\\n\" }]",
            "[{ host = 'a:99999', name = 'x', value = '' }, {}]",
        ],
    ),
    (
        "env",
        &["{}", "{ TZ = 'UTC', '1 é' = \"\\n\" }"],
        &["{ '' = '' }", "{ 'a=b' = 'c' }", "{ a = 1 }", "[]"],
    ),
    (
        "secrets",
        &[
            "{ KEY = { env = 'HOME' } }",
            "{ KEY = { file = 'key' }, '' = { env = '' } }",
        ],
        &[
            "{ KEY = {} }",
            "{ KEY = { env = 'A', file = 'b' } }",
            "{ KEY = 'a' }",
            "{ KEY = { env = 1 } }",
            "[]",
        ],
    ),
    ("clock", &["'real'", "'none'"], &["'NONE'", "true"]),
    ("random", &["'real'", "'none'"], &["''", "0"]),
];

/// A manifest of known keys, each at most once, of which so many in a hundred are not right.
pub fn generated(wrong: u32) -> impl Strategy<Value = Vec<u8>> {
    let plugins = subsequence(vec!["a", "b-2", "C_", "fetch"], 0..=3).prop_flat_map(move |names| {
        let plugin = move |name: &'static str| {
            let keys = (keys(&[PLUGIN, LIMITS], wrong), keys(&[PERMISSIONS], wrong));
            keys.prop_map(move |(mut keys, mut permissions)| {
                if wrong == 0 {
                    // Keys that others ask for.
                    if !keys.contains("path = ") {
                        keys.push_str("path = 'z.wasm'\n");
                    }
                    if !permissions.contains("secrets = ") {
                        permissions.push_str("secrets.KEY.env = 'HOME'\n");
                    }
                }
                format!("[plugin.{name}]\n{keys}[plugin.{name}.permissions]\n{permissions}")
            })
        };
        names.into_iter().map(plugin).collect::<Vec<_>>()
    });
    let host = keys(&[HOST, LIMITS], wrong);
    let audit = (any::<bool>(), keys(&[AUDIT], wrong)).prop_map(move |(there, mut keys)| {
        if wrong == 0 && !keys.contains("path = ") {
            keys.push_str("path = 'audit'\n");
        }
        if there {
            format!("[audit]\n{keys}")
        } else {
            String::new()
        }
    });
    let agent = (any::<bool>(), keys(&[AGENT], wrong)).prop_map(|(there, keys)| match there {
        true => format!("[agent]\n{keys}"),
        false => String::new(),
    });
    let parts = (keys(&[TOP], wrong), host, audit, agent, plugins);
    parts.prop_map(|(top, host, audit, agent, plugins)| {
        format!("{top}[host]\n{host}{audit}{agent}{}", plugins.concat()).into_bytes()
    })
}

fn keys(tables: &[&'static [Key]], wrong: u32) -> impl Strategy<Value = String> + use<> {
    let all: Vec<&'static Key> = tables.iter().copied().flatten().collect();
    let most = all.len().min(6);
    subsequence(all, 0..=most).prop_flat_map(move |keys| {
        let line = move |&(key, right, not): &'static Key| {
            let key = key_of(key, wrong);
            let values = (any::<Index>(), any::<Index>(), 0..100u32);
            (key, values).prop_map(move |(key, (any_right, any_wrong, dice))| {
                let value = if dice < wrong {
                    any_wrong.get(not)
                } else {
                    any_right.get(right)
                };
                format!("{key} = {value}\n")
            })
        };
        let lines: Vec<_> = keys.into_iter().map(line).collect();
        lines.prop_map(|lines| lines.concat())
    })
}

/// The key, or where mistakes are made one that is none.
fn key_of(key: &'static str, wrong: u32) -> impl Strategy<Value = &'static str> {
    let strange = select(vec![
        "max-memory",
        "''",
        "\"\\u0007\"",
        "\"\\u001b[2J\"",
        "a.b",
        "'é'",
    ]);
    prop_oneof![
        1000 - wrong => Just(key),
        wrong.max(1) => strange.prop_map(move |strange| if wrong == 0 { key } else { strange }),
    ]
}
