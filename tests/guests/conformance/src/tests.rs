use crate::{contents, elicitation, ours, prompts, resources, rounds};
use toolhost_plugin::ask::{Question, Reply, Root};
use toolhost_plugin::serde_json::{Value, from_str, json};
use toolhost_plugin::testing::{answering, completed, filled};
use toolhost_plugin::{Error, Resources};

fn keys(error: &Error) -> Vec<&str> {
    error
        .questions()
        .iter()
        .map(|(key, _)| key.as_str())
        .collect()
}

fn schema(error: &Error) -> Value {
    match &error.questions()[0].1 {
        Question::Form(form) => from_str(&form.schema).unwrap(),
        other => panic!("no form: {other:?}"),
    }
}

#[test]
fn two_rounds_end_with_both_answers() {
    let first = ours::ask_twice().unwrap_err();
    let ada = [("name", filled(json!({ "name": "Ada" })))];
    let second = answering(&first, ada, ours::ask_twice).unwrap_err();
    let age = [("age", filled(json!({ "age": 36 })))];
    assert_eq!(
        answering(&second, age, ours::ask_twice).unwrap(),
        "Ada is 36"
    );

    let run = rounds::test_input_required_result_multi_round;
    let first = run().unwrap_err();
    assert_eq!(keys(&first), ["step1"]);
    let second = answering(&first, [("step1", filled(json!({ "name": "Ada" })))], run).unwrap_err();
    assert_eq!(keys(&second), ["step2"]);
    let done = answering(
        &second,
        [("step2", filled(json!({ "color": "blue" })))],
        run,
    );
    assert_eq!(done.unwrap(), "Multi-round flow complete: Ada likes blue");
}

#[test]
fn a_state_has_to_come_back() {
    let run = rounds::test_input_required_result_request_state;
    let asked = run().unwrap_err();
    let ok = || [("confirm", filled(json!({ "ok": true })))];
    assert_eq!(
        answering(&asked, ok(), run).unwrap(),
        "Confirmed (true): state-ok"
    );
    let lost = answering(&Error::failed(""), ok(), run).unwrap_err();
    assert_eq!(lost.message(), "the state was lost");
}

#[test]
fn several_are_asked_at_once() {
    let root = Root {
        uri: "file:///work".into(),
        name: None,
    };
    let replies = || {
        [
            ("user_name", filled(json!({ "name": "Ada" }))),
            ("greeting", completed("Hello there!")),
            ("client_roots", Reply::Roots(vec![root.clone()])),
        ]
    };
    let run = rounds::test_input_required_result_multiple_inputs;
    let asked = run().unwrap_err();
    assert_eq!(keys(&asked), ["user_name", "greeting", "client_roots"]);
    let done = answering(&asked, replies(), run).unwrap();
    assert_eq!(done, "All inputs received: Ada, Hello there!, 1 roots");
    let run = rounds::test_input_required_result_capabilities;
    let done = answering(&run().unwrap_err(), replies(), run).unwrap();
    assert_eq!(
        done,
        "Capability-aware flow complete: a form, sampling, roots"
    );
}

#[test]
fn a_form_has_fields_of_every_kind() {
    let asked = ours::ask_typed().unwrap_err();
    assert_eq!(
        schema(&asked),
        json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "minLength": 1, "description": "Who it is for." },
                "count": { "type": "integer", "minimum": 0, "maximum": 255, "default": 1 },
                "size": {
                    "type": "string",
                    "oneOf": [
                        { "const": "small", "title": "A small one" },
                        { "const": "large", "title": "A large one" }
                    ]
                },
                "extras": { "type": "array", "items": { "type": "string", "enum": ["milk", "sugar"] } },
                "hurry": { "type": "boolean", "default": false }
            },
            "required": ["name", "size"]
        })
    );
    let order = filled(json!({ "name": "Ada", "size": "large", "extras": ["milk"] }));
    assert_eq!(
        answering(&asked, [("order", order)], ours::ask_typed).unwrap(),
        "1 x Large for Ada, extras Some([Milk]), hurry false"
    );
    let no = answering(&asked, [("order", Reply::Declined)], ours::ask_typed);
    assert_eq!(no.unwrap(), "declined");
}

#[test]
fn actions_are_named_as_mcp_names_them() {
    let run = elicitation::test_elicitation_sep1034_defaults;
    let asked = run().unwrap_err();
    assert_eq!(schema(&asked)["properties"]["score"]["default"], 95.5);
    let answer = |reply| answering(&asked, [("elicitation", reply)], run).unwrap();
    assert_eq!(
        answer(filled(json!({ "age": 3 }))),
        r#"Elicitation completed: action=accept, content={"age":3}"#
    );
    assert!(answer(Reply::Dismissed).contains("action=cancel"));
}

#[test]
fn templates_completion_and_what_there_is_not() {
    let read = |uri| resources::Fixtures::read(uri);
    assert!(read("test://template/123/data").is_ok());
    assert!(read("test://template/1/2/data").is_err());
    assert!(read("test://watched-resource").is_ok());
    assert_eq!(keys(&read("test://asking-resource").unwrap_err()), ["name"]);
    assert_eq!(resources::Fixtures::list().unwrap().len(), 4);
    assert!(prompts::test_input_required_result_prompt().is_err());
    assert!(
        contents::test_trigger_tool_change().is_err(),
        "nothing is configured"
    );
}
