//! Tokens of an authorization server, and the metadata that leads to it.

mod issuer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use issuer::{Issuer, Signer, Silent, say};
use jsonwebtoken::Algorithm;

use super::*;
use crate::http_front::jwks::{Jwks, NoKey};
use toolhost_core::manifest::OauthConfig;

const AUDIENCE: &str = "https://tools.example.com/mcp";

fn oauth(issuer: &Issuer) -> OauthConfig {
    let mut oauth = OauthConfig::new(&issuer.url, AUDIENCE).unwrap();
    oauth.jwks = Some(format!("{}/jwks", issuer.url).parse().unwrap());
    oauth
}

async fn serve(oauth: OauthConfig) -> Server {
    let mut config = plain();
    config.auth.oauth = Some(oauth);
    // So that a test can be many clients.
    config.proxies = vec!["127.0.0.1".parse().unwrap()];
    Server::start(&config).await
}

/// Claims that nothing is wrong with, with some changed; `null` leaves one out.
fn claims(issuer: &Issuer, change: Value) -> Value {
    let mut claims = json!({
        "iss": issuer.url, "aud": AUDIENCE, "sub": "user-1", "exp": now() + 300, "iat": now(),
    });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    claims
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

#[tokio::test]
async fn a_token_of_each_algorithm_lets_its_subject_through() {
    let issuer = Issuer::start().await;
    let server = serve(oauth(&issuer)).await;
    for signer in Signer::ALL {
        let token = issuer.token(signer, &claims(&issuer, json!({})));
        let name = server.ask(&with_token(&token)).await.name();
        assert_eq!(name, format!("{}#user-1", issuer.url), "{signer:?}");
    }
    for good in [
        json!({ "aud": ["https://other.example", AUDIENCE] }),
        json!({ "nbf": now() - 10 }),
        json!({ "exp": now() + 10, "nbf": now() + 10 }),
        json!({ "exp": now() - 5 }),
    ] {
        let token = issuer.token(Signer::Ed, &claims(&issuer, good.clone()));
        server.ask(&with_token(&token)).await.name();
    }
}

#[tokio::test]
async fn a_token_that_is_wrong_in_any_way_lets_nobody_through() {
    let issuer = Issuer::start().await;
    let server = serve(oauth(&issuer)).await;
    let good = claims(&issuer, json!({}));
    let mut tokens: Vec<(String, &str, String)> = Vec::new();
    for (change, why) in [
        (json!({ "exp": now() - 3600 }), "it has expired"),
        (json!({ "exp": null }), "a required claim is missing"),
        (
            json!({ "exp": (now() + 300).to_string() }),
            "a required claim is missing",
        ),
        (
            json!({ "exp": (now() - 3600) as f64 + 0.5 }),
            "it has expired",
        ),
        (json!({ "exp": 0 }), "it has expired"),
        (json!({ "exp": -1 }), "a required claim is missing"),
        (json!({ "exp": true }), "a required claim is missing"),
        (
            json!({ "exp": [now() + 300] }),
            "it is not a token of this server",
        ),
        (json!({ "exp": {} }), "a required claim is missing"),
        (json!({ "nbf": now() + 3600 }), "it is not valid yet"),
        (json!({ "nbf": u64::MAX }), "it is not valid yet"),
        (json!({ "nbf": "soon" }), "it is not a token of this server"),
        (
            json!({ "aud": "https://other.example/mcp" }),
            "it is for another server",
        ),
        (
            json!({ "aud": "https://tools.example.com" }),
            "it is for another server",
        ),
        (json!({ "aud": [] }), "it is for another server"),
        (json!({ "aud": null }), "a required claim is missing"),
        (
            json!({ "iss": "https://evil.example" }),
            "it is from another issuer",
        ),
        (
            json!({ "iss": format!("{}/", issuer.url) }),
            "it is from another issuer",
        ),
        (json!({ "iss": null }), "a required claim is missing"),
        (json!({ "sub": null }), "it is not a token of this server"),
        (json!({ "sub": "" }), "its subject is not a valid name"),
        (json!({ "sub": "a\nb" }), "its subject is not a valid name"),
        (
            json!({ "sub": "x".repeat(300) }),
            "its subject is not a valid name",
        ),
    ] {
        let token = issuer.token(Signer::Ed, &claims(&issuer, change.clone()));
        tokens.push((change.to_string(), why, token));
    }
    let not_taken = "its algorithm is not accepted";
    for alg in ["none", "None", "NONE", "nOnE", "", "RS1", "ES512", "rs256"] {
        let token = issuer::unsigned(&json!({ "alg": alg, "kid": "ed" }), &good) + ".";
        tokens.push((format!("alg {alg}"), not_taken, token));
    }
    // Whatever public text is taken for a shared secret.
    for (name, secret) in issuer.public() {
        for kid in ["rsa", "ed", "secret"] {
            let header = json!({ "alg": "HS256", "kid": kid });
            let token = issuer::by_secret(&header, &good, &secret);
            tokens.push((format!("HS256 with {name} of {kid}"), not_taken, token));
        }
    }
    let disagrees = "its key is not for its algorithm";
    for (signer, kid, why) in [
        (Signer::Rs256, "ed", disagrees),
        (Signer::Ed, "rsa", disagrees),
        (Signer::Es256, "ed", disagrees),
        // The key's own `alg` says otherwise, its `use` does.
        (Signer::Rs256, "only-ps512", disagrees),
        (Signer::Rs256, "encryption", "its key is unknown"),
        (Signer::Ed, "secret", "its key is unknown"),
        (Signer::Ed, "nobody", "its key is unknown"),
        (Signer::Ed, "other-ed", "its signature is wrong"),
    ] {
        let header = json!({ "alg": signer.name(), "kid": kid });
        let token = issuer.signed(signer, &header, &good);
        tokens.push((format!("{signer:?} with {kid}"), why, token));
    }
    let no_kid = issuer.signed(Signer::Ed, &json!({ "alg": "EdDSA" }), &good);
    tokens.push(("no kid where two could be meant".into(), disagrees, no_kid));
    let critical = json!({ "alg": "EdDSA", "kid": "ed", "crit": ["b64"], "b64": false });
    let token = issuer.signed(Signer::Ed, &critical, &good);
    tokens.push(("crit".into(), "it has a critical extension", token));
    let stranger = Issuer::start().await;
    let own_key =
        json!({ "alg": "EdDSA", "kid": "ed", "jwk": stranger.key("ed"), "jku": stranger.url });
    let token = stranger.signed(Signer::Ed, &own_key, &good);
    tokens.push(("a key of its own".into(), "its signature is wrong", token));

    let token = issuer.token(Signer::Ed, &good);
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("{token}");
    };
    let none = "it is not a token of this server";
    let other = issuer::encoded(&claims(&issuer, json!({ "sub": "root" })));
    for (what, why, token) in [
        (
            "other claims",
            "its signature is wrong",
            format!("{header}.{other}.{signature}"),
        ),
        (
            "no signature",
            "its signature is wrong",
            format!("{header}.{payload}."),
        ),
        (
            "half a signature",
            "its signature is wrong",
            format!("{header}.{payload}.{}", &signature[..40]),
        ),
        ("two parts", none, format!("{header}.{payload}")),
        ("four parts", none, format!("{token}.{signature}")),
        (
            "five parts",
            none,
            format!("{header}.{payload}.{signature}.{payload}.{signature}"),
        ),
        ("no token", none, "....".into()),
        ("nonsense", none, "nonsense".into()),
    ] {
        tokens.push((what.into(), why, token));
    }
    for (number, (what, why, token)) in tokens.iter().enumerate() {
        let from = format!("X-Forwarded-For: 192.0.2.{number}\r\n");
        let request = message(&format!("Authorization: Bearer {token}\r\n{from}"));
        let reply = server.ask(&request).await;
        assert_eq!(reply.status, 401, "{what}: {reply:?}");
        let challenge = reply.header("www-authenticate").unwrap();
        assert!(
            challenge.contains("error=\"invalid_token\""),
            "{what}: {challenge}"
        );
        assert!(
            challenge.contains(&format!(": {why}\"")),
            "{what}: {challenge}"
        );
    }
    assert!(tokens.len() > 50, "{}", tokens.len());
    server.ask(&with_token(&token)).await.name();
}

