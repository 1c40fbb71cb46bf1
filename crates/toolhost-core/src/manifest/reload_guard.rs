//! What a reload must not lack. A manifest that is half written, or edited in haste, mostly lacks
//! something; if that is a restriction, a running server must not continue without it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{AllowedCallers, AuthConfig, Manifest, McpConfig, McpTransport, Order, PluginConfig};
use crate::input::QuestionKind;
use crate::limits::Limits;
use crate::permissions::{Access, Ambient, FileGrant, Permissions};

/// Finds the first restriction of `before` that `now` lacks because something was removed; `None`
/// if nothing is less restricted.
///
/// These count: clients that no longer need a token; a client or scope that may call tools it could
/// not, or some client all tools where none could; removed TLS, audit log or arguments in it, rate
/// limit or other bound of `[host]`, `[serve]`, a plugin or a server; a remaining plugin or server
/// that offers tools that were not listed, loses its digest, pins, prefix or a new name of a tool, sees a secret that was
/// for headers only, gets a clock or randomness, may send other methods, loses a folder's quota,
/// gets one folder for all clients, runs its calls out of order, loses its allowed callers, may ask
/// more kinds of questions, or is started without an argument, variable, folder or header; a tool
/// that no longer needs a client with tasks.
///
/// What is added or changed explicitly is the author's intent, and other removals only narrow.
pub fn lowers_guard(before: &Manifest, now: &Manifest) -> Option<String> {
    let mut lowered = Lowered {
        before,
        now,
        found: None,
    };
    lowered.auth(&before.serve.auth, &now.serve.auth);
    lowered.when(
        before.serve.tls.is_some() && now.serve.tls.is_none(),
        || "`serve.tls` was removed".to_owned(),
    );
    match (&before.audit, &now.audit) {
        (Some(_), None) => lowered.when(true, || "`audit` was removed".to_owned()),
        (Some(before), Some(now)) => {
            lowered.flag("audit.arguments", before.arguments, now.arguments)
        }
        (None, _) => {}
    }
    lowered.bounds("serve", &serve_bounds(before), &serve_bounds(now));
    lowered.bounds("host", &host_bounds(before), &host_bounds(now));
    let repairs = |manifest: &Manifest| !manifest.host.repair_arguments;
    lowered.flag("host.repair-arguments", repairs(before), repairs(now));
    let task_only = |manifest: &Manifest| !manifest.serve.task_only.is_empty();
    lowered.flag("serve.task-only", task_only(before), task_only(now));
    for after in &now.plugins {
        if let Some(plugin) = before.plugins.iter().find(|it| it.name == after.name) {
            lowered.plugin(plugin, after);
        }
    }
    for after in &now.mcp {
        if let Some(server) = before.mcp.iter().find(|it| it.name == after.name) {
            lowered.server(server, after);
        }
    }
    lowered.found
}

struct Lowered<'m> {
    before: &'m Manifest,
    now: &'m Manifest,
    found: Option<String>,
}

