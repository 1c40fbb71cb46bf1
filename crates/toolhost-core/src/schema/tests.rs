//! Repairs of arguments, rule by rule.

use super::Schema;

/// What becomes of arguments: their text, and each repair as `path what`; `None` if they are refused.
fn fitted(schema: &str, arguments: &str) -> Option<(String, Vec<String>)> {
    let (source, schema) = Schema::parse(schema).unwrap();
    let written = schema.check_now(arguments);
    match schema.fit_now(&source, arguments) {
        Ok(fitted) => {
            let repairs = fitted.repairs.iter();
            let repairs = repairs.map(|repair| format!("{} {}", repair.path, repair.what));
            // Once repaired they are as they stay.
            let text = fitted.text.into_owned();
            let again = schema.fit_now(&source, &text).unwrap();
            assert_eq!(
                (&*again.text, again.repairs),
                (&*text, Vec::new()),
                "{arguments}"
            );
            Some((text, repairs.collect()))
        }
        Err(error) => {
            assert_eq!(
                error,
                written.unwrap_err(),
                "the error is of what was written"
            );
            None
        }
    }
}

/// Arguments that are repaired so, in one place.
#[track_caller]
fn becomes(schema: &str, arguments: &str, expected: &str) -> Vec<String> {
    let (text, repairs) = fitted(schema, arguments).expect(arguments);
    assert_eq!(text, expected, "{arguments}");
    assert!(!repairs.is_empty());
    repairs
}

/// Arguments that pass as they are written.
#[track_caller]
fn stays(schema: &str, arguments: &str) {
    assert_eq!(
        fitted(schema, arguments),
        Some((arguments.to_owned(), Vec::new()))
    );
}

#[track_caller]
fn refused(schema: &str, arguments: &str) {
    assert_eq!(fitted(schema, arguments), None, "{arguments}");
}

