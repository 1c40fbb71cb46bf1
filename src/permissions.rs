//! What a plugin may touch. Nothing is granted by omission: [`Permissions::default`] is nothing.
//!
//! Here is what a grant says; the sandbox holds guests to it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

/// Everything that a manifest grants one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Folders of this machine, and where the guest sees them.
    pub files: Vec<FileGrant>,
    /// Where it may send HTTP requests.
    pub http: Vec<HttpRule>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// Secrets it may ask for by name.
    pub secrets: BTreeMap<String, SecretSource>,
}

/// One folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileGrant {
    /// The folder on this machine.
    pub host: PathBuf,
    /// Its absolute path for the guest.
    pub guest: String,
    /// What may be done below it.
    pub access: Access,
}

/// What may be done below a [`FileGrant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// List and read.
    ReadOnly,
    /// List, read, write, create and remove.
    ReadWrite,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Access::ReadOnly => "read-only",
            Access::ReadWrite => "read-write",
        })
    }
}

/// Where a secret comes from; it is read when the plugin is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable of the host.
    Env(String),
    /// A file of the host; one line end at its end is not part of the secret.
    File(PathBuf),
}

/// A secret's value. It prints as `***`, so that no log or error shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(value: String) -> Self {
        Secret(value)
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A set of URLs: `scheme://host[:port][/path]`.
///
/// The host is exact, or `*.` and a domain, which stands for every subdomain of it but not for
/// the domain itself. Without a port it is the scheme's own port only. With a path it is that path
/// and what is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRule {
    text: String,
    scheme: String,
    /// Without the leading `*.`.
    host: String,
    subdomains: bool,
    port: u16,
    /// Without a `/` at its end.
    path: String,
}

impl HttpRule {
    /// Whether a request to `url` may be sent.
    pub fn allows(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        let host_fits = if self.subdomains {
            host.strip_suffix(&self.host)
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|subdomain| !subdomain.is_empty())
        } else {
            host == self.host
        };
        let path_fits = match url.path().strip_prefix(&self.path) {
            Some(rest) => self.path.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        };
        url.scheme() == self.scheme
            && url.port_or_known_default() == Some(self.port)
            && host_fits
            && path_fits
    }
}

impl fmt::Display for HttpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for HttpRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "for example \"https://api.example.com\" or \"https://*.example.com/v1\"";
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("`{text}` has no scheme: write {example}"));
        };
        if scheme != "http" && scheme != "https" {
            return Err(format!(
                "`{scheme}` is not a scheme for http: write {example}"
            ));
        }
        let subdomains = rest.starts_with("*.");
        let rest = rest.strip_prefix("*.").unwrap_or(rest);
        let url = Url::parse(&format!("{scheme}://{rest}"))
            .map_err(|error| format!("`{text}` is not a URL ({error}): write {example}"))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        if host.contains('*') {
            return Err(format!(
                "`*` may only stand for whole leading labels, as in \"https://*.example.com\", not as in `{text}`"
            ));
        }
        if subdomains && !matches!(url.host(), Some(url::Host::Domain(_))) {
            return Err(format!(
                "`{text}` has a `*.` before an address; it goes before a domain"
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!(
                "`{text}` has a user name in it; grant secrets instead"
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "`{text}` has a query or fragment; a rule ends with the path"
            ));
        }
        Ok(HttpRule {
            text: text.to_owned(),
            scheme: scheme.to_owned(),
            host,
            subdomains,
            port: url
                .port_or_known_default()
                .expect("http and https have one"),
            path: url.path().trim_end_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, url: &str) -> bool {
        let rule: HttpRule = rule.parse().unwrap();
        rule.allows(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_rule_is_exactly_as_wide_as_it_reads() {
        assert!(allows("https://example.com", "https://example.com/a?b=c"));
        assert!(allows("https://example.com", "https://EXAMPLE.com:443/"));
        assert!(!allows("https://example.com", "http://example.com/"));
        assert!(!allows("https://example.com", "https://example.com:8443/"));
        assert!(!allows("https://example.com", "https://www.example.com/"));
        assert!(!allows(
            "https://example.com",
            "https://example.com.evil.test/"
        ));
        assert!(!allows(
            "https://example.com",
            "https://example.com@evil.test/"
        ));
        assert!(allows("http://127.0.0.1:8080", "http://127.0.0.1:8080/x"));
    }

    #[test]
    fn a_star_stands_for_subdomains_and_not_for_the_domain() {
        assert!(allows("https://*.example.com", "https://a.b.example.com/"));
        assert!(!allows("https://*.example.com", "https://example.com/"));
        assert!(!allows("https://*.example.com", "https://badexample.com/"));
    }

    #[test]
    fn a_path_is_a_prefix_of_whole_segments() {
        assert!(allows("https://e.com/v1", "https://e.com/v1"));
        assert!(allows("https://e.com/v1/", "https://e.com/v1/users"));
        assert!(!allows("https://e.com/v1", "https://e.com/v10"));
        assert!(!allows("https://e.com/v1", "https://e.com/v1/../admin"));
        assert!(!allows("https://e.com/v1", "https://e.com/v1/%2e%2e/admin"));
    }

    #[test]
    fn a_rule_that_cannot_be_meant_is_refused() {
        for text in [
            "example.com",
            "ftp://example.com",
            "https://",
            "https://*",
            "https://a.*.com",
            "https://*.127.0.0.1",
            "https://user@example.com",
            "https://example.com/?q",
        ] {
            assert!(text.parse::<HttpRule>().is_err(), "{text}");
        }
    }
}
