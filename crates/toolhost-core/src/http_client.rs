//! The HTTP client for requests of the host itself, not of guests.

use std::time::Duration;

use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use url::Url;

use crate::manifest::is_loopback;
use crate::name_resolution::addresses;

/// The timeout for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for requests to `url`.
///
/// # Errors
///
/// The client cannot be built.
pub fn http_client(url: &Url, redirects: Policy) -> Result<Client, String> {
    let mut tls = (*crate::tls::config()?).clone();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut client = Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT_TIMEOUT)
        .dns_resolver(Resolver)
        .tcp_nodelay(true)
        .user_agent(concat!("toolhost/", env!("CARGO_PKG_VERSION")))
        .redirect(redirects);
    if is_loopback(url) {
        client = client.no_proxy();
    }
    client.build().map_err(|error| error.to_string())
}

struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = addresses(name.as_str()).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
