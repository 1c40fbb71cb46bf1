//! Clients that have a token of their own, and how often one may come.

use std::num::NonZeroU32;

use super::*;
use toolhost_core::manifest::{TokenConfig, TokenDigest};

fn clients(names: &[(&str, &str)]) -> ServeConfig {
    let mut config = plain();
    for (name, token) in names {
        config
            .auth
            .tokens
            .push(TokenConfig::new(*name, TokenDigest::of(token)));
    }
    config
}

#[tokio::test]
async fn a_token_lets_its_client_through_with_its_tools() {
    let mut config = clients(&[("all", "th_all"), ("some", "th_some")]);
    config.auth.tokens[1].tools = Some(["echo".to_owned()].into());
    let server = Server::start(&config).await;
    let reply = server.ask(&with_token("th_all")).await;
    assert_eq!(
        reply.json(),
        json!({ "name": "all", "tools": null, "body": "hi" })
    );
    let reply = server
        .ask(&message("authorization: bEARER  th_some\r\n"))
        .await;
    assert_eq!(
        reply.json(),
        json!({ "name": "some", "tools": ["echo"], "body": "hi" })
    );
}

#[tokio::test]
async fn whoever_has_none_or_a_wrong_one_is_told_which() {
    let server = Server::start(&clients(&[("a", "th_a")])).await;
    let digest = TokenDigest::of("th_a").to_string();
    let missing = ["", "Authorization: Basic dGhfYTo=\r\n", "X-Token: th_a\r\n"];
    for head in missing {
        let reply = server.ask(&message(head)).await;
        let challenge = reply.header("www-authenticate");
        assert_eq!((reply.status, challenge), (401, Some("Bearer")), "{head}");
    }
    for token in ["th_b", "th_", "TH_A", "th_a=", &digest] {
        let reply = server.ask(&with_token(token)).await;
        let challenge = reply.header("www-authenticate").unwrap();
        assert_eq!(reply.status, 401, "{token}: {reply:?}");
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        assert!(!format!("{reply:?}").contains(token), "{reply:?}");
    }
    let twice = "Authorization: Bearer th_a\r\nAuthorization: Bearer th_a\r\n";
    for head in [
        twice,
        "Authorization: Bearer\r\n",
        "Authorization: Bearer th_a,th_b\r\n",
    ] {
        let reply = server.ask(&message(head)).await;
        let challenge = reply.header("www-authenticate").unwrap();
        assert_eq!(reply.status, 400, "{head}: {reply:?}");
        assert!(
            challenge.contains("error=\"invalid_request\""),
            "{challenge}"
        );
    }
    let in_query = message("").replacen("/mcp", "/mcp?access_token=th_a", 1);
    assert_eq!(server.ask(&in_query).await.status, 401);
    // Nor is any other spelling of the path a way past it.
    for (path, status) in [
        ("/mcp/", 401),
        ("/mcp/x", 401),
        ("/mcp//", 401),
        ("/mcp?x", 401),
        ("/mcp/../healthz", 401),
        ("//mcp", 404),
        ("/%6dcp", 404),
        ("/MCP", 404),
        ("/healthz/../mcp", 404),
    ] {
        let reply = server.ask(&message("").replacen("/mcp", path, 1)).await;
        assert_eq!(reply.status, status, "{path}: {reply:?}");
    }
    // What names no path names nothing.
    for target in [
        "OPTIONS *",
        "CONNECT localhost:80",
        "GET http://localhost",
        "PRI *",
    ] {
        let request = format!("{target} HTTP/1.1\r\nHost: localhost:80\r\n\r\n");
        let reply = server.ask(&request).await;
        assert!((400..500).contains(&reply.status), "{target}: {reply:?}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.ask(&get(&server, path)).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn nobody_is_asked_where_no_client_is_named() {
    let server = Server::start(&ServeConfig::default()).await;
    let reply = server.ask(&message("")).await;
    assert_eq!(
        reply.json(),
        json!({ "name": "anonymous", "tools": null, "body": "hi" })
    );
}

#[tokio::test]
async fn tokens_cannot_be_guessed_without_end() {
    let mut config = clients(&[("a", "th_a")]);
    config.proxies = vec!["127.0.0.1".parse().unwrap()];
    let server = Server::start(&config).await;
    let from = |address: &str, token: &str| {
        message(&format!(
            "Authorization: Bearer {token}\r\nX-Forwarded-For: {address}\r\n"
        ))
    };
    let mut refused = 0;
    let held_back = loop {
        let reply = server.ask(&from("192.0.2.1", "th_guess")).await;
        match reply.status {
            401 => refused += 1,
            _ => break reply,
        }
        assert!(refused < 500, "guesses without end");
    };
    assert_eq!(held_back.status, 429);
    assert!(
        held_back.retry_after().is_some_and(|wait| wait >= 1),
        "{held_back:?}"
    );
    assert!(refused >= 20, "{refused}");
    // Others are not affected, and a request without a token is not a guess.
    assert_eq!(server.ask(&from("192.0.2.2", "th_a")).await.name(), "a");
    let without = message("X-Forwarded-For: 192.0.2.1\r\n");
    assert_eq!(server.ask(&without).await.status, 401);
}

#[tokio::test]
async fn a_client_that_comes_too_often_is_told_when_to_come_again() {
    let mut config = clients(&[("a", "th_a"), ("b", "th_b")]);
    config.rate_limit = NonZeroU32::new(1);
    config.rate_burst = NonZeroU32::new(3);
    let server = Server::start(&config).await;
    let mut client = server.connect().await;
    let mut served = 0;
    let held_back = loop {
        let reply = client.ask(&with_token("th_a")).await;
        match reply.status {
            200 => served += 1,
            _ => break reply,
        }
        assert!(served < 100, "requests without end");
    };
    assert_eq!(held_back.status, 429);
    assert_eq!(held_back.retry_after(), Some(1), "{held_back:?}");
    assert!(served >= 3, "{served}");
    assert_eq!(server.ask(&with_token("th_b")).await.name(), "b");
    assert_eq!(server.ask(&get(&server, "/healthz")).await.status, 200);
}

#[tokio::test]
async fn another_configuration_holds_from_the_next_request_on() {
    let server = Server::start(&clients(&[("a", "th_a")])).await;
    let mut client = server.connect().await;
    assert_eq!(client.ask(&with_token("th_a")).await.name(), "a");
    server.front.reload(&clients(&[("b", "th_b")])).unwrap();
    assert_eq!(client.ask(&with_token("th_a")).await.status, 401);
    assert_eq!(client.ask(&with_token("th_b")).await.name(), "b");
}