#[tokio::test]
async fn unknown_keys_have_the_issuer_asked_at_a_bounded_rate() {
    let issuer = Issuer::start().await;
    let server = serve(oauth(&issuer)).await;
    let begun = Instant::now();
    let header = json!({ "alg": "EdDSA", "kid": "nobody" });
    let token = issuer.signed(Signer::Ed, &header, &claims(&issuer, json!({})));
    for number in 0..100 {
        let from = format!("X-Forwarded-For: 192.0.2.{number}\r\n");
        let request = message(&format!("Authorization: Bearer {token}\r\n{from}"));
        assert_eq!(server.ask(&request).await.status, 401);
    }
    let windows = 1 + begun.elapsed().as_secs() / 10;
    let asked = issuer.asked("/jwks") as u64;
    assert!((1..=windows).contains(&asked), "{asked} in {windows}");
}

#[tokio::test]
async fn a_key_that_is_new_is_found_and_one_that_is_withdrawn_is_not() {
    let issuer = Issuer::start().await;
    let jwks = Arc::new(Jwks::new(&oauth(&issuer)).unwrap().impatient());
    let find = async |kid| jwks.find(Some(kid), Algorithm::EdDSA).await.map(|_| ());
    assert_eq!(find("ed").await, Ok(()));
    assert_eq!(find("new").await, Err(NoKey::Unknown));
    let mut key = issuer.key("ed");
    key["kid"] = "new".into();
    issuer.put("/jwks", json!({ "keys": [key] }).to_string());
    assert_eq!(find("new").await, Ok(()));
    assert_eq!(find("ed").await, Err(NoKey::Unknown));
}