/// A schema of an object with one property.
fn of(property: &str) -> String {
    format!(r#"{{"type":"object","properties":{{"a":{property}}}}}"#)
}

#[test]
fn a_value_written_as_a_string_is_read_where_no_string_can_be() {
    for (property, written, value, what) in [
        (r#"{"type":"integer"}"#, r#""10""#, "10", "a number"),
        (r#"{"type":"integer"}"#, r#"" -7\n""#, "-7", "a number"),
        (r#"{"type":"number"}"#, r#""1.50e3""#, "1.50e3", "a number"),
        (r#"{"type":"boolean"}"#, r#""false""#, "false", "a boolean"),
        (
            r#"{"type":"array"}"#,
            r#""[\"b\", 1]""#,
            r#"["b", 1]"#,
            "an array",
        ),
        (
            r#"{"type":"object"}"#,
            r#""{\"b\":null}""#,
            r#"{"b":null}"#,
            "an object",
        ),
        (r#"{"type":["integer","null"]}"#, r#""3""#, "3", "a number"),
        (
            r#"{"anyOf":[{"type":"array"},{"type":"null"}]}"#,
            r#""[]""#,
            "[]",
            "an array",
        ),
        (r#"{"enum":[1,2,true]}"#, r#""2""#, "2", "a number"),
        (r#"{"const":true}"#, r#""true""#, "true", "a boolean"),
        (
            r#"{"type":["boolean","integer"]}"#,
            r#""1""#,
            "1",
            "a number",
        ),
        (
            r#"{"not":{"type":"null"},"type":"integer"}"#,
            r#""1""#,
            "1",
            "a number",
        ),
    ] {
        let repairs = becomes(
            &of(property),
            &format!(r#"{{"a": {written} }}"#),
            &format!(r#"{{"a": {value} }}"#),
        );
        assert_eq!(repairs, [format!("/a {what} written as a string")]);
    }
}

#[test]
fn a_string_stays_where_a_string_can_be() {
    for property in [
        r#"{"type":"string"}"#,
        r#"{"type":["string","integer"]}"#,
        r#"{"anyOf":[{"type":"integer"},{"type":"string"}]}"#,
        r#"{"oneOf":[{"type":"array"},{"enum":["10","[1]"]}]}"#,
        "{}",
        "true",
        r#"{"description":"a number"}"#,
    ] {
        for arguments in [r#"{"a":"10"}"#, r#"{"a":"[1]"}"#] {
            stays(&of(property), arguments);
        }
    }
    // Not even where something else is wrong.
    let schema = r#"{"properties":{"a":{"type":"string"},"b":{"type":"boolean"}}}"#;
    becomes(schema, r#"{"a":"1","b":"true"}"#, r#"{"a":"1","b":true}"#);
}

#[test]
fn nothing_is_guessed() {
    for (property, written) in [
        (r#"{"type":"integer"}"#, r#""""#),
        (r#"{"type":"integer"}"#, r#"" ""#),
        (r#"{"type":"integer"}"#, r#""10 apples""#),
        (r#"{"type":"integer"}"#, r#""1,000""#),
        (r#"{"type":"integer"}"#, r#""0x10""#),
        (r#"{"type":"integer"}"#, r#""010""#),
        (r#"{"type":"integer"}"#, r#""+1""#),
        (r#"{"type":"integer"}"#, r#""1.5""#),
        (r#"{"type":"integer"}"#, r#""\"10\"""#),
        (r#"{"type":"integer"}"#, r#""true""#),
        (r#"{"type":"integer"}"#, r#""[10]""#),
        (r#"{"type":"integer"}"#, "true"),
        (r#"{"type":"integer"}"#, "1.5"),
        (r#"{"type":"integer","maximum":5}"#, r#""10""#),
        (r#"{"type":"number"}"#, r#""1e400""#),
        (r#"{"type":"number"}"#, r#""NaN""#),
        (r#"{"type":"boolean"}"#, r#""True""#),
        (r#"{"type":"boolean"}"#, r#""yes""#),
        (r#"{"type":"boolean"}"#, "1"),
        (r#"{"type":["integer","null"]}"#, r#""null""#),
        (r#"{"type":"null"}"#, r#""null""#),
        (r#"{"type":"array"}"#, r#""a, b""#),
        (r#"{"type":"array"}"#, r#""['a']""#),
        (r#"{"type":"array"}"#, r#""[1,]""#),
        (r#"{"type":"array"}"#, r#""[1] [2]""#),
        (r#"{"type":"array"}"#, r#"{"0":1}"#),
        (r#"{"type":"array","items":{"type":"string"}}"#, r#""10""#),
        (r#"{"type":"object"}"#, r#""{\"b\":1,\"b\":2}""#),
        (r#"{"type":"object"}"#, r#""```json\n{}\n```""#),
        (r#"{"type":"string"}"#, "true"),
        (r#"{"type":"string"}"#, r#"{"b":1}"#),
        // It may be "1" or true.
        (r#"{"type":["string","boolean"]}"#, "1"),
        // It may be "1" or ["1"].
        (r#"{"anyOf":[{"type":"string"},{"type":"array"}]}"#, "1"),
        (r#"{"type":"string","pattern":"^x"}"#, "10"),
        ("false", "null"),
    ] {
        refused(&of(property), &format!(r#"{{"a":{written}}}"#));
    }
}

#[test]
fn a_number_becomes_text_by_its_own_digits() {
    for number in [
        "42",
        "-0",
        "1.50",
        "10.0",
        "1e3",
        "9007199254740993",
        "123456789012345678901234567890",
        "0.1000000000000000055511151231257827",
    ] {
        for property in [
            r#"{"type":"string"}"#,
            r#"{"type":["string","null"]}"#,
            r##"{"$ref":"#/properties/b"}"##,
            r#"{"anyOf":[{"type":"string","minLength":1},{"type":"null"}]}"#,
        ] {
            let schema = format!(r#"{{"properties":{{"a":{property},"b":{{"type":"string"}}}}}}"#);
            let repairs = becomes(
                &schema,
                &format!(r#"{{"a":{number}}}"#),
                &format!(r#"{{"a":"{number}"}}"#),
            );
            assert_eq!(repairs, ["/a a number where a string is expected"]);
        }
    }
}

#[test]
fn digits_are_never_lost() {
    let schema = &of(r#"{"type":"integer"}"#);
    for digits in ["9007199254740993", "123456789012345678901234567890"] {
        becomes(
            schema,
            &format!(r#"{{"a":"{digits}"}}"#),
            &format!(r#"{{"a":{digits}}}"#),
        );
        stays(schema, &format!(r#"{{"a":{digits}}}"#));
    }
    becomes(
        schema,
        r#"{"a":9007199254740993.0}"#,
        r#"{"a":9007199254740993}"#,
    );
    becomes(
        schema,
        r#"{"a":"9007199254740993.0"}"#,
        r#"{"a":9007199254740993}"#,
    );
    // Nobody can read so many.
    stays(schema, r#"{"a":1e300}"#);
    // What is repaired leaves the rest as it is written.
    let schema = r#"{"properties":{"a":{"type":"integer"},"b":{"type":"number"}}}"#;
    let rest = r#""b" : 1.10000000000000000001, "\u0063":[ 1e2,"\u00e9" ] }"#;
    becomes(
        schema,
        &format!(r#"{{"a":"1",{rest}"#),
        &format!(r#"{{"a":1,{rest}"#),
    );
}

#[test]
fn a_whole_number_is_written_as_one_where_only_an_integer_can_be() {
    let integer = &of(r#"{"type":"integer"}"#);
    let repairs = becomes(integer, r#"{"a":10.0}"#, r#"{"a":10}"#);
    assert_eq!(repairs, ["/a a whole number written with a fraction"]);
    becomes(integer, r#"{"a":1e2}"#, r#"{"a":100}"#);
    becomes(
        &of(r#"{"type":["integer","string"]}"#),
        r#"{"a":10.0}"#,
        r#"{"a":10}"#,
    );
    becomes(
        &of(r#"{"items":{"type":"integer"}}"#),
        r#"{"a":[1, 2.0,3.00]}"#,
        r#"{"a":[1, 2,3]}"#,
    );
    for property in [
        r#"{"type":"number"}"#,
        "{}",
        r#"{"anyOf":[{"type":"integer"},{"type":"number"}]}"#,
    ] {
        stays(&of(property), r#"{"a":10.0}"#);
    }
    // Draft 4 takes no such integer at all.
    let draft4 = r#"{"$schema":"http://json-schema.org/draft-04/schema#","properties":{"a":{"type":"integer"}}}"#;
    becomes(draft4, r#"{"a":10.0}"#, r#"{"a":10}"#);
}

#[test]
fn null_is_dropped_for_what_is_optional_and_not_nullable() {
    let schema = r#"{"properties":{"a":{"type":"string"},"b":{"type":"integer"},"n":{"type":["integer","null"]},
        "r":{"type":"integer"}},"required":["r"],"additionalProperties":{"type":"string"}}"#;
    for (arguments, expected) in [
        (r#"{"r":1,"a":null}"#, r#"{"r":1}"#),
        (r#"{"a":null,"r":1}"#, r#"{"r":1}"#),
        (r#"{ "a" : null , "b":null, "r":1 }"#, r#"{ "r":1 }"#),
        (r#"{"r":1 , "a": null, "b":null }"#, r#"{"r":1 }"#),
        (
            r#"{"a":null,"r":1,"b":null,"n":null}"#,
            r#"{"r":1,"n":null}"#,
        ),
    ] {
        let repairs = becomes(schema, arguments, expected);
        assert!(
            repairs[0].ends_with(" null for an optional argument"),
            "{repairs:?}"
        );
    }
    becomes(&of(r#"{"type":"string"}"#), r#"{ "a":null }"#, "{  }");
    stays(schema, r#"{"r":1,"n":null}"#);
    refused(schema, r#"{"r":null}"#);
    // A member that the schema does not name is nobody's option.
    refused(schema, r#"{"r":1,"other":null}"#);
    refused(r#"{"additionalProperties":false}"#, r#"{"a":null}"#);
    refused(&of(r#"{"items":{"type":"string"}}"#), r#"{"a":["x",null]}"#);
    // Required in one of the ways in which it may fit.
    let either =
        r#"{"properties":{"a":{"type":"string"}},"anyOf":[{"required":["a"]},{"required":["b"]}]}"#;
    refused(either, r#"{"a":null,"b":1}"#);
}

#[test]
fn what_is_around_the_arguments_is_taken_off() {
    let schema = &of(r#"{"type":"string"}"#);
    for (arguments, what) in [
        (
            r#""{\"a\":\"x\"}""#,
            "the arguments written as a JSON string",
        ),
        (
            "```json\n{\"a\":\"x\"}\n```",
            "a code fence around the arguments",
        ),
        (
            "```\n{\"a\":\"x\"}\n```",
            "a code fence around the arguments",
        ),
        ("```{\"a\":\"x\"}```", "a code fence around the arguments"),
        (
            "````JSON\r\n{\"a\":\"x\"}\r\n````",
            "a code fence around the arguments",
        ),
        (
            "\u{feff}{\"a\":\"x\"}",
            "a byte order mark before the arguments",
        ),
    ] {
        let repairs = becomes(schema, arguments, r#"{"a":"x"}"#);
        assert_eq!(repairs, [format!(" {what}")]);
    }
    let all = serde_json::to_string("\u{feff}```json\n{\"a\":\"x\"}\n```").unwrap();
    assert_eq!(becomes(schema, &all, r#"{"a":"x"}"#).len(), 3);
    let number = becomes(schema, "```json\n{\"a\":7}\n```", r#"{"a":"7"}"#);
    assert_eq!(number.len(), 2);
    for arguments in [
        "```json\n{\"a\":\"x\"}\n``` and so on",
        "```json\n{\"a\":\"x\"}",
        "Here:\n```json\n{\"a\":\"x\"}\n```",
        "```json\n{\"a\":\"x\"}{\"a\":\"y\"}\n```",
        "`{\"a\":\"x\"}`",
        r#""x""#,
        r#""[{\"a\":\"x\"}]""#,
        "[{\"a\":\"x\"}]",
        "null",
        "{'a':'x'}",
        "{\"a\":\"x\",}",
        "```json\n{\"a\":\"x\",}\n```",
        "{\"a\":\"x\"} and then",
    ] {
        refused(schema, arguments);
    }
}

#[test]
fn what_is_inside_of_others_is_repaired_where_its_schema_is_certain() {
    let tree = r##"{"$defs":{"node":{"type":"object","properties":{"n":{"type":"integer"},
        "next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}}}},"$ref":"#/$defs/node"}"##;
    let repairs = becomes(
        tree,
        r#"{"next":{"next":{"n":"1","next":null}}}"#,
        r#"{"next":{"next":{"n":1,"next":null}}}"#,
    );
    assert_eq!(repairs, ["/next/next/n a number written as a string"]);
    // Strings in strings, each in its own schema.
    let text = r#"{"next":"{\"next\":\"{\\\"n\\\":\\\"1\\\"}\"}"}"#;
    assert_eq!(becomes(tree, text, r#"{"next":{"next":{"n":1}}}"#).len(), 3);
    for (schema, arguments, expected) in [
        (
            r#"{"allOf":[{"properties":{"a":{"type":["integer","string"]}}},{"properties":{"a":{"type":["integer","null"]}}}]}"#,
            r#"{"a":"1"}"#,
            r#"{"a":1}"#,
        ),
        (
            r#"{"patternProperties":{"^n_":{"type":"integer"}},"additionalProperties":{"type":"string"}}"#,
            r#"{"n_x":"1","m":2}"#,
            r#"{"n_x":1,"m":"2"}"#,
        ),
        (
            r#"{"properties":{"a":{"prefixItems":[{"type":"string"},{"type":"boolean"}],"items":{"type":"integer"}}}}"#,
            r#"{"a":[1,"true","2"]}"#,
            r#"{"a":["1",true,2]}"#,
        ),
        (
            r#"{"$schema":"http://json-schema.org/draft-07/schema#",
            "properties":{"a":{"items":[{"type":"string"}],"additionalItems":{"type":"integer"}}}}"#,
            r#"{"a":[1,"2"]}"#,
            r#"{"a":["1",2]}"#,
        ),
        (
            r#"{"properties":{"a/b~c":{"properties":{"x":{"type":"integer"}}}}}"#,
            r#"{"a/b~c":{"x":"1"}}"#,
            r#"{"a/b~c":{"x":1}}"#,
        ),
        // A tagged union: the tag says which.
        (
            r#"{"properties":{"op":{"oneOf":[
            {"properties":{"kind":{"const":"move"},"by":{"type":"integer"}},"required":["kind"]},
            {"properties":{"kind":{"const":"name"},"by":{"type":"string"}},"required":["kind"]}]}}}"#,
            r#"{"op":{"kind":"move","by":"3"}}"#,
            r#"{"op":{"kind":"move","by":3}}"#,
        ),
        // An untagged one: their required members do.
        (
            r#"{"anyOf":[{"properties":{"v":{"type":"integer"}},"required":["v","w"]},
            {"properties":{"v":{"type":"string"}},"required":["v"],"additionalProperties":false}]}"#,
            r#"{"v":"3","w":0}"#,
            r#"{"v":3,"w":0}"#,
        ),
        // Both ways ask for the same.
        (
            r#"{"if":{"properties":{"k":{"const":1}}},"then":{"properties":{"v":{"type":"integer"}}},
            "else":{"properties":{"v":{"type":"integer","minimum":5}}}}"#,
            r#"{"k":2,"v":"7"}"#,
            r#"{"k":2,"v":7}"#,
        ),
    ] {
        becomes(schema, arguments, expected);
    }
    let pointer = becomes(
        r#"{"properties":{"a/b~c":{"items":{"type":"integer"}}}}"#,
        r#"{"a/b~c":["1"]}"#,
        r#"{"a/b~c":[1]}"#,
    );
    assert_eq!(pointer, ["/a~1b~0c/0 a number written as a string"]);
}

#[test]
fn what_may_be_one_thing_or_another_is_left() {
    for (schema, arguments) in [
        // One way takes the string, and the other fault is not repairable.
        (
            r#"{"anyOf":[{"properties":{"v":{"type":"integer"}},"required":["w"]},{"properties":{"v":{"type":"string"}},"required":["x"]}]}"#,
            r#"{"v":"3"}"#,
        ),
        (
            r#"{"if":{"properties":{"k":{"const":1}},"required":["k"]},"then":{"properties":{"v":{"type":"integer"}}}}"#,
            r#"{"k":1,"v":"7"}"#,
        ),
        // Repaired it would fit neither.
        (
            r#"{"properties":{"a":{"type":"integer"},"b":{"type":"integer"}}}"#,
            r#"{"a":"1","b":"x"}"#,
        ),
        (
            r#"{"properties":{"a":{"items":{"type":"integer"},"uniqueItems":true}}}"#,
            r#"{"a":["1",1]}"#,
        ),
    ] {
        refused(schema, arguments);
    }
    // Up to draft 7 what is beside a `$ref` does not count: this is any text, and stays.
    let beside = r##"{"$schema":"http://json-schema.org/draft-07/schema#","definitions":{"any":{}},
        "properties":{"a":{"$ref":"#/definitions/any","type":"integer"},"b":{"type":"integer"}}}"##;
    becomes(beside, r#"{"a":"1","b":"2"}"#, r#"{"a":"1","b":2}"#);
}

#[test]
fn repairs_take_bounded_work() {
    // What is exponential would not come to its end. Each level may be walked in many ways.
    let ways: Vec<String> = (0..40)
        .map(|n| format!(r##"{{"properties":{{"a":{{"$ref":"#"}},"v":{{"type":"integer"}},"k":{{"const":{n}}}}}}}"##))
        .collect();
    let schema = format!(r#"{{"anyOf":[{}]}}"#, ways.join(","));
    let deep = "{\"a\":".repeat(30) + r#"{"v":"1"}"# + &"}".repeat(30);
    let (source, schema) = Schema::parse(&schema).unwrap();
    let _ = schema.fit_now(&source, &deep);
    // Strings in strings, as many as fit.
    let mut text = "{}".to_owned();
    while text.len() < 1 << 20 {
        text = format!("{{\"a\":{}}}", serde_json::to_string(&text).unwrap());
    }
    let (source, schema) =
        Schema::parse(r##"{"properties":{"a":{"$ref":"#"}},"type":"object"}"##).unwrap();
    assert!(schema.fit_now(&source, &text).is_ok());
    // More repairs than are named.
    let many = format!(r#"{{"a":[{}"1"]}}"#, r#""1","#.repeat(100_000));
    let (source, schema) = Schema::parse(&of(r#"{"items":{"type":"integer"}}"#)).unwrap();
    assert!(schema.fit_now(&source, &many).is_err());
    let few = format!(r#"{{"a":[{}"1"]}}"#, r#""1","#.repeat(1_000));
    assert_eq!(schema.fit_now(&source, &few).unwrap().repairs.len(), 1_001);
    // A name of a megabyte for each of them.
    let name = "n".repeat(1 << 20);
    let long = format!(r#"{{"{name}":["1","2","3"]}}"#);
    let (source, schema) =
        Schema::parse(r#"{"additionalProperties":{"items":{"type":"integer"}}}"#).unwrap();
    assert!(schema.fit_now(&source, &long).is_err());
}
