//! `toolhost check`: checks that calls will find everything they need.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::grants::{denied, granted};
use super::out::{Out, line, say};
use super::result::names;
use super::untrusted::look_alikes;
use super::{
    ANSWERED, CommandContext, FoundManifest, NOT_ALL_KNOWN, StartServers, Status, at,
    check_no_link, pin,
};
use toolhost::manifest::{
    AgentConfig, AuthConfig, Demand, McpConfig, Order, PluginConfig, lock_file,
};
use toolhost::permissions::{Access, FileGrant, HostFile, Purpose, SecretSource};
use toolhost::wire::{Format, LeftOut};
use toolhost::{NotStarted, Tool, ToolHost};

#[derive(clap::Args)]
pub(super) struct CheckOptions {
    /// Pin the tools of MCP servers, so that they are refused if they change
    #[arg(long)]
    pin: bool,

    #[command(flatten)]
    servers: StartServers,
}

pub(super) async fn run(
    mut options: CheckOptions,
    session: CommandContext,
) -> anyhow::Result<Status> {
    // They are pinned in their present state.
    options.servers.start_servers |= options.pin;
    // Nothing else is checked in its place.
    session.manifest_file()?;
    let (found, is_lowered) = options.servers.manifest_of(&session)?;
    if is_lowered {
        say!(
            "note: {} is not trusted: checking it with no more than the default limits (pass --manifest to use \
             its own)",
            found.manifest.file.display()
        );
    }
    let FoundManifest {
        mut manifest,
        untrusted,
        ..
    } = found;
    let file = manifest.file.clone();
    let mut own = manifest.host_files();
    let cache = session.code_cache.folders().into_iter();
    own.extend(cache.map(|it| HostFile::new(it, Purpose::CodeCache)));
    let agent = manifest.agent.clone();
    let serve = manifest.serve.clone();
    let pins = options.pin.then(|| pin::take(&mut manifest));
    if options.pin {
        session.check_written(&file)?;
        check_no_link(&lock_file(&file))?;
        manifest.check_way(&HostFile::new(lock_file(&file), Purpose::LockFile))?;
    }
    let host = session.survey(manifest, &options.servers).await?;
    let mut out = Out::stdout();
    if let Some(pins) = pins {
        pin::write(&mut out, &host, &pins, &file)?;
    }
    for loaded in host.plugins() {
        let plugin = loaded.config;
        line!(out, "{} ({})", plugin.name, plugin.path.display())?;
        line!(out, "  tools: {}", tools_of(&host, &plugin.name))?;
        line!(out, "  imports: {}", packages(loaded.imports))?;
        for grant in granted(&plugin.permissions) {
            line!(out, "  granted: {grant}")?;
        }
        for what in denied(&plugin.permissions, loaded.permissions) {
            line!(out, "  denied: {what}")?;
        }
        unenforced_lines(&mut out, &host, &plugin.name)?;
        for note in loaded.notes {
            line!(out, "  note: `{}` {}", note.tool, note.why)?;
        }
        if let Some(names) = unmarked_in_order(&host, plugin) {
            line!(
                out,
                "  runs in order, not marked read-only or destructive: {names}"
            )?;
        }
        for warning in plugin.permissions.warnings(&own) {
            line!(out, "  warning: {warning}")?;
        }
        for other in host.plugins().map(|other| other.config) {
            let clients = |grant: &FileGrant| {
                let others = &other.permissions.files;
                others.iter().any(|other| grant.has_folders_of(other))
            };
            for grant in plugin.permissions.files.iter().filter(|it| clients(it)) {
                line!(
                    out,
                    "  warning: {} contains the client folders of `plugin.{}`: one client's calls can reach \
                     every client's files",
                    grant.guest,
                    other.name
                )?;
            }
        }
        let templates = host.resource_templates_of(&plugin.name);
        for template in templates.filter(|it| it.takes_any_scheme()) {
            line!(
                out,
                "  warning: the resource template `{}` matches URIs of every scheme, including those of other \
                 plugins",
                template.uri_template
            )?;
        }
        secret_lines(&mut out, &plugin.permissions.secrets)?;
    }
    for server in host.servers() {
        line!(out, "{} ({})", server.name, server.address())?;
        let not_started = host.not_started().find(|(of, _)| of.name == server.name);
        let why = not_started.as_ref().and_then(|(_, it)| it.why.as_deref());
        match not_started.as_ref().map(|(_, it)| it.tools_from) {
            _ if why.is_some() => line!(
                out,
                "  tools: missing (optional, did not start): {}",
                why.unwrap_or_default()
            )?,
            None => line!(out, "  tools: {}", tools_of(&host, &server.name))?,
            Some(Some(when)) => line!(
                out,
                "  tools as of {}, not started: {}",
                at(when),
                tools_of(&host, &server.name)
            )?,
            Some(None) => line!(
                out,
                "  tools: unknown, not started: pass --start-servers to ask it"
            )?,
        }
        secret_lines(&mut out, &server.secrets)?;
        line!(
            out,
            "  warning: an MCP server is not sandboxed: it can do anything its own machine allows"
        )?;
        unenforced_lines(&mut out, &host, &server.name)?;
        for (_, left_out) in host.left_out().filter(|(of, _)| of.name == server.name) {
            let (tool, why) = (left_out.tool, left_out.why);
            line!(out, "  warning: tool {tool:?} {why}")?;
        }
    }
    let prompts: Vec<&str> = host.prompts().map(|prompt| &*prompt.name).collect();
    if !prompts.is_empty() {
        line!(out, "prompts: {}", prompts.join(", "))?;
    }
    let templates = host.resource_templates();
    let templates: Vec<&str> = templates.map(|it| &*it.uri_template).collect();
    if !templates.is_empty() {
        line!(out, "resource templates: {}", templates.join(", "))?;
    }
    left_out_lines(&mut out, &host)?;
    serve_lines(&mut out, &serve.auth, &host)?;
    for warning in serve.tool_warnings(host.tools()) {
        line!(out, "warning: {warning}")?;
    }
    if let Some(line) = agent_line(&agent) {
        line!(out, "{line}")?;
    }
    let plugins = host.plugins().count();
    let mut counts = vec![counted(plugins, "plugin")];
    match host.servers().count() {
        0 => {}
        servers => counts.push(counted(servers, "MCP server")),
    }
    counts.push(counted(host.tools().count(), "tool"));
    for Demand { what, .. } in &untrusted {
        line!(out, "not trusted: {what}")?;
        if let Some(note) = look_alikes(what) {
            line!(out, "  {note}")?;
        }
    }
    let (shown, counts) = (file.display(), counts.join(", "));
    let unknown = host.not_started().filter(|(_, it)| it.tools_from.is_none());
    let (failed, unasked): (Vec<_>, Vec<_>) = unknown.partition(|(_, it)| it.why.is_some());
    let named = |servers: Vec<(&McpConfig, NotStarted)>| {
        let names = servers.iter().map(|(it, _)| format!("mcp.{}", it.name));
        names.collect::<Vec<_>>().join(", ")
    };
    let status = match failed.is_empty() && unasked.is_empty() {
        true => ANSWERED,
        false => NOT_ALL_KNOWN,
    };
    let mut rest = String::new();
    if !failed.is_empty() {
        rest += &format!("; {} did not start", named(failed));
    }
    if !unasked.is_empty() {
        let ask = "are unknown: pass --start-servers to ask for them";
        rest += &format!("; the tools of {} {ask}", named(unasked));
    }
    match status {
        ANSWERED => line!(out, "{shown} is OK: {counts}")?,
        _ => line!(out, "{shown} is OK as far as known: {counts}{rest}")?,
    }
    if !untrusted.is_empty() {
        line!(
            out,
            "to allow what is not trusted, run `toolhost trust` or pass --manifest"
        )?;
    }
    Ok(status)
}