/// A key and its value, where a larger value restricts less. Unbounded is the maximum.
type GuardedBound = (&'static str, u128);

const UNBOUNDED: u128 = u128::MAX;

impl Lowered<'_> {
    fn when(&mut self, is_lower: bool, why: impl FnOnce() -> String) {
        if is_lower && self.found.is_none() {
            self.found = Some(why());
        }
    }

    /// Whether the key was removed.
    fn is_gone(&self, key: &str) -> bool {
        self.before.keys.contains(key) && !self.now.keys.contains(key)
    }

    /// Reports a restriction that was on and is off because its key was removed.
    fn flag(&mut self, key: &str, before: bool, now: bool) {
        let is_lower = before && !now && self.is_gone(key);
        self.when(is_lower, || format!("`{key}` was removed"));
    }

    fn bounds(&mut self, table: &str, before: &[GuardedBound], now: &[GuardedBound]) {
        for ((key, before), (_, now)) in before.iter().zip(now) {
            let key = format!("{table}.{key}");
            let is_lower = now > before && self.is_gone(&key);
            self.when(is_lower, || format!("the limit `{key}` was removed"));
        }
    }

    fn order(&mut self, table: &str, before: Order, now: Order) {
        let [before, now] = [before, now].map(|order| order == Order::InOrder);
        self.flag(&format!("{table}.order"), before, now);
    }

    fn callers(&mut self, table: &str, before: &AllowedCallers, now: &AllowedCallers) {
        self.when(now.lack(before), || {
            format!("`{table}.allowed-callers` was removed, or a tool's entry in it")
        });
    }

    fn auth(&mut self, before: &AuthConfig, now: &AuthConfig) {
        if !before.is_required() {
            return;
        }
        self.when(!now.is_required(), || {
            "`serve.auth` was removed: clients would need no token".to_owned()
        });
        for token in &now.tokens {
            let same =
                |it: &&super::TokenConfig| it.name == token.name || it.digest == token.digest;
            let mut known = before.tokens.iter().filter(same);
            let is_lower = token.tools.is_none() && known.any(|it| it.tools.is_some());
            self.when(is_lower, || {
                format!("`serve.auth.tokens.{}.tools` was removed", token.name)
            });
        }
        if let (Some(before), Some(now)) = (&before.oauth, &now.oauth) {
            let is_lower = before.scopes.is_some() && now.scopes.is_none();
            self.when(is_lower, || {
                "`serve.auth.oauth.scopes` was removed".to_owned()
            });
            let is_lower = before.jwks.is_some() && now.jwks.is_none();
            self.when(is_lower, || {
                "`serve.auth.oauth.jwks` was removed".to_owned()
            });
        }
        // A new token may be half of what is being written.
        self.when(!lets_call_all(before) && lets_call_all(now), || {
            "a client of `serve.auth` could call all tools, which no client could before".to_owned()
        });
    }

    fn plugin(&mut self, before: &PluginConfig, now: &PluginConfig) {
        let table = format!("plugin.{}", now.name);
        let gone = |key: &str| format!("`{table}.{key}` was removed");
        self.when(before.sha256.is_some() && now.sha256.is_none(), || {
            gone("sha256")
        });
        self.when(before.tools.is_some() && now.tools.is_none(), || {
            gone("tools")
        });
        self.when(!before.prefix.is_empty() && now.prefix.is_empty(), || {
            gone("prefix")
        });
        // A tool by its old name may be one that a token was not meant to call.
        let mut renamed = before.rename.keys();
        if let Some(old) = renamed.find(|old| !now.rename.contains_key(*old)) {
            self.when(true, || gone(&format!("rename.{old}")));
        }
        self.order(&table, before.order, now.order);
        self.callers(&table, &before.allowed_callers, &now.allowed_callers);
        self.permissions(&table, &before.permissions, &now.permissions);
        let bounds = |plugin: &PluginConfig| {
            let mut bounds = limit_bounds(&plugin.limits).to_vec();
            bounds.push(("max-concurrency", count(plugin.max_concurrency)));
            bounds
        };
        self.bounds(&table, &bounds(before), &bounds(now));
    }

    fn permissions(&mut self, plugin: &str, before: &Permissions, now: &Permissions) {
        for secret in now.secrets.keys() {
            let is_lower = before.is_for_headers(secret) && !now.is_for_headers(secret);
            self.when(is_lower, || {
                format!("`{plugin}` would see the secret `{secret}`, which was for headers only")
            });
        }
        for rule in now.http.iter().filter(|rule| rule.takes_all_methods()) {
            let mut same = before.http.iter().filter(|it| it.url() == rule.url());
            let had_methods =
                same.clone().next().is_some() && same.all(|it| !it.takes_all_methods());
            self.when(had_methods, || {
                format!("the methods of `{plugin}.permissions.http` {rule} were removed")
            });
        }
        for after in &now.files {
            let mut same = before.files.iter().filter(|it| it.guest == after.guest);
            let was_per_client = same.clone().any(FileGrant::is_per_client);
            self.when(was_per_client && !after.is_per_client(), || {
                let guest = &after.guest;
                format!("the `${{client}}` of `{plugin}.permissions.files` {guest} was removed: all clients \
                         would share the folder")
            });
            let Some(grant) = same.find(|it| it.host == after.host) else {
                continue;
            };
            if after.access == Access::ReadOnly {
                continue;
            }
            for (key, is_lower) in [
                (
                    "max-disk",
                    grant.max_disk.is_some() && after.max_disk.is_none(),
                ),
                (
                    "max-files",
                    grant.max_files.is_some() && after.max_files.is_none(),
                ),
            ] {
                self.when(is_lower, || {
                    let guest = &after.guest;
                    format!("the limit `{key}` of `{plugin}.permissions.files` {guest} was removed")
                });
            }
        }
        for (key, before, now) in [
            ("clock", before.clock, now.clock),
            ("random", before.random, now.random),
        ] {
            let is_lower = before == Ambient::None && now == Ambient::Real;
            let key = format!("{plugin}.permissions.{key}");
            let is_lower = is_lower && self.is_gone(&key);
            self.when(is_lower, || format!("`{key}` was removed"));
        }
    }

    fn server(&mut self, before: &McpConfig, now: &McpConfig) {
        let table = format!("mcp.{}", now.name);
        let gone = |key: &str| format!("`{table}.{key}` was removed");
        self.when(before.tools.is_some() && now.tools.is_none(), || {
            gone("tools")
        });
        self.when(before.pins.is_some() && now.pins.is_none(), || gone("pins"));
        self.order(&table, before.order, now.order);
        self.callers(&table, &before.allowed_callers, &now.allowed_callers);
        let [asked, asks] = [before.may_ask, now.may_ask];
        let mut kinds = [
            QuestionKind::Form,
            QuestionKind::Url,
            QuestionKind::Sampling,
            QuestionKind::Roots,
        ]
        .into_iter();
        let asks_more = kinds.any(|kind| asks.contains(kind) && !asked.contains(kind));
        let is_lower = asks_more && self.is_gone(&format!("{table}.may-ask"));
        self.when(is_lower, || gone("may-ask"));
        self.when(!before.prefix.is_empty() && now.prefix.is_empty(), || {
            gone("prefix")
        });
        match (&before.transport, &now.transport) {
            // The arguments decide what a command may do: a sandbox to start it in, a read-only
            // switch.
            (McpTransport::Command(before), McpTransport::Command(now)) => {
                let is_gone = !before.args.is_empty() && now.args.is_empty();
                self.when(is_gone, || gone("args"));
                let mut variables = before.env.keys();
                let variable = variables.find(|name| !now.env.contains_key(*name));
                self.when(variable.is_some(), || {
                    gone(&format!("env.{}", variable.expect("there is one")))
                });
                let is_lower = before.cwd != now.cwd && self.is_gone(&format!("{table}.cwd"));
                self.when(is_lower, || gone("cwd"));
            }
            (McpTransport::Url(before), McpTransport::Url(now)) => {
                let is_there = |name| now.headers.iter().any(|it| it.name() == name);
                let header = before.headers.iter().find(|it| !is_there(it.name()));
                self.when(header.is_some(), || {
                    format!(
                        "the header {} of `{table}` was removed",
                        header.expect("there is one").name()
                    )
                });
            }
            _ => {}
        }
        let bounds = |server: &McpConfig| {
            let mut bounds = limit_bounds(&server.limits).to_vec();
            bounds.extend([
                ("max-concurrency", count(server.max_concurrency)),
                ("start-timeout", server.start_timeout.as_nanos()),
                ("idle-timeout", time(server.idle_timeout)),
            ]);
            bounds
        };
        self.bounds(&table, &bounds(before), &bounds(now));
    }
}

