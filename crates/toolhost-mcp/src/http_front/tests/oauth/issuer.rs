//! An authorization server: its keys, and the documents that it serves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// Made for these tests only: ring cannot generate keys of this kind.
const RSA: &[u8] = include_bytes!("rsa.der");

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Signer {
    Ed,
    Es256,
    Es384,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
}

impl Signer {
    pub(super) const ALL: [Signer; 9] = [
        Signer::Ed,
        Signer::Es256,
        Signer::Es384,
        Signer::Rs256,
        Signer::Rs384,
        Signer::Rs512,
        Signer::Ps256,
        Signer::Ps384,
        Signer::Ps512,
    ];

    pub(super) fn name(self) -> String {
        match self {
            Signer::Ed => "EdDSA".to_owned(),
            other => format!("{other:?}").to_uppercase(),
        }
    }

    fn kid(self) -> &'static str {
        match self {
            Signer::Ed => "ed",
            Signer::Es256 => "es256",
            Signer::Es384 => "es384",
            _ => "rsa",
        }
    }
}

pub(super) struct Issuer {
    pub(super) url: String,
    ed: Ed25519KeyPair,
    es256: EcdsaKeyPair,
    es384: EcdsaKeyPair,
    rsa: RsaKeyPair,
    site: Arc<Mutex<Site>>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Site {
    documents: HashMap<String, String>,
    asked: Vec<String>,
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A listener that does not answer yet, and the keys it will serve.
pub(super) struct Silent {
    pub(super) listener: TcpListener,
    pub(super) url: String,
}

impl Silent {
    pub(super) async fn start() -> Silent {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Silent { listener, url }
    }

    /// The next request's listener, once there was one.
    pub(super) async fn asked(&self) -> TcpStream {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
        }
        stream
    }
}

/// Answers with that document.
pub(super) async fn say(mut stream: TcpStream, document: &str) {
    let length = document.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream
        .write_all((head + document).as_bytes())
        .await
        .unwrap();
}

pub(super) fn encoded(value: &Value) -> String {
    base64(value.to_string())
}

pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encoded(header), encoded(claims))
}

pub(super) fn by_secret(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = unsigned(header, claims);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    let tag = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", base64(tag))
}

impl Issuer {
    pub(super) async fn start() -> Issuer {
        let random = SystemRandom::new();
        let ec = |algorithm| {
            let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap()
        };
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Arc::new(Mutex::new(Site::default()));
        let issuer = Issuer {
            url: format!("http://{}", listener.local_addr().unwrap()),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
            es256: ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            es384: ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            rsa: RsaKeyPair::from_pkcs8(RSA).unwrap(),
            site: Arc::clone(&site),
            _server: AbortOnDropHandle::new(tokio::spawn(answer(listener, site))),
        };
        issuer.put("/jwks", json!({ "keys": issuer.keys() }).to_string());
        issuer
    }

    fn keys(&self) -> Vec<Value> {
        let public: signature::RsaPublicKeyComponents<Vec<u8>> = self.rsa.public().into();
        let (n, e) = (base64(public.n), base64(public.e));
        let ec = |kid: &str, curve: &str, key: &EcdsaKeyPair| {
            let point = &key.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            json!({ "kty": "EC", "kid": kid, "crv": curve, "x": base64(x), "y": base64(y) })
        };
        let other = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let other = Ed25519KeyPair::from_pkcs8(other.as_ref()).unwrap();
        let ed = |kid: &str, key: &Ed25519KeyPair| json!({ "kty": "OKP", "kid": kid, "crv": "Ed25519", "x": base64(key.public_key()) });
        vec![
            json!({ "kty": "UNHEARD-OF", "kid": "ed" }),
            ed("ed", &self.ed),
            ed("other-ed", &other),
            ec("es256", "P-256", &self.es256),
            ec("es384", "P-384", &self.es384),
            json!({ "kty": "RSA", "kid": "rsa", "use": "sig", "n": n, "e": e }),
            json!({ "kty": "RSA", "kid": "only-ps512", "alg": "PS512", "n": n, "e": e }),
            json!({ "kty": "RSA", "kid": "encryption", "use": "enc", "n": n, "e": e }),
            json!({ "kty": "oct", "kid": "secret", "k": base64("hunter2") }),
        ]
    }