/// Secrets that calls would lack.
fn secret_lines(out: &mut Out, secrets: &BTreeMap<String, SecretSource>) -> io::Result<()> {
    for (name, source) in secrets {
        if let Some(problem) = source.problem() {
            line!(
                out,
                "  warning: the secret `{name}` is not available: {problem}"
            )?;
        }
    }
    Ok(())
}

/// Schema constraints of a plugin or server that are not enforced.
fn unenforced_lines(out: &mut Out, host: &ToolHost, plugin: &str) -> io::Result<()> {
    for (tool, why) in host.unenforced().filter(|(tool, _)| tool.plugin == plugin) {
        line!(out, "  warning: `{}` {why}", tool.name)?;
    }
    Ok(())
}

/// Clients of the server, and tools granted to them that do not exist.
fn serve_lines(out: &mut Out, auth: &AuthConfig, host: &ToolHost) -> io::Result<()> {
    if !auth.is_required() {
        return Ok(());
    }
    let tokens = auth.tokens.iter();
    let mut who: Vec<String> = tokens.clone().map(|token| token.name.clone()).collect();
    let oauth = auth.oauth.as_ref();
    who.extend(oauth.map(|oauth| format!("anyone with a token from {}", oauth.issuer.as_str())));
    line!(out, "serve: {}", who.join(", "))?;
    let of_tokens = tokens.filter_map(|token| {
        let key = format!("serve.auth.tokens.{}", token.name);
        Some((key, token.tools.as_ref()?))
    });
    let of_scopes = oauth
        .and_then(|oauth| oauth.scopes.as_ref())
        .into_iter()
        .flatten();
    let of_scopes =
        of_scopes.map(|(scope, tools)| (format!("serve.auth.oauth.scopes.{scope}"), tools));
    // An unknown server may offer it.
    let is_known = host.not_started().all(|(_, it)| it.tools_from.is_some());
    for (key, tools) in of_tokens.chain(of_scopes).filter(|_| is_known) {
        for tool in tools
            .iter()
            .filter(|tool| host.tools().all(|it| it.name != **tool))
        {
            line!(out, "  warning: `{key}` names an unknown tool: `{tool}`")?;
        }
    }
    Ok(())
}

