//! TLS, and HTTP/2.

use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use toolhost_core::manifest::TlsConfig;

/// Files of a certificate for `localhost`, in a folder that lives as long.
struct Files {
    _folder: tempfile::TempDir,
    tls: TlsConfig,
}

impl Files {
    fn new() -> Files {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        let tls = TlsConfig::new(path("cert.pem"), path("key.pem"));
        let files = Files {
            _folder: folder,
            tls,
        };
        files.renew();
        files
    }

    /// Writes another certificate with another key.
    fn renew(&self) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(&self.tls.certificate, certificate.pem()).unwrap();
        std::fs::write(&self.tls.key, key.serialize_pem()).unwrap();
    }

    fn config(&self) -> ServeConfig {
        ServeConfig::default().with_tls(self.tls.clone())
    }

    /// A client that trusts the present certificate.
    fn client(&self, protocols: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(&self.tls.certificate).unwrap();
        roots.add(certificate).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

async fn connect(server: &Server, client: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.address).await?;
    client
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
}

#[tokio::test]
async fn https_is_spoken_and_nothing_else() {
    let files = Files::new();
    let mut config = files.config();
    config.header_timeout = Duration::from_millis(500);
    let server = Server::start(&config).await;
    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let stream = connect(&server, &files.client(offered)).await.unwrap();
        let protocol = stream.get_ref().1.alpn_protocol();
        assert_eq!(protocol, chosen.map(str::as_bytes));
    }
    let mut stream = connect(&server, &files.client(&["http/1.1"]))
        .await
        .unwrap();
    let request = message("Connection: close\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");

    // A plain request gets no response, and no handshake lasts for ever.
    for plain in [&*get(&server, "/healthz"), ""] {
        let mut client = server.connect().await;
        client.send(plain).await;
        let end = client.end().await;
        assert!(!end.contains("HTTP"), "{end}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_renewed_is_the_one_of_the_next_connection() {
    let files = Files::new();
    let server = Server::start(&files.config()).await;
    let before = files.client(&[]);
    connect(&server, &before).await.unwrap();
    files.renew();
    let after = files.client(&[]);
    assert!(connect(&server, &after).await.is_err());
    server.front.reload(&files.config()).unwrap();
    connect(&server, &after).await.unwrap();
    assert!(connect(&server, &before).await.is_err());

    // One that cannot be read changes nothing.
    std::fs::write(&files.tls.certificate, "").unwrap();
    assert!(server.front.reload(&files.config()).is_err());
    connect(&server, &after).await.unwrap();
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let (files, other) = (Files::new(), Files::new());
    let missing = PathBuf::from("/nowhere/at-all.pem");
    let TlsConfig {
        certificate, key, ..
    } = files.tls.clone();
    let no_pem = other.tls.certificate.with_file_name("text.pem");
    std::fs::write(&no_pem, "-----BEGIN hunter2").unwrap();
    for (certificate, key, named) in [
        (&missing, &key, &missing),
        (&certificate, &missing, &missing),
        (&no_pem, &key, &no_pem),
        (&certificate, &no_pem, &no_pem),
        (&key, &key, &key),
        (&certificate, &certificate, &certificate),
        (&certificate, &other.tls.key, &other.tls.key),
    ] {
        let mut config = files.config();
        config.tls = Some(TlsConfig::new(certificate, key));
        let error = Front::new(&config).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with(&*named.to_string_lossy()), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn http_2_passes_the_same_checks() {
    let mut config = plain();
    config.idle_timeout = Duration::from_millis(100);
    let server = Server::start(&config).await;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured((*toolhost_core::tls::config().unwrap()).clone())
        .no_proxy()
        .http2_prior_knowledge()
        .resolve("evil.example", server.address)
        .build()
        .unwrap();
    let port = server.address.port();
    let post = |host: &str| client.post(format!("http://{host}:{port}/mcp")).body("hi");
    let response = post("localhost").send().await.unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    assert_eq!(response.status(), 200);
    assert_eq!(post("evil.example").send().await.unwrap().status(), 403);
    let origin = post("localhost").header("origin", "https://evil.example");
    assert_eq!(origin.send().await.unwrap().status(), 403);
    let other = post("localhost").header("host", "evil.example");
    assert_eq!(other.send().await.unwrap().status(), 403);

    // One stream for many; the requests beside it are served.
    let url = format!("http://localhost:{port}/mcp");
    let mut stream = client.get(url).send().await.unwrap();
    assert_eq!(stream.chunk().await.unwrap().unwrap(), "data: 0\n\n");
    assert_eq!(post("localhost").send().await.unwrap().status(), 200);
    server.lifecycle.drain.cancel();
    server.events.add_permits(1);
    assert_eq!(stream.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    server.lifecycle.stop.cancel();
    let ended = tokio::time::timeout(PATIENCE, stream.chunk()).await;
    ended.expect("it is told to stop").unwrap_err();
    // Nothing is left that would end the wait.
    let begun = tokio::time::Instant::now();
    while Arc::strong_count(&server.events) > 1 {
        assert!(begun.elapsed() < PATIENCE, "something still runs");
        tokio::task::yield_now().await;
    }
}
