//! Describes a plugin's grants, and what it would be denied, one line each.

use toolhost::limits::Bound;
use toolhost::permissions::{Ambient, Permissions};

/// All grants; one line that says so if there are none.
pub(super) fn granted(permissions: &Permissions) -> Vec<String> {
    let mut grants = Vec::new();
    for grant in &permissions.files {
        let (guest, host) = (&grant.guest, grant.host.display());
        let vcs = match grant.allow_vcs {
            true => ", including version control",
            false => "",
        };
        let own = match (grant.is_per_client(), grant.create) {
            (false, _) => "",
            (true, false) => ", one per client",
            (true, true) => ", one per client, created on first use",
        };
        let mut what = format!("files {guest} ({host}), {}{vcs}{own}", grant.access);
        if let Some(most) = grant.max_disk {
            what += &format!(", at most {}", Bound::from(most));
        }
        if let Some(most) = grant.max_files {
            let files = if most == 1 { "file" } else { "files" };
            what += &format!(", at most {most} {files}");
        }
        grants.push(what);
    }
    let rules = permissions.http.iter();
    grants.extend(rules.map(|rule| format!("http {rule}")));
    let headers = permissions.http_headers.iter();
    grants.extend(headers.map(|header| format!("http-headers {header}")));
    let sockets = permissions.sockets.iter();
    grants.extend(sockets.map(|rule| format!("sockets {rule}")));
    grants.extend(permissions.env.keys().map(|name| format!("env {name}")));
    for (name, source) in &permissions.secrets {
        let only = match permissions.is_for_headers(name) {
            true => ", for headers only",
            false => "",
        };
        grants.push(format!("secret {name} (from {source}){only}"));
    }
    if !permissions.tools.is_empty() {
        let tools = permissions.tools.iter().map(ToString::to_string);
        grants.push(format!("tools {}", tools.collect::<Vec<_>>().join(" ")));
    }
    if grants.is_empty() {
        grants.push("nothing".to_owned());
    }
    grants
}

/// Permissions that a plugin can use and is not granted at all.
pub(super) fn denied(permissions: &Permissions, usable: &[&'static str]) -> Vec<&'static str> {
    let is_granted = |permission: &str| match permission {
        "files" => !permissions.files.is_empty(),
        "http" => !permissions.http.is_empty(),
        "sockets" => !permissions.sockets.is_empty(),
        "env" => !permissions.env.is_empty(),
        "tools" => !permissions.tools.is_empty(),
        "secrets" => {
            let mut names = permissions.secrets.keys();
            names.any(|name| !permissions.is_for_headers(name))
        }
        "clock" => permissions.clock == Ambient::Real,
        "random" => permissions.random == Ambient::Real,
        _ => false,
    };
    let usable = usable.iter().copied();
    let not_granted = usable.filter(|permission| !is_granted(permission));
    let said = not_granted.map(|permission| match permission {
        "env" => "env (most languages import it, whether or not a plugin reads it)",
        permission => permission,
    });
    said.collect()
}