/// Whether some client may call every tool.
fn lets_call_all(auth: &AuthConfig) -> bool {
    let by_token = auth.tokens.iter().any(|token| token.tools.is_none());
    let by_oauth = auth.oauth.as_ref().is_some_and(|it| it.scopes.is_none());
    by_token || by_oauth
}

fn time(bound: Option<Duration>) -> u128 {
    bound.map_or(UNBOUNDED, |bound| bound.as_nanos())
}

fn count(bound: Option<usize>) -> u128 {
    bound.map_or(UNBOUNDED, |bound| bound as u128)
}

fn serve_bounds(manifest: &Manifest) -> [GuardedBound; 15] {
    let serve = &manifest.serve;
    let a_second =
        |rate: Option<std::num::NonZeroU32>| rate.map_or(UNBOUNDED, |it| it.get().into());
    [
        ("max-body", serve.max_body.as_u64().into()),
        ("max-in-flight", serve.max_in_flight.as_u64().into()),
        ("max-unsent", serve.max_unsent.as_u64().into()),
        ("header-timeout", serve.header_timeout.as_nanos()),
        ("idle-timeout", serve.idle_timeout.as_nanos()),
        ("body-timeout", serve.body_timeout.as_nanos()),
        ("max-connections", serve.max_connections as u128),
        ("max-sessions", serve.max_sessions as u128),
        ("max-sessions-per-client", serve.sessions_of_one() as u128),
        ("ask-timeout", serve.ask_timeout.as_nanos()),
        ("session-timeout", serve.session_timeout.as_nanos()),
        ("max-result-chars", count(serve.max_result_chars)),
        ("rate-limit", a_second(serve.rate_limit)),
        (
            "rate-burst",
            a_second(serve.rate_burst.or(serve.rate_limit)),
        ),
        ("grace", serve.grace.as_nanos()),
    ]
}

