//! `[serve.auth]`: the tokens that clients may have, and who issues others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use sha2::{Digest, Sha256};
use url::Url;

use crate::digest::hex;
use crate::error::InvalidValue;
use crate::manifest::agent::is_in_the_clear;
use crate::manifest::is_name;
use crate::manifest::reader::{Source, Table, Value, expect_string, expect_table, mismatch};

/// Who may use the server.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct AuthConfig {
    /// Clients that have a token of their own.
    pub tokens: Vec<TokenConfig>,
    /// Who issues tokens to others.
    pub oauth: Option<OauthConfig>,
}

impl AuthConfig {
    /// Whether a client needs a token.
    pub fn is_required(&self) -> bool {
        !self.tokens.is_empty() || self.oauth.is_some()
    }

    /// Whether there is one client at most with a name.
    pub(crate) fn is_of_one(&self) -> bool {
        self.oauth.is_none() && self.tokens.len() <= 1
    }
}

/// `[serve.auth.tokens.NAME]`
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenConfig {
    /// Whose it is.
    pub name: String,
    /// What its token is recognized by.
    pub digest: TokenDigest,
    /// The tools that it may call; all when `None`.
    pub tools: Option<BTreeSet<String>>,
}

impl TokenConfig {
    /// A client that may call all tools.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use toolhost::manifest::{AuthConfig, ServeConfig, TokenConfig, TokenDigest};
    ///
    /// let mut auth = AuthConfig::default();
    /// auth.tokens = vec![TokenConfig::new("ci", TokenDigest::of("a secret of 256 bits"))];
    /// let config = ServeConfig::default().with_auth(auth);
    /// assert!(config.check_exposure("0.0.0.0:8080".parse()?).is_ok());
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn new(name: impl Into<String>, digest: TokenDigest) -> Self {
        TokenConfig {
            name: name.into(),
            digest,
            tools: None,
        }
    }
}

/// The SHA-256 digest of a token.
///
/// It needs no salt and no slow function: tokens are made by `toolhost token new` and have 256 bits
/// that nobody can guess.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest(#[doc(hidden)] pub [u8; 32]);

impl TokenDigest {
    /// That of a token.
    pub fn of(token: &str) -> TokenDigest {
        TokenDigest(Sha256::digest(token).into())
    }

    fn parse(text: &str) -> Option<TokenDigest> {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (byte, digits) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
            let [high, low] = digits else { return None };
            let nibble = |digit: &u8| char::from(*digit).to_digit(16);
            *byte = u8::try_from(nibble(high)? * 16 + nibble(low)?).ok()?;
        }
        Some(TokenDigest(digest))
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenDigest({self})")
    }
}

/// `[serve.auth.oauth]`
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OauthConfig {
    /// Who issues the tokens, spelled as their `iss`.
    pub issuer: Url,
    /// As the manifest spells it: `https://a.example` and `https://a.example/` are two issuers.
    #[doc(hidden)]
    pub issuer_text: String,
    /// What this server is, spelled as the tokens' `aud`.
    pub audience: Url,
    /// As the manifest spells it.
    #[doc(hidden)]
    pub audience_text: String,
    /// Where the issuer's keys are, if its metadata need not be asked.
    pub jwks: Option<Url>,
    /// The tools that each scope stands for; a token may call all when `None`.
    pub scopes: Option<BTreeMap<String, BTreeSet<String>>>,
}

impl OauthConfig {
    /// Who issues tokens, and what this server is, as the tokens' `iss` and `aud` spell it.
    ///
    /// # Errors
    ///
    /// One of the two is no URL to trust.
    pub fn new(issuer: &str, audience: &str) -> Result<OauthConfig, InvalidValue> {
        let read = |text| {
            let invalid = || InvalidValue::new(format!("{text} {TRUSTED_URL}"));
            trusted_url(text).ok_or_else(invalid)
        };
        Ok(OauthConfig {
            issuer: read(issuer)?,
            issuer_text: issuer.to_owned(),
            audience: read(audience)?,
            audience_text: audience.to_owned(),
            jwks: None,
            scopes: None,
        })
    }
}

const TRUSTED_URL: &str =
    "must be an https URL without user or fragment, or an http URL on this machine";

/// Whoever answers there decides who is let in.
fn trusted_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none();
    (is_plain && !is_in_the_clear(&url)).then_some(url)
}