    pub(super) fn key(&self, kid: &str) -> Value {
        let named = |key: &Value| key["kid"] == kid && key["kty"] != "UNHEARD-OF";
        self.keys().into_iter().find(named).unwrap()
    }

    /// What of its keys everybody can see, in the spellings in which it may be taken for a secret.
    pub(super) fn public(&self) -> Vec<(&'static str, Vec<u8>)> {
        let rsa = self.key("rsa");
        let public: signature::RsaPublicKeyComponents<Vec<u8>> = self.rsa.public().into();
        vec![
            ("the modulus", public.n),
            ("the modulus as text", rsa["n"].as_str().unwrap().into()),
            ("the key as DER", self.rsa.public_key().as_ref().to_vec()),
            ("the key as JSON", rsa.to_string().into_bytes()),
            ("the other key", self.ed.public_key().as_ref().to_vec()),
            ("the published secret", b"hunter2".to_vec()),
            ("nothing", Vec::new()),
        ]
    }

    /// A token with a correct header.
    pub(super) fn token(&self, signer: Signer, claims: &Value) -> String {
        let header = json!({ "alg": signer.name(), "kid": signer.kid(), "typ": "at+jwt" });
        self.signed(signer, &header, claims)
    }

    pub(super) fn signed(&self, signer: Signer, header: &Value, claims: &Value) -> String {
        let message = unsigned(header, claims);
        let bytes = message.as_bytes();
        let random = SystemRandom::new();
        let rsa: &'static dyn signature::RsaEncoding = match signer {
            Signer::Ed => return format!("{message}.{}", base64(self.ed.sign(bytes))),
            Signer::Es256 | Signer::Es384 => {
                let key = if signer == Signer::Es256 {
                    &self.es256
                } else {
                    &self.es384
                };
                let signature = key.sign(&random, bytes).unwrap();
                return format!("{message}.{}", base64(signature));
            }
            Signer::Rs256 => &signature::RSA_PKCS1_SHA256,
            Signer::Rs384 => &signature::RSA_PKCS1_SHA384,
            Signer::Rs512 => &signature::RSA_PKCS1_SHA512,
            Signer::Ps256 => &signature::RSA_PSS_SHA256,
            Signer::Ps384 => &signature::RSA_PSS_SHA384,
            Signer::Ps512 => &signature::RSA_PSS_SHA512,
        };
        let mut signature = vec![0; self.rsa.public().modulus_len()];
        self.rsa.sign(rsa, &random, bytes, &mut signature).unwrap();
        format!("{message}.{}", base64(signature))
    }

    /// A document that begins with `HTTP/` is the whole answer.
    pub(super) fn put(&self, path: &str, document: String) {
        self.site
            .lock()
            .unwrap()
            .documents
            .insert(path.to_owned(), document);
    }

    /// How often a document was asked for.
    pub(super) fn asked(&self, path: &str) -> usize {
        let site = self.site.lock().unwrap();
        site.asked.iter().filter(|asked| *asked == path).count()
    }
}

async fn answer(listener: TcpListener, site: Arc<Mutex<Site>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && matches!(stream.read_buf(&mut head).await, Ok(1..)) {}
        let head = String::from_utf8_lossy(&head);
        let path = head.split(' ').nth(1).unwrap_or_default();
        let document = {
            let mut site = site.lock().unwrap();
            site.asked.push(path.to_owned());
            site.documents.get(path).cloned()
        };
        let status = if document.is_some() {
            "200 OK"
        } else {
            "404 Not Found"
        };
        let body = document.unwrap_or_default();
        let length = body.len();
        let answer = match body.starts_with("HTTP/") {
            true => body,
            false => format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            ),
        };
        // The client may have hung up.
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}