fn host_bounds(manifest: &Manifest) -> Vec<GuardedBound> {
    let host = &manifest.host;
    let mut bounds = limit_bounds(&host.limits).to_vec();
    bounds.extend([
        ("max-concurrency", host.max_concurrency as u128),
        ("max-queue", count(host.max_queue)),
        ("max-queue-per-client", count(manifest.queue_of_one())),
        ("queue-timeout", time(host.queue_timeout)),
        ("order-timeout", host.order_timeout.as_nanos()),
        ("max-suspended", host.suspended() as u128),
        (
            "total-memory",
            host.total_memory.map_or(UNBOUNDED, |it| it.as_u64().into()),
        ),
    ]);
    bounds
}

fn limit_bounds(limits: &Limits) -> [GuardedBound; 18] {
    // Exhaustive, so that every new limit is added here.
    let Limits {
        timeout,
        cpu,
        memory,
        max_stack,
        max_resources,
        max_transfer: _,
        max_input,
        max_output,
        max_log,
        max_requests,
        max_open_requests,
        max_response,
        max_headers,
        max_tool_calls,
        max_parallel_calls,
        max_depth,
        max_component,
        max_compile,
    } = limits;
    [
        ("timeout", timeout.as_nanos()),
        ("cpu", time(*cpu)),
        ("memory", memory.as_u64().into()),
        ("max-stack", max_stack.as_u64().into()),
        ("max-resources", (*max_resources).into()),
        ("max-transfer", limits.transfer().as_u64().into()),
        ("max-input", max_input.as_u64().into()),
        ("max-output", max_output.as_u64().into()),
        ("max-log", max_log.as_u64().into()),
        ("max-requests", (*max_requests).into()),
        ("max-open-requests", (*max_open_requests).into()),
        ("max-response", max_response.as_u64().into()),
        ("max-headers", max_headers.as_u64().into()),
        ("max-tool-calls", (*max_tool_calls).into()),
        ("max-parallel-calls", (*max_parallel_calls).into()),
        ("max-depth", (*max_depth).into()),
        ("max-component", max_component.as_u64().into()),
        ("max-compile", max_compile.as_nanos()),
    ]
}

/// The keys of a document and its tables: `serve.auth.tokens.ci.tools`.
pub(super) fn keys_of(table: &toml::de::DeTable) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    collect(table, "", &mut keys);
    keys
}

fn collect(table: &toml::de::DeTable, path: &str, keys: &mut BTreeSet<String>) {
    for (key, value) in table {
        let key = match path {
            "" => key.get_ref().to_string(),
            path => format!("{path}.{}", key.get_ref()),
        };
        // Deeper keys restrict nothing, and the names would grow quadratically with the document.
        if let Some(inner) = value.get_ref().as_table()
            && key.matches('.').count() < 4
        {
            collect(inner, &key, keys);
        }
        keys.insert(key);
    }
}