pub(super) fn read_auth(mut table: Table, span: Range<usize>, source: &mut Source) -> AuthConfig {
    let mut auth = AuthConfig::default();
    if let Some(table) = table.table("tokens", source) {
        for (key, value, path) in table.entries() {
            let name = key.get_ref().to_string();
            if !is_name(&name) {
                let message =
                    format!("`{name}` is not a client name: use A-Z, a-z, 0-9, `_` and `-`");
                source.problem(key.span(), message);
            }
            let Some(token) = expect_table(value, path, source)
                .and_then(|table| read_token(table, name, value.span(), source))
            else {
                continue;
            };
            let known = auth.tokens.iter().find(|it| it.digest == token.digest);
            if let Some(known) = known {
                let message = format!("`{}` and `{}` have the same token", known.name, token.name);
                source.problem(value.span(), message);
            }
            auth.tokens.push(token);
        }
    }
    if let Some(value) = table.get("oauth")
        && let Some(table) = expect_table(value, "serve.auth.oauth".to_owned(), source)
    {
        auth.oauth = read_oauth(table, value.span(), source);
    }
    // Who writes this wants clients to be asked. A mistake in it has its own message.
    let names_nobody = |value: &Value| value.get_ref().as_table().is_some_and(|it| it.is_empty());
    let has_oauth = table.has("oauth");
    if !has_oauth && table.get("tokens").is_none_or(names_nobody) {
        source.problem(
            span,
            "`serve.auth` needs `tokens` or `oauth`: without them no token is required",
        );
    }
    table.finish(source);
    auth
}

fn read_token(
    mut table: Table,
    name: String,
    span: Range<usize>,
    source: &mut Source,
) -> Option<TokenConfig> {
    if !table.has("sha256") {
        source.problem(
            span,
            format!("`serve.auth.tokens.{name}` needs `sha256`: `toolhost token new` prints one"),
        );
    }
    let expected = "the 64 hexadecimal digits that `toolhost token new` prints";
    let digest = table.parsed("sha256", expected, TokenDigest::parse, source);
    let path = table.path("tools");
    let tools = table
        .get("tools")
        .and_then(|value| read_tools(value, &path, source));
    table.finish(source);
    Some(TokenConfig {
        name,
        digest: digest?,
        tools,
    })
}

fn read_oauth(mut table: Table, span: Range<usize>, source: &mut Source) -> Option<OauthConfig> {
    for key in ["issuer", "audience"] {
        if !table.has(key) {
            source.problem(span.clone(), format!("`serve.auth.oauth` needs `{key}`"));
        }
    }
    let [issuer, audience, jwks] = ["issuer", "audience", "jwks"].map(|key| {
        let value = table.get(key)?;
        let text = table.string(key, source)?;
        let url = trusted_url(text);
        if url.is_none() {
            // Not the text: a password may be in it.
            source.problem(
                value.span(),
                format!("`serve.auth.oauth.{key}` {TRUSTED_URL}"),
            );
        }
        Some((url?, text.to_owned()))
    });
    let mut scopes = None;
    if let Some(value) = table.get("scopes")
        && let Some(entries) = table.table("scopes", source)
    {
        let mut read = BTreeMap::new();
        for (key, value, path) in entries.entries() {
            let is_scope = |text: &str| {
                !text.is_empty()
                    && text
                        .bytes()
                        .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
            };
            if !is_scope(key.get_ref()) {
                let message = format!("{:?} is not a scope", key.get_ref());
                source.problem(key.span(), message);
            }
            if let Some(tools) = read_tools(value, &path, source) {
                read.insert(key.get_ref().to_string(), tools);
            }
        }
        if entries.entries().next().is_none() {
            source.problem(
                value.span(),
                "`serve.auth.oauth.scopes` is empty: to allow all tools, remove it",
            );
        }
        scopes = Some(read);
    }
    table.finish(source);
    let ((issuer, issuer_text), (audience, audience_text)) = (issuer?, audience?);
    Some(OauthConfig {
        issuer,
        issuer_text,
        audience,
        audience_text,
        jwks: jwks.map(|(url, _)| url),
        scopes,
    })
}

/// A list of tools that is not empty.
fn read_tools(value: &Value, path: &str, source: &mut Source) -> Option<BTreeSet<String>> {
    let Some(items) = value.get_ref().as_array() else {
        mismatch(value, path, "an array", source);
        return None;
    };
    if items.is_empty() {
        let message = format!("`{path}` is empty: list the tools that may be called");
        source.problem(value.span(), message);
    }
    let tools = items
        .iter()
        .filter_map(|item| expect_string(item, path, source));
    Some(tools.map(str::to_owned).collect())
}
