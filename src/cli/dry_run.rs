//! `toolhost run --dry-run`: what would run, without running it.

use serde::Serialize;
use toolhost::limits::{Bound, Limits};
use toolhost::wire::json::ErrorDetail;
use toolhost::{Plan, Provider, ToolCall, ToolHost};

use super::grants::granted;
use super::{ANSWERED, ERROR_RESULT, Status, print_json};

/// One call: either what would serve it or why it would fail.
#[derive(Serialize)]
struct Planned<'a> {
    id: Option<&'a str>,
    name: &'a str,
    #[serde(flatten)]
    plan: Option<Served<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDetail>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Served<'a> {
    Plugin {
        plugin: &'a str,
        path: String,
        timeout: String,
        memory: String,
        granted: Vec<String>,
    },
    Server {
        server: &'a str,
        address: String,
        timeout: String,
        sandboxed: bool,
    },
    /// The host itself.
    Host { provider: &'a str },
}

impl<'a> From<Plan<'a>> for Served<'a> {
    fn from(plan: Plan<'a>) -> Self {
        let timeout = |limits: &Limits| humantime::format_duration(limits.timeout).to_string();
        match plan.by {
            Provider::Plugin(plugin) => Served::Plugin {
                plugin: &plugin.name,
                path: plugin.path.display().to_string(),
                timeout: timeout(&plugin.limits),
                memory: Bound::from(plugin.limits.memory).to_string(),
                granted: granted(&plugin.permissions),
            },
            Provider::Server(server) => Served::Server {
                server: &server.name,
                address: server.address(),
                timeout: timeout(&server.limits),
                sandboxed: false,
            },
            _ => Served::Host {
                provider: &plan.tool.plugin,
            },
        }
    }
}

pub(super) fn run(
    host: &ToolHost,
    calls: &[ToolCall],
    fail_on_error: bool,
) -> anyhow::Result<Status> {
    let planned: Vec<Planned> = calls
        .iter()
        .map(|call| {
            let (plan, error) = match host.plan(call) {
                Ok(plan) => (Some(plan.into()), None),
                Err(error) => (None, Some(ErrorDetail::from(&error))),
            };
            Planned {
                id: call.id.as_deref(),
                name: &call.name,
                plan,
                error,
            }
        })
        .collect();
    print_json(&planned)?;
    let fails = planned.iter().any(|planned| planned.error.is_some());
    Ok(match fails && fail_on_error {
        true => ERROR_RESULT,
        false => ANSWERED,
    })
}