/// A fetch that ended with its client could be ended again and again.
#[tokio::test]
async fn a_client_that_hangs_up_keeps_nobody_from_new_keys() {
    let silent = Silent::start().await;
    let issuer = Issuer::start().await;
    let mut config = oauth(&issuer);
    config.jwks = Some(format!("{}/jwks", silent.url).parse().unwrap());
    let mut serve = plain();
    serve.auth.oauth = Some(config);
    serve.max_connections = 1;
    let server = Server::start(&serve).await;
    let header = json!({ "alg": "EdDSA", "kid": "nobody" });
    let bogus = issuer.signed(Signer::Ed, &header, &claims(&issuer, json!({})));
    let mut gone = server.connect().await;
    let request = message(&format!("Authorization: Bearer {bogus}\r\n"));
    gone.send(&request).await;
    let fetch = silent.asked().await;
    drop(gone);
    let good = with_token(&issuer.token(Signer::Ed, &claims(&issuer, json!({}))));
    let keys = json!({ "keys": [issuer.key("ed")] }).to_string();
    // It is served once the server has seen that the other one is gone: there is room for one.
    server.ask(&message("")).await;
    let (reply, ()) = tokio::join!(server.ask(&good), say(fetch, &keys));
    reply.name();
}

#[tokio::test]
async fn all_who_wait_for_keys_take_one_answer() {
    let silent = Silent::start().await;
    let issuer = Issuer::start().await;
    let mut config = oauth(&issuer);
    config.jwks = Some(format!("{}/jwks", silent.url).parse().unwrap());
    let jwks = Arc::new(Jwks::new(&config).unwrap().impatient());
    let finds = (0..20).map(|_| {
        let jwks = Arc::clone(&jwks);
        tokio::spawn(async move { jwks.find(Some("new"), Algorithm::EdDSA).await.map(|_| ()) })
    });
    let finds: Vec<_> = finds.collect();
    let fetch = silent.asked().await;
    while finds.iter().any(|find| find.is_finished()) || Arc::strong_count(&jwks) < 22 {
        tokio::task::yield_now().await;
    }
    say(fetch, r#"{"keys":[]}"#).await;
    for find in finds {
        // The issuer answers only once.
        assert_eq!(find.await.unwrap(), Err(NoKey::Unknown));
    }
}

#[tokio::test]
async fn silent_issuer_times_out_and_known_keys_need_none() {
    let silent = Silent::start().await;
    let issuer = Issuer::start().await;
    let mut config = oauth(&issuer);
    config.jwks = Some(format!("{}/jwks", silent.url).parse().unwrap());
    let jwks = Jwks::new(&config).unwrap().impatient();
    let jwks = Arc::new(jwks.waiting(Duration::from_millis(500)));
    let find = async |kid| jwks.find(Some(kid), Algorithm::EdDSA).await.map(|_| ());
    let keys = json!({ "keys": [issuer.key("ed")] }).to_string();
    let (found, ()) = tokio::join!(find("ed"), async { say(silent.asked().await, &keys).await });
    assert_eq!(found, Ok(()));
    // It accepts the request and stays silent, or never finishes its answer.
    for begin in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"keys\":",
    ] {
        let unknown = find("new");
        let (found, mut hanging) = tokio::join!(unknown, async {
            let mut stream = silent.asked().await;
            stream.write_all(begin.as_bytes()).await.unwrap();
            // Tokens with known keys do not wait meanwhile.
            assert_eq!(find("ed").await, Ok(()));
            stream
        });
        assert_eq!(found, Err(NoKey::Unknown), "{begin}");
        let _ = hanging.shutdown().await;
    }
    assert_eq!(find("ed").await, Ok(()));
}

