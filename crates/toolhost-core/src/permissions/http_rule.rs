//! [`HttpRule`]: which HTTP requests a plugin may send.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;

use super::HostPattern;
use crate::error::InvalidValue;

/// Requests to `scheme://host[:port][/path]`, with all methods or some.
///
/// The host is a [`HostPattern`]. Without a port, only the scheme's default port matches. A path
/// matches itself and everything below it.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use toolhost::permissions::HttpRule;
/// use url::Url;
///
/// let rule: HttpRule = "https://*.example.com/v1".parse()?;
/// let rule = rule.with_methods(vec!["GET".to_owned()]);
/// assert!(rule.allows("GET", &Url::parse("https://api.example.com/v1/users")?));
/// assert!(!rule.allows("POST", &Url::parse("https://api.example.com/v1/users")?));
/// assert!(!rule.allows("GET", &Url::parse("https://example.com/v1")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRule {
    text: String,
    scheme: String,
    host: HostPattern,
    port: u16,
    has_port: bool,
    /// Without a trailing `/`.
    path: String,
    /// All methods if empty.
    methods: Vec<String>,
}

impl HttpRule {
    /// The same URLs, with these methods only.
    #[must_use]
    pub fn with_methods(mut self, methods: Vec<String>) -> Self {
        self.methods = methods;
        self
    }

    /// Whether a request may be sent. Methods are case-sensitive. `CONNECT` is never allowed, nor
    /// is `TRACE`, which makes a server echo the headers that the host adds.
    pub fn allows(&self, method: &str, url: &Url) -> bool {
        let path_fits = match url.path().strip_prefix(&self.path) {
            Some(_) if self.path.is_empty() => true,
            // Some servers decode a path before they resolve dot segments.
            Some(rest) => (rest.is_empty() || rest.starts_with('/')) && !leads_up(rest),
            None => false,
        };
        url.scheme() == self.scheme
            && url.port_or_known_default() == Some(self.port)
            && url.host_str().is_some_and(|host| self.host.matches(host))
            && path_fits
            && !is_never_granted(method)
            && (self.methods.is_empty() || self.methods.iter().any(|allowed| allowed == method))
    }

    /// Whether it allows everything that the other does.
    pub(crate) fn covers(&self, other: &HttpRule) -> bool {
        let below = other.path.strip_prefix(&self.path);
        let path_fits = below.is_some_and(|rest| {
            let is_below = rest.is_empty() || self.path.is_empty() || rest.starts_with('/');
            is_below && (self.path.is_empty() || !leads_up(rest))
        });
        let methods_fit = match (&self.methods[..], &other.methods[..]) {
            ([], _) => true,
            (_, []) => false,
            (own, others) => others.iter().all(|it| own.contains(it)),
        };
        self.scheme == other.scheme
            && self.port == other.port
            && self.host.covers(&other.host)
            && path_fits
            && methods_fit
    }

    /// Whether it names an address, or a host and its port, literally: only then may the address be
    /// non-public.
    pub fn is_literal(&self) -> bool {
        self.host.is_address() || (self.host.is_exact() && self.has_port)
    }

    /// The URL, without the methods.
    pub(crate) fn url(&self) -> &str {
        &self.text
    }

    pub(crate) fn takes_all_methods(&self) -> bool {
        self.methods.is_empty()
    }

    pub(super) fn host(&self) -> &HostPattern {
        &self.host
    }

    pub(super) fn is_plain(&self) -> bool {
        self.scheme == "http"
    }
}

pub(crate) fn is_never_granted(method: &str) -> bool {
    ["CONNECT", "TRACE", "TRACK"].contains(&method)
}

/// Whether some server could find a `..` in the path: after decoding once or repeatedly, after
/// replacing characters by similar ones of ASCII, after cutting at `;`, or without control
/// characters.
fn leads_up(path: &str) -> bool {
    let mut path = path.to_owned();
    for _ in 0..4 {
        let Ok(decoded) = percent_decode_str(&path).decode_utf8() else {
            return true;
        };
        let decoded: String = decoded.chars().map(in_ascii).collect();
        let mut parts = decoded.split(['/', '\\']);
        let is_up = |part: &str| matches!(part.split(';').next(), Some(".." | "\u{2025}"));
        if decoded.contains(char::is_control) || has_u_escape(&decoded) || parts.any(is_up) {
            return true;
        }
        if decoded == path {
            return false;
        }
        path = decoded;
    }
    true
}