/// The tools of a plugin whose calls run one at a time only because they are not marked.
fn unmarked_in_order(host: &ToolHost, plugin: &PluginConfig) -> Option<String> {
    let mut folders = plugin.permissions.files.iter();
    let may_write = folders.any(|grant| grant.access == Access::ReadWrite);
    if plugin.order != Order::Auto || !may_write {
        return None;
    }
    let tools = host.tools().filter(|tool| {
        let hints = &tool.annotations;
        tool.plugin == plugin.name && hints.read_only.is_none() && hints.destructive.is_none()
    });
    let names: Vec<&str> = tools.map(|tool| &*tool.name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// The tools that an API would refuse, together with every request that declares them.
fn left_out_lines(out: &mut Out, host: &ToolHost) -> io::Result<()> {
    let tools: Vec<&Tool> = host.tools().collect();
    let mut found: Vec<(LeftOut, Vec<&str>)> = Vec::new();
    for format in Format::ALL {
        for left_out in format.declare(&tools, &names(format, host)).left_out {
            match found.iter_mut().find(|(known, _)| *known == left_out) {
                Some((_, formats)) => formats.push(format.name()),
                None => found.push((left_out, vec![format.name()])),
            }
        }
    }
    for (LeftOut { tool, why, .. }, formats) in found {
        let formats = formats.join(", ");
        line!(out, "warning: `{tool}` is omitted for {formats}: it {why}")?;
    }
    Ok(())
}

/// The names of the tools of a plugin or server.
fn tools_of(host: &ToolHost, plugin: &str) -> String {
    let tools = host.tools().filter(|tool| tool.plugin == plugin);
    let names: Vec<&str> = tools.map(|tool| &*tool.name).collect();
    names.join(", ")
}

/// The agent's model, and its key.
fn agent_line(agent: &AgentConfig) -> Option<String> {
    let mut parts = vec![agent.provider?.to_string()];
    parts.extend(agent.model.iter().map(|model| format!("model {model}")));
    parts.extend(agent.base_url.iter().map(ToString::to_string));
    parts.extend(agent.key.iter().map(|key| format!("key from {key}")));
    Some(format!("agent: {}", parts.join(", ")))
}

/// The packages that a plugin imports; `inspect` shows the imports in full.
fn packages(imports: &[String]) -> String {
    let packages: BTreeSet<&str> = imports
        .iter()
        .map(|import| {
            import
                .split_once('/')
                .map_or(&**import, |(package, _)| package)
        })
        .collect();
    match packages.is_empty() {
        true => "nothing".to_owned(),
        false => Vec::from_iter(packages).join(", "),
    }
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
