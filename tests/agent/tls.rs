//! Models behind https: who is trusted, and that HTTP/2 is offered.

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use toolhost::wire::Format;
use toolhost_testing::http::tls;

use crate::command::{asks, with, without_keys};
use crate::common::binary::{Folder, run};
use crate::peer::{Peer, text};

/// An authority's certificate, and the configuration of a server that it vouches for.
fn vouched(alpn: &[&str]) -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    (authority, Arc::new(config))
}

#[test]
fn only_a_server_that_somebody_trusted_vouches_for_is_asked() {
    let (authority, config) = vouched(&[]);
    let peer = Peer::behind(
        "https",
        vec![text(Format::Anthropic, "hello"); 2],
        tls::wrap(config),
    );
    let folder = Folder::of(&["echo"]);
    let file = folder.write("authority.pem", authority);
    folder.write("key.txt", "sesame-1234");
    let listed = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    let agent = "[agent]\nkey = { file = 'key.txt' }\nmax-retries = 0\n";
    folder.write("toolhost.toml", format!("{agent}{listed}"));
    let arguments = with(asks(Format::Anthropic, &peer), &["?"]);
    let mut command = without_keys(&folder, &arguments);
    command
        .env_remove("SSL_CERT_FILE")
        .env_remove("SSL_CERT_DIR");
    run(command, "").failed("certificate");
    assert!(peer.asked().is_empty(), "nobody was told the key");
    let mut command = without_keys(&folder, &arguments);
    command
        .env("SSL_CERT_FILE", file)
        .env_remove("SSL_CERT_DIR");
    assert_eq!(run(command, "").answered().stdout, "hello\n");
    assert!(peer.asked()[0].headers.contains("x-api-key: sesame-1234"));
}

#[test]
fn http_2_is_spoken_where_the_server_speaks_it() {
    let (authority, config) = vouched(&["h2"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let first = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        let mut first = [0; 14];
        stream.read_exact(&mut first).unwrap();
        first
    });
    let folder = Folder::with("[agent]\nmax-retries = 0\n");
    let file = folder.write("authority.pem", authority);
    let mut arguments = [
        "agent",
        "--provider",
        "gemini",
        "--model",
        "m",
        "--base-url",
    ]
    .to_vec();
    arguments.extend([&*base, "?"]);
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    let mut command = without_keys(&folder, &arguments);
    command
        .env("SSL_CERT_FILE", file)
        .env_remove("SSL_CERT_DIR");
    // It hangs up: the client's first words are all that is asked for.
    run(command, "").failed("no answer from https://localhost:");
    assert_eq!(&first.join().unwrap(), b"PRI * HTTP/2.0");
}