#[tokio::test]
async fn the_keys_are_found_by_the_issuers_metadata() {
    for (path, place) in [
        ("", "/.well-known/oauth-authorization-server"),
        ("", "/.well-known/openid-configuration"),
        ("/tenant", "/.well-known/oauth-authorization-server/tenant"),
        ("/tenant", "/.well-known/openid-configuration/tenant"),
        ("/tenant", "/tenant/.well-known/openid-configuration"),
    ] {
        let mut issuer = Issuer::start().await;
        let keys = format!("{}/jwks", issuer.url);
        issuer.url += path;
        let metadata = |issuer: &str| json!({ "issuer": issuer, "jwks_uri": keys }).to_string();
        let config = OauthConfig::new(&issuer.url, AUDIENCE).unwrap();
        let token = issuer.token(Signer::Es256, &claims(&issuer, json!({})));

        issuer.put(place, metadata(&issuer.url));
        serve(config.clone())
            .await
            .ask(&with_token(&token))
            .await
            .name();

        issuer.put(place, metadata("https://evil.example"));
        let reply = serve(config).await.ask(&with_token(&token)).await;
        assert_eq!(reply.status, 503, "{place}: {reply:?}");
    }
}

#[tokio::test]
async fn missing_issuer_keys_give_503_and_not_401() {
    let issuer = Issuer::start().await;
    let token = issuer.token(Signer::Ed, &claims(&issuer, json!({})));
    let long = json!({ "keys": [issuer.key("ed")], "x": "x".repeat(300_000) }).to_string();
    let elsewhere = Issuer::start().await;
    elsewhere.put("/jwks", json!({ "keys": [issuer.key("ed")] }).to_string());
    let moved = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}/jwks\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        elsewhere.url
    );
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let page = "<!DOCTYPE html><title>Sign in</title>";
    let error = "HTTP/1.1 500 -\r\nContent-Length: 11\r\nConnection: close\r\n\r\n{\"keys\":[]}";
    for answer in [
        "",
        "{}",
        "[1]",
        r#"{"keys":{}}"#,
        &long,
        &moved,
        &deep,
        page,
        error,
        "HTTP/9 what\r\n\r\n",
    ] {
        issuer.put("/jwks", answer.to_owned());
        let server = serve(oauth(&issuer)).await;
        let reply = server.ask(&with_token(&token)).await;
        assert_eq!(reply.status, 503, "{answer:.20}: {reply:?}");
        assert!(reply.retry_after().is_some(), "{reply:?}");
        assert_eq!(server.ask(&message("")).await.status, 401);
    }
    assert_eq!(elsewhere.asked("/jwks"), 0);
}

