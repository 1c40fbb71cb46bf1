//! Functions that cannot be tools, and components that have no other.

use serde_json::json;

use super::{Typed, at, refused, refused_with, returning_one};
use crate::common::typed::returning;

#[tokio::test]
async fn a_function_with_a_resource_is_left_out_and_the_others_are_tools() {
    let component = r#"(component
        (core module $m (func (export "f") (param i32) (result i32) (local.get 0)))
        (core instance $i (instantiate $m))
        (type $counter (resource (rep i32)))
        (func $good (param "x" u32) (result u32) (canon lift (core func $i "f")))
        (export $exported "counter" (type $counter))
        (func $made (param "x" u32) (result (own $counter)) (canon lift (core func $i "f")))
        (export "made" (func $made) (func (param "x" u32) (result (own $exported))))
        (export "good" (func $good)))"#;
    let typed = Typed::new(wat::parse_str(component).unwrap()).await;
    assert_eq!(typed.names(), ["good"]);
    assert_eq!(typed.returned("good", json!(3)).await.unwrap(), json!(3));
    let plugins: Vec<_> = typed.host.plugins().collect();
    let note = plugins[0]
        .notes
        .iter()
        .find(|note| note.tool == "made")
        .unwrap();
    assert_eq!(note.why, "is left out: it has a resource in its result");
    // Chosen by name, it is an error.
    let message = refused_with(wat::parse_str(component).unwrap(), |plugin| {
        plugin.with_tools(vec![("made".to_owned(), at()), ("good".to_owned(), at())])
    });
    let message = message.await;
    assert!(
        message.contains("cannot offer `made`: it has a resource in its result"),
        "{message}"
    );
}

#[tokio::test]
async fn a_component_with_no_function_left_says_why_of_each() {
    let wit = "package test:typed; interface api { resource counter { next: func() -> u32; } }
        world w { export api; }";
    let module = r#"(module
        (func (export "test:typed/api#[method]counter.next") (param i32) (result i32) i32.const 0))"#;
    let message = refused(crate::common::typed::of_module(wit, module)).await;
    assert!(
        message.contains("has no function that can be a tool"),
        "{message}"
    );
    assert!(
        message.contains("counter.next` belongs to a resource"),
        "{message}"
    );
}

#[tokio::test]
async fn functions_with_streams_and_futures_are_refused_for_what_they_are() {
    for (function, why) in [
        (
            r#"(param "x" $s) (result u32)"#,
            "has a stream in its parameter `x`",
        ),
        (
            r#"(param "y" u32) (result $f)"#,
            "has a future in its result",
        ),
    ] {
        let component = format!(
            r#"(component
            (core module $m (func (export "f") (param i32) (result i32) (local.get 0)))
            (core instance $i (instantiate $m))
            (type $s (stream u8))
            (type $f (future))
            (func (export "f") {function} (canon lift (core func $i "f"))))"#
        );
        let message = refused(wat::parse_str(&component).unwrap()).await;
        assert!(message.contains(why), "{function}: {message}");
    }
}

#[tokio::test]
async fn imports_that_the_host_does_not_have_are_named() {
    let component = r#"(component
        (import "acme:cloud/storage@1.2.3" (instance (export "get" (func))))
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func (export "f") (canon lift (core func $i "f"))))"#;
    let message = refused(wat::parse_str(component).unwrap()).await;
    assert!(message.contains("acme:cloud/storage@1.2.3"), "{message}");
}

#[tokio::test]
async fn types_that_nest_or_unfold_without_end_are_left_out() {
    // Each of these lines doubles the type before it.
    let mut doubling = "type t0 = tuple<u8, u8>;".to_owned();
    for level in 1..12 {
        let below = level - 1;
        doubling += &format!("type t{level} = tuple<t{below}, t{below}>;");
    }
    let message = refused(returning_one(&doubling, "list<t11>")).await;
    assert!(message.contains("more than 2000 types"), "{message}");
    let deep = format!("{}u8{}", "list<".repeat(70), ">".repeat(70));
    let message = refused(returning_one("", &deep)).await;
    assert!(
        message.contains("types nested more than 60 deep"),
        "{message}"
    );
    let names: Vec<String> = (0..3000).map(|at| format!("n{at}")).collect();
    let many = format!("enum many {{ {} }}", names.join(", "));
    let message = refused(returning_one(&many, "many")).await;
    assert!(message.contains("more than 2000 names"), "{message}");
}

#[tokio::test]
async fn ten_thousand_functions_are_too_many_and_some_of_them_are_not() {
    let mut wit = "package test:typed; world w {".to_owned();
    for number in 0..10_000 {
        wit += &format!("export c{number}: func(x: u32) -> u32;");
    }
    let component = returning(&(wit + "}"));
    let message = refused(component.clone()).await;
    assert!(message.contains("exports 10000 functions"), "{message}");
    assert!(message.contains("`tools`"), "{message}");
    let typed = Typed::with(component, |plugin| {
        plugin.with_tools(vec![("c7".to_owned(), at())])
    });
    assert_eq!(typed.await.names(), ["c7"]);
}
