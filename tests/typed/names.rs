//! How functions are called as tools.

use serde_json::json;

use super::{Typed, at, refused, refused_with};
use crate::common::typed::returning;
use crate::common::{call, guest, load, manifest, plugin, text};

const TWO_INTERFACES: &str = "package test:names@1.2.3;
    interface users { get: func(x: u32) -> u32; list-all: func(x: u32) -> u32; }
    interface groups { get: func(x: u32) -> u32; rename-URL: func(x: u32) -> u32; }
    world w { export users; export groups; export free: func(x: u32) -> u32; }";

#[tokio::test]
async fn a_tool_is_called_as_its_function_where_that_is_unique_or_else_with_its_interface() {
    let typed = Typed::new(returning(TWO_INTERFACES)).await;
    let names = ["free", "groups_get", "list-all", "rename-URL", "users_get"];
    assert_eq!(typed.names(), names);
    for name in names {
        assert_eq!(
            typed.returned(name, json!(7)).await.unwrap(),
            json!(7),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_function_without_documentation_is_described_by_its_signature() {
    let typed = Typed::new(returning(TWO_INTERFACES)).await;
    let description = |name: &str| typed.host.tool(name).unwrap().description.clone();
    assert_eq!(description("free"), "free: func(x: u32) -> u32");
    assert_eq!(
        description("users_get"),
        "test:names/users@1.2.3#get: func(x: u32) -> u32"
    );
    let plugins: Vec<_> = typed.host.plugins().collect();
    assert_eq!(plugins[0].notes.len(), 5);
    assert!(
        plugins[0].notes[0].why.contains("no description"),
        "{:?}",
        plugins[0].notes
    );
}

#[tokio::test]
async fn a_long_name_is_cut_and_keeps_apart_from_others() {
    let long = "a".repeat(80);
    let wit = format!(
        "package test:names; world w {{ export {long}b: func(x: u32) -> u32; export {long}c: func(x: u32) -> u32; }}"
    );
    let typed = Typed::new(returning(&wit)).await;
    let names = typed.names();
    assert_eq!(names.len(), 2);
    for name in names {
        assert!(name.len() == 64 && name.starts_with(&long[..55]), "{name}");
    }
}

/// Two interfaces of one name, of two packages: the function of the one returns its argument, that of the other one more.
fn colliding() -> Vec<u8> {
    let component = r#"(component
        (core module $m
            (func (export "same") (param i32) (result i32) (local.get 0))
            (func (export "more") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))
        (core instance $i (instantiate $m))
        (func $same (param "x" u32) (result u32) (canon lift (core func $i "same")))
        (func $more (param "x" u32) (result u32) (canon lift (core func $i "more")))
        (instance $a (export "get" (func $same)))
        (instance $b (export "get" (func $more)))
        (export "one:a/users@1.0.0" (instance $a))
        (export "two:b/users" (instance $b)))"#;
    wat::parse_str(component).unwrap()
}

#[tokio::test]
async fn names_that_collide_are_an_error_that_names_both() {
    let message = refused(colliding()).await;
    for words in [
        "two tools named `users_get`",
        "`one:a/users@1.0.0#get`",
        "`two:b/users#get`",
    ] {
        assert!(message.contains(words), "{message}");
    }
    let named = |name: &str| (name.to_owned(), at());
    // By their full names they are told apart, and each calls its own function.
    for (renamed, own, other) in [
        ("one:a/users@1.0.0#get", json!(7), json!(8)),
        ("two:b/users#get", json!(8), json!(7)),
    ] {
        let typed = Typed::with(colliding(), |mut plugin| {
            plugin
                .rename
                .insert(renamed.to_owned(), named("get_renamed"));
            plugin
        })
        .await;
        assert_eq!(typed.names(), ["get_renamed", "users_get"]);
        assert_eq!(
            typed.returned("get_renamed", json!(7)).await,
            Ok(own.clone())
        );
        assert_eq!(typed.returned("users_get", json!(7)).await, Ok(other));
        let typed = Typed::with(colliding(), |plugin| {
            plugin.with_tools(vec![named(renamed)])
        })
        .await;
        assert_eq!(typed.names(), ["users_get"]);
        assert_eq!(typed.returned("users_get", json!(7)).await, Ok(own));
    }
    // A new name may collide as well.
    let message = refused_with(returning(TWO_INTERFACES), |mut plugin| {
        plugin.rename.insert("free".to_owned(), named("list-all"));
        plugin
    });
    assert!(message.await.contains("two tools named `list-all`"));
}

#[tokio::test]
async fn a_component_that_wit_bindgen_built_has_its_functions_as_tools() {
    let host = load(manifest([plugin("no-world")])).await;
    assert!(guest("no-world").is_file());
    assert_eq!(text(&host.call(call("run", json!({}))).await), "ran");
}