/// Keys that an issuer should not have, beside one that it should.
#[tokio::test]
async fn no_key_is_taken_for_more_than_it_is() {
    let issuer = Issuer::start().await;
    let (ed, other, rsa) = (issuer.key("ed"), issuer.key("other-ed"), issuer.key("rsa"));
    let with = |key: &Value, change: Value| {
        let mut key = key.clone();
        for (name, value) in change.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    };
    let path = "../../../../etc/passwd";
    let long = "k".repeat(4000);
    let keys = [
        with(&ed, json!({ "kid": "twice" })),
        with(&other, json!({ "kid": "twice" })),
        with(&ed, json!({ "kid": path })),
        with(&ed, json!({ "kid": long })),
        with(&ed, json!({ "kid": "signs", "key_ops": ["sign"] })),
        with(&ed, json!({ "kid": "derives", "key_ops": ["deriveKey"] })),
        with(&ed, json!({ "kid": "unheard", "use": "unheard-of" })),
        with(&ed, json!({ "kid": "x25519", "crv": "X25519" })),
        with(&ed, json!({ "kid": "ed448", "crv": "Ed448" })),
        with(&ed, json!({ "kid": "short", "x": "AAAA" })),
        with(&ed, json!({ "kid": "zero", "x": "A".repeat(43) })),
        with(
            &issuer.key("es256"),
            json!({ "kid": "p384", "crv": "P-384" }),
        ),
        with(
            &issuer.key("es256"),
            json!({ "kid": "koblitz", "crv": "secp256k1" }),
        ),
        with(&rsa, json!({ "kid": "tiny", "n": "AQAB" })),
        with(&rsa, json!({ "kid": "one", "e": "AQ" })),
        with(&rsa, json!({ "kid": "huge", "n": "f".repeat(40_000) })),
        json!({ "kty": "RSA", "kid": "nothing" }),
        json!({ "kid": 7, "kty": [] }),
        json!(null),
    ];
    issuer.put("/jwks", json!({ "keys": keys }).to_string());
    let server = serve(oauth(&issuer)).await;
    let good = claims(&issuer, json!({}));
    let ask = async |signer: Signer, header: Value| {
        let token = issuer.signed(signer, &header, &good);
        server.ask(&with_token(&token)).await
    };
    // A key id is only an identifier.
    for kid in [path, &long] {
        let reply = ask(Signer::Ed, json!({ "alg": "EdDSA", "kid": kid })).await;
        assert_eq!(reply.status, 200, "{kid:.40}: {reply:?}");
    }
    for (signer, kids) in [
        (
            Signer::Ed,
            &[
                "twice", "signs", "derives", "unheard", "x25519", "ed448", "short", "zero",
                "nothing",
            ][..],
        ),
        (Signer::Es256, &["p384", "koblitz"]),
        (Signer::Rs256, &["tiny", "one", "huge", "nothing"]),
        (Signer::Ps256, &["tiny", "one", "huge"]),
    ] {
        for kid in kids {
            let header = json!({ "alg": signer.name(), "kid": kid });
            let token = issuer.signed(signer, &header, &good);
            let from = format!("X-Forwarded-For: 192.0.2.{}\r\n", kid.len());
            let request = message(&format!("Authorization: Bearer {token}\r\n{from}"));
            let reply = server.ask(&request).await;
            assert_eq!(reply.status, 401, "{signer:?} {kid}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn expired_token_fails_on_its_open_connection() {
    let issuer = Issuer::start().await;
    let server = serve(oauth(&issuer)).await;
    // Clocks may be 30 seconds apart.
    let short = claims(&issuer, json!({ "exp": now() - 28 }));
    let token = issuer.token(Signer::Ed, &short);
    let mut connection = server.connect().await;
    let request = with_token(&token);
    let start = Instant::now();
    let mut answered = 0;
    loop {
        match connection.ask(&request).await.status {
            200 => answered += 1,
            status => {
                assert_eq!(status, 401);
                break;
            }
        }
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "it never expires"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(answered > 0);
}

#[tokio::test]
async fn a_scope_stands_for_its_tools() {
    let issuer = Issuer::start().await;
    let mut config = oauth(&issuer);
    let tools = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let scopes = [
        ("fs:read".to_owned(), tools(&["read_file", "list"])),
        ("math".to_owned(), tools(&["calculate"])),
    ];
    config.scopes = Some(scopes.into());
    let server = serve(config).await;
    let ask = async |change| {
        let token = issuer.token(Signer::Ed, &claims(&issuer, change));
        server.ask(&with_token(&token)).await
    };
    for (change, tools) in [
        (
            json!({ "scope": "openid fs:read" }),
            json!(["list", "read_file"]),
        ),
        (
            json!({ "scope": "math fs:read" }),
            json!(["calculate", "list", "read_file"]),
        ),
        (json!({ "scp": ["math"] }), json!(["calculate"])),
    ] {
        let reply = ask(change.clone()).await;
        assert_eq!(reply.status, 200, "{change}: {reply:?}");
        assert_eq!(reply.json()["tools"], tools, "{change}");
    }
    for change in [
        json!({}),
        json!({ "scope": "" }),
        json!({ "scope": "fs" }),
        json!({ "scope": 5 }),
    ] {
        let reply = ask(change.clone()).await;
        assert_eq!(reply.status, 403, "{change}: {reply:?}");
        let challenge = reply.header("www-authenticate").unwrap();
        for part in ["error=\"insufficient_scope\"", "scope=\"fs:read math\""] {
            assert!(challenge.contains(part), "{challenge}");
        }
    }
}

#[tokio::test]
async fn whoever_has_no_token_is_led_to_who_issues_them() {
    let issuer = Issuer::start().await;
    let server = serve(oauth(&issuer)).await;
    let reply = server.ask(&message("")).await;
    let place = "https://tools.example.com/.well-known/oauth-protected-resource/mcp";
    let challenge = format!("Bearer resource_metadata=\"{place}\"");
    assert_eq!(reply.header("www-authenticate"), Some(&*challenge));
    for path in ["", "/mcp"] {
        let path = format!("/.well-known/oauth-protected-resource{path}");
        let reply = server.ask(&get(&server, &path)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let expected = json!({
            "resource": AUDIENCE,
            "authorization_servers": [issuer.url],
            "bearer_methods_supported": ["header"],
        });
        assert_eq!(reply.json(), expected);
    }
}
