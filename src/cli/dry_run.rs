//! `toolhost run --dry-run`: shows what would run, without running it.

use serde::Serialize;
use toolhost::limits::{Bound, Limits};
use toolhost::wire::json::ErrorDetail;
use toolhost::{CallError, Plan, Provider, Repair, ToolCall, ToolHost};

use super::grants::granted;
use super::out::print_json;
use super::{
    ANSWERED, CommandContext, ERROR_RESULT, HostOptions, StartServers, Status, warn_of_unasked,
};

/// One call: its provider, or why it would fail.
#[derive(Serialize)]
struct Planned<'a> {
    id: Option<&'a str>,
    name: &'a str,
    #[serde(flatten)]
    plan: Option<Served<'a>>,
    /// The repairs that would be made to its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repairs: Vec<Repair>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDetail>,
}

impl<'a> Planned<'a> {
    fn new(call: &'a ToolCall, plan: Result<Plan<'a>, CallError>) -> Self {
        let mut planned = Planned {
            id: call.id.as_deref(),
            name: &call.name,
            plan: None,
            repairs: Vec::new(),
            error: None,
        };
        match plan {
            Ok(mut plan) => {
                planned.repairs = std::mem::take(&mut plan.repairs);
                planned.plan = Some(plan.into());
            }
            Err(error) => planned.error = Some(ErrorDetail::from(&error)),
        }
        planned
    }
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

/// The host for examination, whether its manifest is trusted or not.
pub(super) async fn load(
    servers: &StartServers,
    options: &HostOptions,
    session: &CommandContext,
) -> anyhow::Result<ToolHost> {
    let mut manifest = servers.manifest_of(session)?.0.manifest;
    options.apply(&mut manifest);
    let host = session.survey(manifest, servers).await?;
    Ok(host)
}

pub(super) fn run(
    host: &ToolHost,
    calls: &[ToolCall],
    fail_on_error: bool,
) -> anyhow::Result<Status> {
    let unpacked: Vec<_> = calls.iter().map(|call| host.unpack(call)).collect();
    let mut planned = Vec::new();
    for (call, unpacked) in calls.iter().zip(&unpacked) {
        match unpacked {
            None => planned.push(Planned::new(call, host.plan(call))),
            Some(Err(error)) => planned.push(Planned::new(call, Err(error.clone()))),
            Some(Ok(unpacked)) => {
                let calls = unpacked.calls().iter();
                planned.extend(calls.map(|call| Planned::new(call, host.plan(call))));
            }
        }
    }
    let status = warn_of_unasked(host);
    print_json(&planned)?;
    let fails = planned.iter().any(|planned| planned.error.is_some());
    // An unknown tool may exist.
    Ok(match status == ANSWERED && fails && fail_on_error {
        true => ERROR_RESULT,
        false => status,
    })
}
