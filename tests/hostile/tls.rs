//! https with an authority that the machine trusts, which only a process of its own can have.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::json;
use toolhost_testing::http::{Server, page, tls};

use super::stage::tls_config;
use crate::common::binary::{Folder, json_lines, listed, run};

/// Signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A server's, for that name.
    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        tls_config(vec![certificate.der().clone()], key.into())
    }
}

#[test]
fn only_the_right_certificate_of_a_trusted_authority_is_taken() {
    let trusted = Authority::new();
    let start = |config| {
        Server::behind(tls::wrap(config), |_, client| {
            page(client, "200", "", "hello")
        })
    };
    let right = start(trusted.sign("localhost", |_| {}));
    let address = start(trusted.sign("127.0.0.1", |_| {}));
    let refused = [
        start(trusted.sign("example.com", |_| {})),
        start(trusted.sign("localhost", |params| {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        })),
        start(trusted.sign("localhost", |params| {
            params.not_before = rcgen::date_time_ymd(4000, 1, 1);
        })),
        start(Authority::new().sign("localhost", |_| {})),
    ];
    let url = |server: &Server, host: &str| format!("https://{host}:{}", server.address.port());
    let mut urls = vec![url(&right, "localhost"), url(&address, "127.0.0.1")];
    // It has the name and not the address.
    urls.push(url(&right, "127.0.0.1"));
    urls.extend(refused.iter().map(|server| url(server, "localhost")));

    let entry = listed("hostile");
    let folder = Folder::with(format!("{entry}permissions.http = {urls:?}\n"));
    let authorities = folder.write("authorities.pem", &trusted.pem);
    let calls = urls.iter().map(|url| ("", "get", json!({ "url": url })));
    let mut command = folder.command(&["run"]);
    command
        .env("SSL_CERT_FILE", authorities)
        .env_remove("SSL_CERT_DIR");
    let ended = run(command, json_lines(&calls.collect::<Vec<_>>()));
    let results = ended.lines();
    assert_eq!(results.len(), urls.len());
    let is_not_valid =
        "refused: ErrorCode::InternalError(Some(\\\"the server's certificate is not valid: ";
    let expected = [
        r"status: 200\nhello",
        r"status: 200\nhello",
        "it is for another name",
        "it is for another name",
        "it has expired",
        "it is not valid yet",
        "this machine does not trust its issuer",
    ];
    for ((url, result), expected) in urls.iter().zip(&results).zip(expected) {
        let text = result.to_string();
        let is_right = *url == urls[0] || *url == urls[1];
        assert!(text.contains(expected), "{url}: {text}");
        assert_eq!(text.contains(is_not_valid), !is_right, "{url}: {text}");
    }
    assert_eq!((right.take().len(), address.take().len()), (1, 1));
    for server in &refused {
        assert_eq!(server.take(), Vec::<String>::new());
    }
}
