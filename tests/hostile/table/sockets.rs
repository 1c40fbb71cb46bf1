//! Attacks by sockets.

use super::super::attack::{Attack, answer, attack, denied, failed};
use super::NOTHING;

const ADDRESS: &str = "permissions.sockets = ['<line>']";
const NAME: &str = "permissions.sockets = ['localhost:<line-port>']";

pub const ATTACKS: &[Attack] = &[
    attack(
        "tcp-of-nobody",
        "tcp",
        r#"{"address": "<line>"}"#,
        NOTHING,
        denied("socket: tcp (refused: access-denied at create)"),
    ),
    attack(
        "tcp-by-name-of-nobody",
        "tcp_name",
        r#"{"name": "localhost", "port": <line-port>}"#,
        NOTHING,
        denied("socket: the address of localhost (refused: access-denied at resolve)"),
    ),
    attack(
        "lookup-of-nobody",
        "resolve",
        r#"{"name": "localhost"}"#,
        NOTHING,
        denied("socket: the address of localhost (refused: access-denied at resolve)"),
    ),
    attack(
        "lookup-of-an-address",
        "resolve",
        r#"{"name": "127.0.0.1"}"#,
        NOTHING,
        denied("socket: the address of 127.0.0.1 (refused: access-denied at resolve)"),
    ),
    attack(
        "listening-of-nobody",
        "tcp_listen",
        r#"{"port": 0}"#,
        NOTHING,
        denied("socket: tcp (refused: access-denied at create)"),
    ),
    attack(
        "udp-of-nobody",
        "udp",
        r#"{"address": "<line>"}"#,
        NOTHING,
        denied("socket: udp (refused: access-denied at create, access-denied at create)"),
    ),
    attack(
        "tcp-as-granted",
        "tcp",
        r#"{"address": "<line>"}"#,
        ADDRESS,
        answer("ESCAPED: connected, and read \"pong\\n\""),
    )
    .seen(&[("line", 1)]),
    attack(
        "tcp-to-ipv4-in-ipv6",
        "tcp",
        r#"{"address": "[::ffff:127.0.0.1]:<line-port>"}"#,
        ADDRESS,
        failed("refused: invalid-argument at connect"),
    )
    .by_wasi3(failed("refused: invalid-argument at connected")),
    attack(
        "tcp-to-another-port",
        "tcp",
        r#"{"address": "<other>"}"#,
        ADDRESS,
        denied("socket: a connection to <other> (refused: access-denied at connected)"),
    ),
    attack(
        "tcp-to-another-address",
        "tcp",
        r#"{"address": "127.0.0.2:<line-port>"}"#,
        ADDRESS,
        denied(
            "socket: a connection to 127.0.0.2:<line-port> (refused: access-denied at connected)",
        ),
    ),
    attack(
        "tcp-by-name-for-a-granted-address",
        "tcp_name",
        r#"{"name": "localhost", "port": <line-port>}"#,
        ADDRESS,
        denied("socket: the address of localhost (refused: access-denied at resolve)"),
    ),
    attack(
        "listening-beside-granted-sockets",
        "tcp_listen",
        r#"{"port": 0}"#,
        ADDRESS,
        denied("socket: to listen at 127.0.0.1:0 (refused: access-denied at bind)"),
    ),
    attack(
        "udp-beside-granted-sockets",
        "udp",
        r#"{"address": "<line>"}"#,
        ADDRESS,
        denied("socket: udp (refused: access-denied at create, access-denied at create)"),
    ),
    attack(
        "tcp-by-name-as-granted",
        "tcp_name",
        r#"{"name": "localhost", "port": <line-port>}"#,
        NAME,
        answer("ESCAPED: …: connected, and read \"pong\\n\""),
    )
    .seen(&[("line", 1)]),
    attack(
        "tcp-by-name-to-another-port",
        "tcp_name",
        r#"{"name": "localhost", "port": <other-port>}"#,
        NAME,
        answer("ESCAPED: resolved, then …: Error::Failed(\"refused: access-denied at connected\")"),
    ),
    attack(
        "tcp-without-the-lookup-of-its-name",
        "tcp",
        r#"{"address": "<line>"}"#,
        NAME,
        denied("socket: a connection to <line> (refused: access-denied at connected)"),
    ),
    attack(
        "lookup-of-another-name",
        "resolve",
        r#"{"name": "localhost.localdomain"}"#,
        NAME,
        denied("socket: the address of localhost.localdomain (refused: access-denied at resolve)"),
    ),
];
