//! Holds the requests of a guest to its `http` permission.

use std::sync::Arc;

use http_body_util::BodyExt;
use url::Url;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use super::{Grants, Journal};

pub(super) struct HttpGate {
    grants: Arc<Grants>,
    journal: Journal,
}

type Done = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Done), Error>> + Send>;

impl HttpGate {
    pub(super) fn new(grants: Arc<Grants>, journal: Journal) -> Self {
        HttpGate { grants, journal }
    }

    fn check(&self, uri: &http::Uri) -> Result<(), Error> {
        let url = Url::parse(&uri.to_string()).map_err(|_| Error::HttpRequestUriInvalid)?;
        // What is checked must be what is sent: a path that parsing changes (`..`, `%2e`) is not.
        let same_path = url.path() == uri.path() || (url.path() == "/" && uri.path().is_empty());
        let user_info = uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'));
        let granted = self
            .grants
            .permissions
            .http
            .iter()
            .any(|rule| rule.allows(&url));
        if granted && same_path && !user_info {
            return Ok(());
        }
        // The query may carry what is nobody's business.
        let origin = url.origin().ascii_serialization();
        self.journal
            .deny(format!("http request to {origin}{}", url.path()));
        Err(Error::HttpRequestDenied)
    }
}

impl WasiHttpHooks for HttpGate {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Done,
    ) -> Sent {
        let checked = self.check(request.uri());
        Box::new(async move {
            checked?;
            let (response, done) = default_send_request(request, options).await?;
            Ok((response.map(BodyExt::boxed_unsync), Box::new(done) as Done))
        })
    }
}
