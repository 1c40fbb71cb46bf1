//! What each type of WIT is as JSON, there and back.

use serde_json::{Value, json};
use toolhost::CallError;

use super::{Typed, returning_one};
use crate::common::typed::{SPILLED, returning};
use crate::common::{call, error};

/// Values that come back as they are.
async fn come_back(declarations: &str, ty: &str, values: &[Value]) {
    let typed = Typed::new(returning_one(declarations, ty)).await;
    for value in values {
        let returned = typed.returned("f", value.clone()).await;
        let returned = returned.unwrap_or_else(|error| panic!("{ty}: {value}: {error}"));
        assert_eq!(returned, *value, "{ty}");
    }
}

/// Values that are refused as arguments.
async fn are_refused(declarations: &str, ty: &str, values: &[Value]) {
    let typed = Typed::new(returning_one(declarations, ty)).await;
    for value in values {
        match typed.returned("f", value.clone()).await {
            Err(CallError::InvalidArguments { problems }) => {
                assert!(
                    problems[0].pointer.starts_with("/x"),
                    "{ty}: {value}: {problems:?}"
                );
            }
            other => panic!("{ty}: {value}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn integers_keep_every_bit_and_their_bounds() {
    come_back("", "s8", &[json!(-128), json!(0), json!(127)]).await;
    come_back("", "u8", &[json!(0), json!(255)]).await;
    come_back("", "s16", &[json!(-32768), json!(32767)]).await;
    come_back("", "u16", &[json!(65535)]).await;
    come_back("", "s32", &[json!(i32::MIN), json!(i32::MAX)]).await;
    come_back("", "u32", &[json!(u32::MAX)]).await;
    are_refused(
        "",
        "s8",
        &[json!(-129), json!(128), json!(1.5), json!("x"), json!(null)],
    )
    .await;
    are_refused("", "u8", &[json!(-1), json!(256)]).await;
    are_refused("", "u32", &[json!(4294967296_u64), json!(-1)]).await;
}

#[tokio::test]
async fn wide_integers_are_numbers_or_strings() {
    let exact = (1_i64 << 53) - 1;
    come_back(
        "",
        "s64",
        &[json!(exact), json!(-exact), json!("9007199254740993")],
    )
    .await;
    come_back(
        "",
        "s64",
        &[json!(i64::MIN.to_string()), json!(i64::MAX.to_string())],
    )
    .await;
    come_back("", "u64", &[json!(0), json!("18446744073709551615")]).await;
    let typed = Typed::new(returning_one("", "u64")).await;
    for (given, returned) in [
        (json!(u64::MAX), json!("18446744073709551615")),
        (json!("7"), json!(7)),
        (json!("007"), json!(7)),
    ] {
        assert_eq!(typed.returned("f", given).await.unwrap(), returned);
    }
    let too_large = [
        json!("18446744073709551616"),
        json!("-1"),
        json!(-1),
        json!("1e3"),
        json!(""),
    ];
    are_refused("", "u64", &too_large).await;
    are_refused(
        "",
        "s64",
        &[json!("9223372036854775808"), json!(u64::MAX), json!("--1")],
    )
    .await;
}

#[tokio::test]
async fn floats_keep_every_bit_that_numbers_have() {
    // The third is read wrongly by parsers that are not exact.
    let floats: [f64; 6] = [
        0.1,
        -0.0,
        1.7976931348623157e308,
        5e-324,
        2.2250738585072014e-308,
        1e23,
    ];
    let typed = Typed::new(returning_one("", "f64")).await;
    for float in floats {
        // As text, since serde_json's own parser is not exact.
        let result = typed.host.call(call("f", json!({ "x": float }))).await;
        let returned: f64 = result.to_text().parse().unwrap();
        assert_eq!(returned.to_bits(), float.to_bits(), "{float}");
    }
    come_back(
        "",
        "f64",
        &[json!("NaN"), json!("Infinity"), json!("-Infinity")],
    )
    .await;
    come_back("", "f32", &[json!(0.5), json!("NaN"), json!("-Infinity")]).await;
    let typed = Typed::new(returning_one("", "f32")).await;
    // The shortest digits of a 32-bit float, not those of the 64-bit one of the same value.
    assert_eq!(typed.returned("f", json!(0.1)).await.unwrap(), json!(0.1));
    are_refused(
        "",
        "f32",
        &[json!(1e39), json!("1"), json!("nan"), json!(true)],
    )
    .await;
}

#[tokio::test]
async fn text_is_kept_whatever_it_contains() {
    let texts = ["", "\u{0}\u{1f}\"\\", "😀\u{301}", "</script>", "\u{2028}"];
    come_back("", "string", &texts.map(|text| json!(text))).await;
    come_back("", "char", &[json!("a"), json!("😀"), json!("\u{0}")]).await;
    are_refused("", "char", &[json!(""), json!("ab"), json!([])]).await;
}

#[tokio::test]
async fn bytes_are_base64() {
    come_back("", "list<u8>", &[json!(""), json!("AAEC/w==")]).await;
    are_refused(
        "",
        "list<u8>",
        &[json!("AAE"), json!("AAE_"), json!("!"), json!([1])],
    )
    .await;
    let typed = Typed::new(returning_one("", "list<u8>")).await;
    let schema = &typed.host.tool("f").unwrap().input_schema;
    assert_eq!(
        schema["properties"]["x"],
        json!({ "type": "string", "contentEncoding": "base64" })
    );
}

#[tokio::test]
async fn records_have_optional_fields_where_their_type_is_an_option() {
    let point = "record point { the-x: s32, the-y: option<string>, deep: option<option<u8>> }";
    come_back(
        point,
        "point",
        &[
            json!({ "the-x": 1 }),
            json!({ "the-x": 1, "the-y": "y" }),
            json!({ "the-x": 1, "deep": { "some": null } }),
            json!({ "the-x": 1, "deep": { "some": 5 } }),
        ],
    )
    .await;
    let typed = Typed::new(returning_one(point, "point")).await;
    let given = json!({ "deep": null, "the-y": null, "the-x": 1 });
    assert_eq!(
        typed.returned("f", given).await.unwrap(),
        json!({ "the-x": 1 })
    );
    are_refused(
        point,
        "point",
        &[json!({}), json!({ "the-x": 1, "other": 1 }), json!([1])],
    )
    .await;
    let schema = &typed.host.tool("f").unwrap().input_schema["properties"]["x"];
    assert_eq!(schema["required"], json!(["the-x"]));
    assert_eq!(schema["additionalProperties"], json!(false));
}

#[tokio::test]
async fn options_within_options_are_told_apart() {
    let ty = "list<option<option<option<u8>>>>";
    let all =
        json!([null, { "some": null }, { "some": { "some": null } }, { "some": { "some": 3 } }]);
    come_back("", ty, &[all]).await;
    are_refused(
        "",
        ty,
        &[
            json!([{ "some": 3 }]),
            json!([{}]),
            json!([{ "some": null, "a": 1 }]),
        ],
    )
    .await;
}

#[tokio::test]
async fn variants_have_a_tag_and_a_value() {
    let shape = "record size { w: u32, h: u32 } variant shape { none, circle(f64), rect(size), named(option<string>) }";
    come_back(
        shape,
        "shape",
        &[
            json!({ "tag": "none" }),
            json!({ "tag": "circle", "val": 1.5 }),
            json!({ "tag": "rect", "val": { "w": 1, "h": 2 } }),
            json!({ "tag": "named" }),
            json!({ "tag": "named", "val": "n" }),
        ],
    )
    .await;
    are_refused(
        shape,
        "shape",
        &[
            json!({ "tag": "square" }),
            json!({ "tag": "none", "val": 1 }),
            json!({ "tag": "circle" }),
            json!({ "val": 1.5 }),
            json!("none"),
        ],
    )
    .await;
    // A value may come before its tag.
    let typed = Typed::new(returning_one(shape, "shape")).await;
    let arguments = r#"{"x":{"val":{"h":2,"w":1},"tag":"rect"}}"#;
    let result = typed
        .host
        .call(toolhost::ToolCall::new("1", "f", arguments))
        .await;
    assert_eq!(result.to_text(), r#"{"tag":"rect","val":{"w":1,"h":2}}"#);
}

#[tokio::test]
async fn enums_flags_and_tuples() {
    come_back(
        "enum color { red, dark-blue }",
        "color",
        &[json!("red"), json!("dark-blue")],
    )
    .await;
    are_refused("enum color { red }", "color", &[json!("blue"), json!(0)]).await;
    let flags = "flags access { read, write, run }";
    come_back(flags, "access", &[json!([]), json!(["read", "run"])]).await;
    are_refused(
        flags,
        "access",
        &[json!(["fly"]), json!(["read", "read"]), json!("read")],
    )
    .await;
    come_back(
        "",
        "tuple<u8, option<string>, tuple<bool>>",
        &[json!([1, null, [true]]), json!([1, "s", [false]])],
    )
    .await;
    are_refused(
        "",
        "tuple<u8, u8>",
        &[json!([1]), json!([1, 2, 3]), json!(1)],
    )
    .await;
}

#[tokio::test]
async fn thirty_two_flags_are_all_kept() {
    let names: Vec<String> = (0..32).map(|at| format!("f{at}")).collect();
    let declared = format!("flags many {{ {} }}", names.join(", "));
    come_back(&declared, "many", &[json!(names), json!(["f0", "f31"])]).await;
}

#[tokio::test]
async fn results_within_values_have_a_tag_and_a_value() {
    come_back(
        "",
        "list<result<u8, string>>",
        &[json!([
            { "tag": "ok", "val": 1 },
            { "tag": "err", "val": "no" },
        ])],
    )
    .await;
    come_back(
        "",
        "list<result>",
        &[json!([{ "tag": "ok" }, { "tag": "err" }])],
    )
    .await;
    come_back(
        "",
        "list<result<_, u8>>",
        &[json!([{ "tag": "ok" }, { "tag": "err", "val": 7 }])],
    )
    .await;
}

#[tokio::test]
async fn the_error_of_a_result_is_a_failure_of_the_call() {
    let wit =
        "variant problem { missing(string), other } record item { id: u64, tags: list<string> }";
    let typed = Typed::new(returning_one(wit, "result<list<item>, problem>")).await;
    let items = json!([{ "id": 1, "tags": ["a"] }, { "id": "18446744073709551615", "tags": [] }]);
    let ok = json!({ "tag": "ok", "val": items });
    assert_eq!(typed.returned("f", ok).await.unwrap(), items);
    let err = json!({ "x": { "tag": "err", "val": { "tag": "missing", "val": "b" } } });
    let failed = typed.host.call(call("f", err)).await;
    let message = r#"{"tag":"missing","val":"b"}"#.to_owned();
    assert_eq!(*error(&failed), CallError::Failed { message });
    // A string is its own message.
    let typed = Typed::new(returning_one("", "result<u8, string>")).await;
    let err = json!({ "x": { "tag": "err", "val": "the disk is full" } });
    let failed = typed.host.call(call("f", err)).await;
    assert_eq!(*error(&failed), CallError::failed("the disk is full"));
}

#[tokio::test]
async fn a_function_without_a_value_answers_ok() {
    let wit = format!(
        "package test:typed; world w {{ export nothing: func(); export maybe: func(x: result, {SPILLED}) -> result; }}"
    );
    let typed = Typed::new(returning(&wit)).await;
    let result = typed.host.call(call("nothing", json!({}))).await;
    assert_eq!(result.to_text(), "ok");
    assert_eq!(typed.host.tool("nothing").unwrap().output_schema, None);
    let result = typed
        .host
        .call(call("maybe", json!({ "x": { "tag": "ok" } })))
        .await;
    assert_eq!(result.to_text(), "ok");
    let failed = typed
        .host
        .call(call("maybe", json!({ "x": { "tag": "err" } })))
        .await;
    assert_eq!(error(&failed).code(), "failed");
}

#[tokio::test]
async fn text_is_the_value_and_structured_output_is_an_object() {
    let typed = Typed::new(returning_one("", "string")).await;
    let result = typed.host.call(call("f", json!({ "x": "a \"b\"" }))).await;
    assert_eq!(result.to_text(), "a \"b\"");
    let structured = result.outcome.unwrap().structured.unwrap();
    assert_eq!(structured.get(), r#"{"result":"a \"b\""}"#);
    let schema = typed.host.tool("f").unwrap().output_schema.clone().unwrap();
    assert_eq!(schema["type"], "object");
    assert_eq!(schema["properties"]["result"], json!({ "type": "string" }));
}

#[tokio::test]
async fn each_call_has_an_instance_of_its_own() {
    let wit = "package test:typed; world w { export count: func() -> u32; }";
    let module = r#"(module (memory (export "memory") 1)
        (global $n (mut i32) (i32.const 0))
        (func (export "count") (result i32)
            (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#;
    let typed = Typed::new(crate::common::typed::of_module(wit, module)).await;
    for _ in 0..3 {
        assert_eq!(
            typed.call("count", json!({})).await.unwrap(),
            json!({ "result": 1 })
        );
    }
}

#[tokio::test]
async fn post_return_is_called_and_a_trap_in_it_is_an_error() {
    let wit = "package test:typed; world w { export f: func() -> string; }";
    let module = r#"(module (memory (export "memory") 1)
        (func (export "f") (result i32) (i32.const 8))
        (func (export "cabi_post_f") (param i32) unreachable))"#;
    let typed = Typed::new(crate::common::typed::of_module(wit, module)).await;
    let failed = typed.host.call(call("f", json!({}))).await;
    assert_eq!(error(&failed).code(), "trap");
}
