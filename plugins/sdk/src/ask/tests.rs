use super::{Answer, Form, Page, Roots, Sample, all, form, maybe, one, page, remember, sample};
use crate::ask::{Question, Reply};
use crate::testing::{answering, completed, filled};
use crate::{Deserialize, Error, ErrorKind, JsonSchema};
use serde_json::{Value, json};
use std::cell::Cell;

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
struct Name {
    name: String,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
struct Age {
    age: u8,
}

fn introduce() -> Result<(String, u8), Error> {
    let Name { name } = form("name", "Your name?")?;
    let Age { age } = form("age", "Your age?")?;
    Ok((name, age))
}

fn keys(error: &Error) -> Vec<&str> {
    error
        .questions()
        .iter()
        .map(|(key, _)| key.as_str())
        .collect()
}

fn state(error: &Error) -> Value {
    serde_json::from_slice(error.state()).unwrap()
}

#[test]
fn replies_survive_later_rounds() {
    let first = introduce().unwrap_err();
    assert_eq!(first.kind(), ErrorKind::InputRequired);
    assert_eq!(keys(&first), ["name"]);
    assert!(first.state().is_empty(), "there is nothing to remember");
    let Question::Form(asked) = &first.questions()[0].1 else {
        panic!("no form: {first:?}");
    };
    assert_eq!(asked.message, "Your name?");
    assert_eq!(
        asked.schema,
        r#"{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}"#
    );

    let ada = filled(json!({ "name": "Ada" }));
    let second = answering(&first, [("name", ada)], introduce).unwrap_err();
    assert_eq!(keys(&second), ["age"]);
    assert_eq!(
        state(&second),
        json!({ "replies": { "name": { "Accepted": r#"{"name":"Ada"}"# } } })
    );

    let replies = [
        ("age", filled(json!({ "age": 36 }))),
        ("name", filled(json!({ "name": "Eve" }))),
    ];
    let answer = answering(&second, replies, introduce);
    assert_eq!(
        answer.unwrap(),
        ("Ada".to_owned(), 36),
        "what is known stays known"
    );
}

#[test]
fn what_was_not_asked_is_not_kept() {
    let first = introduce().unwrap_err();
    let replies = [
        ("name", filled(json!({ "name": "Ada" }))),
        ("other", filled(json!({}))),
    ];
    let second = answering(&first, replies, introduce).unwrap_err();
    assert_eq!(state(&second)["replies"].as_object().unwrap().len(), 1);
}

#[test]
fn an_unfit_reply_is_asked_for_again() {
    let first = introduce().unwrap_err();
    for unfit in [
        filled(json!({ "name": 7 })),
        filled(7),
        Reply::Accepted(None),
        completed("Ada"),
        Reply::Roots(Vec::new()),
    ] {
        let second = answering(&first, [("name", unfit)], introduce).unwrap_err();
        assert_eq!(keys(&second), ["name"]);
        assert!(second.state().is_empty());
    }
}

#[test]
fn a_no_ends_the_call_or_is_an_answer() {
    let first = introduce().unwrap_err();
    let no = |reply| answering(&first, [("name", reply)], introduce).unwrap_err();
    assert_eq!(
        no(Reply::Declined),
        Error::failed("the user declined to answer the question `name`")
    );
    assert_eq!(
        no(Reply::Dismissed).message(),
        "the user dismissed the question `name` without an answer"
    );

    let careful = || one(maybe(Form::<Name>::new("name", "Your name?")));
    let first = careful().unwrap_err();
    let answer = |reply| answering(&first, [("name", reply)], careful).unwrap();
    assert_eq!(answer(Reply::Declined), Answer::Declined);
    assert_eq!(answer(Reply::Dismissed), Answer::Dismissed);
    let ada = answer(filled(json!({ "name": "Ada" }))).accepted().unwrap();
    assert_eq!(ada.name, "Ada");
}

#[test]
fn several_questions_are_one_round_and_asked_once() {
    let ask = || {
        all((
            Form::<Name>::new("name", "Your name?"),
            Sample::new("motto").user("A motto, please.").max_tokens(50),
            Roots::new("folders"),
        ))
    };
    let first = ask().unwrap_err();
    assert_eq!(keys(&first), ["name", "motto", "folders"]);
    let second = answering(&first, [("motto", completed("Carpe diem."))], ask).unwrap_err();
    assert_eq!(keys(&second), ["name", "folders"]);
    let replies = [
        ("folders", Reply::Roots(Vec::new())),
        ("name", filled(json!({ "name": "Ada" }))),
    ];
    let (name, motto, folders) = answering(&second, replies, ask).unwrap();
    assert_eq!(
        (name.name.as_str(), motto.text().as_str()),
        ("Ada", "Carpe diem.")
    );
    assert!(folders.is_empty());

    let both = || all(vec![Roots::new("a"), Roots::new("b")]);
    assert_eq!(keys(&both().unwrap_err()), ["a", "b"]);
    let (a, none) = answering(
        &both().unwrap_err(),
        [("a", Reply::Roots(Vec::new()))],
        || all((Roots::new("a"), None::<Roots>)),
    )
    .unwrap();
    assert!(a.is_empty() && none.is_none());
    let same = all((Roots::new("a"), Roots::new("a"))).unwrap_err();
    assert_eq!(same, Error::failed("two questions have the key `a`"));
}

#[test]
fn a_value_is_made_once() {
    let made = Cell::new(0);
    let run = || {
        let number = remember("number", || {
            made.set(made.get() + 1);
            Ok(made.get())
        })?;
        page(
            "pay",
            "Please pay.",
            format!("https://example.com/{number}"),
        )?;
        Ok::<_, Error>(number)
    };
    let first = run().unwrap_err();
    assert_eq!(state(&first), json!({ "kept": { "number": 1 } }));
    let Question::Page(visit) = &first.questions()[0].1 else {
        panic!("no page: {first:?}");
    };
    assert_eq!(visit.url, "https://example.com/1");
    let number = answering(&first, [("pay", Reply::Accepted(None))], run).unwrap();
    assert_eq!((number, made.get()), (1, 1));
}

#[test]
fn a_visit_has_a_name_that_lasts() {
    let id = |page: Page| match super::Ask::question(&page).unwrap() {
        Question::Page(page) => page.id,
        _ => unreachable!(),
    };
    assert_eq!(id(Page::new("a", "", "u")), id(Page::new("a", "?", "u")));
    assert_ne!(id(Page::new("a", "", "u")), id(Page::new("a", "", "v")));
    assert_eq!(id(Page::new("a", "", "u").id("visit")), "visit");
}

#[test]
fn a_completion_survives_too() {
    let run = || {
        let motto = sample("motto", "A motto, please.")?;
        let Name { name } = form("name", "Your name?")?;
        Ok::<_, Error>(format!("{name}: {}", motto.text()))
    };
    let first = run().unwrap_err();
    let second = answering(&first, [("motto", completed("Carpe diem."))], run).unwrap_err();
    let name = filled(json!({ "name": "Ada" }));
    let answer = answering(&second, [("name", name)], run).unwrap();
    assert_eq!(answer, "Ada: Carpe diem.");
}

#[test]
fn a_state_of_another_version_is_as_good_as_none() {
    super::begin(Some(crate::bindings::toolhost::plugin::types::Resumption {
        state: b"v0".to_vec(),
        replies: vec![("name".into(), filled(json!({ "name": "Ada" })))],
    }));
    let asked = introduce().unwrap_err();
    super::end();
    assert_eq!(keys(&asked), ["age"]);
}