/// The character of ASCII that compatibility normalization (NFKC), or a conversion to an old code
/// page, makes of another one that matters in a path.
fn in_ascii(c: char) -> char {
    match c {
        '\u{2024}' | '\u{3002}' | '\u{fe52}' | '\u{ff0e}' | '\u{ff61}' => '.',
        '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{ff0f}' => '/',
        '\u{2216}' | '\u{29f5}' | '\u{29f9}' | '\u{fe68}' | '\u{ff3c}' => '\\',
        '\u{fe54}' | '\u{ff1b}' => ';',
        '\u{fe6a}' | '\u{ff05}' => '%',
        c => c,
    }
}

/// Whether there is an escape such as `%u002e`, which some servers decode.
fn has_u_escape(path: &str) -> bool {
    let mut escapes = path.split('%').skip(1);
    escapes.any(|escape| {
        let digits = escape.strip_prefix(['u', 'U']).map(|it| it.bytes().take(4));
        digits
            .is_some_and(|mut digits| digits.len() == 4 && digits.all(|it| it.is_ascii_hexdigit()))
    })
}

impl fmt::Display for HttpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.methods[..] {
            [] => Ok(()),
            methods => write!(f, " ({})", methods.join(", ")),
        }
    }
}

impl FromStr for HttpRule {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        HttpRule::parse(text).map_err(InvalidValue::new)
    }
}

impl HttpRule {
    fn parse(text: &str) -> Result<Self, String> {
        let example = "for example \"https://api.example.com\" or \"https://*.example.com/v1\"";
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("`{text}` has no scheme; use {example}"));
        };
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err(format!(
                "`{text}` contains a space, a control character or a backslash"
            ));
        }
        if scheme != "http" && scheme != "https" {
            return Err(format!("`{scheme}` is not an HTTP scheme; use {example}"));
        }
        // The authority is parsed separately: a URL parser drops a default port, and knows no `*`.
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        if authority.is_empty() {
            return Err(format!("`{text}` has no host; use {example}"));
        }
        let without_star = authority.strip_prefix("*.").unwrap_or(authority);
        let url = Url::parse(&format!("{scheme}://{without_star}{after}"))
            .map_err(|error| format!("`{text}` is not a URL ({error}); use {example}"))?;
        if authority.contains('@') {
            return Err(
                "the URL contains a user name; use `http-headers` with a secret instead".to_owned(),
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "`{text}` has a query or fragment, but a rule ends with the path"
            ));
        }
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
        // In the spelling in which URLs are compared; the only star is the one that was written.
        let host = url.host_str().unwrap_or_default();
        if host.contains('*') {
            return Err(format!(
                "`*` can only replace whole leading labels, not as in `{authority}`; use {example}"
            ));
        }
        let star = if authority.starts_with("*.") {
            "*."
        } else {
            ""
        };
        Ok(HttpRule {
            text: text.to_owned(),
            scheme: scheme.to_owned(),
            host: format!("{star}{host}")
                .parse()
                .map_err(|error: InvalidValue| format!("{error}; use {example}"))?,
            port: url
                .port_or_known_default()
                .expect("http and https have one"),
            has_port,
            path: url.path().trim_end_matches('/').to_owned(),
            methods: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, url: &str) -> bool {
        let rule: HttpRule = rule.parse().unwrap();
        rule.allows("GET", &Url::parse(url).unwrap())
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
        assert!(!allows("https://e.com/v1", "https://e.com/v1/..%2fadmin"));
        assert!(!allows(
            "https://e.com/v1",
            "https://e.com/v1/%2e%2e%5cadmin"
        ));
        for path in [
            "..;/admin",
            "%252e%252e/admin",
            ".%00./admin",
            "%c0%ae%c0%ae/admin",
            "%u002e%u002e/admin",
            "..%u002fadmin",
            "%25u002e%25u002e/admin",
            "%U002E./admin",
            "%uff0e%uff0e/admin",
            "%ef%bc%8e%ef%bc%8e/admin",
            "\u{ff0e}\u{ff0e}/admin",
            "..\u{ff0f}admin",
            "..\u{2215}admin",
            "..%ef%bc%bcadmin",
            "\u{2024}\u{2024}/admin",
            "\u{2025}/admin",
            "\u{ff05}2e./admin",
            "..\u{ff1b}/admin",
        ] {
            let url = format!("https://e.com/v1/{path}");
            assert!(!allows("https://e.com/v1", &url), "{path}");
        }
        for path in [
            "\u{65e5}\u{672c}\u{3002}",
            "%user",
            "50%25up",
            "a\u{2026}",
            "\u{2025}a",
        ] {
            let url = format!("https://e.com/v1/{path}");
            assert!(allows("https://e.com/v1", &url), "{path}");
        }
        assert!(allows(
            "https://e.com/v1",
            "https://e.com/v1/a%2fb;c=%C3%A9%25"
        ));
        assert!(allows("https://e.com/v1", "https://e.com/v1/a..b"));
    }

    #[test]
    fn a_rule_covers_what_it_allows_all_of() {
        let rule = |text: &str| -> HttpRule {
            let (url, methods) = text.split_once(' ').unwrap_or((text, ""));
            let methods = methods.split_whitespace().map(str::to_owned);
            url.parse::<HttpRule>()
                .unwrap()
                .with_methods(methods.collect())
        };
        for (wide, narrow) in [
            ("https://a.com", "https://a.com"),
            ("https://a.com", "https://a.com:443/v1 GET"),
            ("https://a.com/", "https://a.com/v1"),
            ("https://*.a.com", "https://b.a.com"),
            ("https://*.a.com", "https://*.a.com"),
            ("https://*.a.com", "https://*.b.a.com"),
            ("https://a.com/v1", "https://a.com/v1/users/"),
            ("https://a.com GET HEAD", "https://a.com HEAD"),
        ] {
            assert!(rule(wide).covers(&rule(narrow)), "{wide}: {narrow}");
        }
        for (narrow, wide) in [
            ("https://a.com", "http://a.com"),
            ("https://a.com", "https://a.com:8443"),
            ("https://a.com", "https://b.a.com"),
            ("https://a.com", "https://*.a.com"),
            ("https://*.a.com", "https://a.com"),
            ("https://*.a.com", "https://ba.com"),
            ("https://*.b.a.com", "https://*.a.com"),
            ("https://a.com/v1", "https://a.com"),
            ("https://a.com/v1", "https://a.com/v10"),
            ("https://a.com/v1", "https://a.com/v1/..;/admin"),
            ("https://a.com GET", "https://a.com"),
            ("https://a.com GET", "https://a.com GET POST"),
        ] {
            assert!(!rule(narrow).covers(&rule(wide)), "{narrow}: {wide}");
        }
    }

    #[test]
    fn methods_are_compared_as_they_are() {
        let rule: HttpRule = "https://e.com".parse().unwrap();
        let rule = rule.with_methods(vec!["GET".to_owned(), "HEAD".to_owned()]);
        let url = Url::parse("https://e.com/").unwrap();
        assert!(rule.allows("HEAD", &url));
        assert!(!rule.allows("POST", &url));
        assert!(!rule.allows("get", &url));
    }

    #[test]
    fn an_address_or_a_host_with_its_port_is_literal() {
        for (rule, literal) in [
            ("http://127.0.0.1", true),
            ("http://[::1]:8080", true),
            ("http://[::1]", true),
            ("http://localhost:80", true),
            ("https://intranet.corp:443/x", true),
            ("https://intranet.corp", false),
            ("https://intranet.corp/a:1", false),
            ("https://*.intranet.corp:443", false),
        ] {
            let rule: HttpRule = rule.parse().unwrap();
            assert_eq!(rule.is_literal(), literal, "{rule}");
        }
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
            "https://@example.com",
            "https://%2a.example.com",
            "https://example.com /",
            "https://\t*.example.com",
            "https:///*.example.com",
            "https://example.com/?q",
        ] {
            assert!(text.parse::<HttpRule>().is_err(), "{text}");
        }
    }
}
