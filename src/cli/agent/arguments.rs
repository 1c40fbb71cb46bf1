//! Shows a call's arguments for approval: parsed and printed by our own code, so that the model's
//! spacing and escapes do not decide what is visible. What is left out is counted.

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use toolhost::printable;

use crate::cli::out;

/// Deeper objects and arrays are shown by their number of members.
const MAX_DEPTH: usize = 16;

/// The most members and items shown, outermost first.
const MAX_MEMBERS: usize = 100;

/// How many characters of a string are shown: the most with which everything fits into
/// [`MAX_CHARS`].
const LONGEST: [usize; 3] = [1000, 200, 60];

const MAX_CHARS: usize = 6000;

/// Indented JSON in a normal form: every key, our own spacing, and only those escapes that JSON
/// requires or that keep a terminal from obeying or hiding something.
pub(super) fn lines(arguments: &str) -> Vec<String> {
    let mut shown = Vec::new();
    for longest in LONGEST {
        let mut shape = Shape::new(longest);
        let json = arguments.trim_start_matches([' ', '\t', '\n', '\r']);
        if shape.value(json, 0, MAX_MEMBERS).is_err() {
            shape = Shape::new(longest);
            shape.push("not JSON: ");
            shape.string(arguments);
        }
        shown = shape.lines;
        if shown.iter().map(|line| line.chars().count()).sum::<usize>() <= MAX_CHARS {
            break;
        }
    }
    shown
}

struct Shape {
    lines: Vec<String>,
    longest: usize,
}

impl Shape {
    fn new(longest: usize) -> Shape {
        Shape {
            lines: vec![String::new()],
            longest,
        }
    }

    fn push(&mut self, text: &str) {
        if let Some(line) = self.lines.last_mut() {
            line.push_str(text);
        }
    }

    fn begin_line(&mut self, depth: usize) {
        self.lines.push("  ".repeat(depth));
    }

    /// Shows a value with at most `most` members. Returns how many there are.
    ///
    /// # Errors
    ///
    /// It is not JSON.
    fn value(&mut self, json: &str, depth: usize, most: usize) -> serde_json::Result<usize> {
        match json.as_bytes().first() {
            Some(b'{') => {
                let members = members(json)?;
                let members = members.iter().map(|(key, value)| (Some(&**key), *value));
                self.container(['{', '}'], &members.collect::<Vec<_>>(), depth, most)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(json)?;
                let items = items.iter().map(|item| (None, *item));
                self.container(['[', ']'], &items.collect::<Vec<_>>(), depth, most)
            }
            Some(b'"') => {
                self.string(&serde_json::from_str::<String>(json)?);
                Ok(0)
            }
            // Numbers as written: parsed, they might be rounded.
            _ => {
                let token = serde_json::from_str::<&RawValue>(json)?.get();
                self.cut(token, |text| text.to_owned());
                Ok(0)
            }
        }
    }

    fn container(
        &mut self,
        [open, close]: [char; 2],
        members: &[(Option<&str>, &RawValue)],
        depth: usize,
        most: usize,
    ) -> serde_json::Result<usize> {
        self.push(open.encode_utf8(&mut [0; 4]));
        let shown = match depth < MAX_DEPTH {
            true => members.len().min(most),
            false => 0,
        };
        // Nested members share what is left, so that the first cannot use it up.
        let mut spare = most - shown;
        for (at, (key, value)) in members[..shown].iter().enumerate() {
            self.begin_line(depth + 1);
            if let Some(key) = key {
                self.string(key);
                self.push(": ");
            }
            let share = spare / (shown - at);
            spare -= self.value(value.get(), depth + 1, share)?;
            if at + 1 < members.len() {
                self.push(",");
            }
        }
        if shown < members.len() {
            self.begin_line(depth + 1);
            self.push(&format!("… {} more, not shown", members.len() - shown));
        }
        if !members.is_empty() {
            self.begin_line(depth);
        }
        self.push(close.encode_utf8(&mut [0; 4]));
        Ok(most - spare)
    }

    fn string(&mut self, text: &str) {
        // Before cutting: half a secret would not be found.
        let text = out::masked(text.to_owned());
        self.cut(&text, |text| {
            let quoted = serde_json::Value::from(text).to_string();
            printable::json(&quoted).into_owned()
        });
    }

    /// Shows a text or, if it is long, its beginning and its end. The mark between them is outside
    /// quotes, so that no string can imitate it.
    fn cut(&mut self, text: &str, spell: impl Fn(&str) -> String) {
        let count = text.chars().count();
        if count <= self.longest {
            return self.push(&spell(text));
        }
        let place = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(at, _)| at);
        let tail = self.longest / 4;
        let begin = &text[..place(self.longest - tail)];
        let end = &text[place(count - tail)..];
        let hidden = count - self.longest;
        let (begin, end) = (spell(begin), spell(end));
        self.push(&format!("{begin} … {hidden} more characters … {end}"));
    }
}

/// The members of an object as written: duplicate keys are shown twice.
fn members(json: &str) -> serde_json::Result<Vec<(String, &RawValue)>> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(json);
    let members = reader.deserialize_map(Members)?;
    reader.end()?;
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(arguments: &str) -> String {
        lines(arguments).join("\n")
    }

    #[test]
    fn blanks_of_the_model_hide_nothing() {
        for blanks in [" ".repeat(5000), "\n".repeat(5000), "\t\r\n".repeat(2000)] {
            let arguments =
                format!("{blanks}{{\"content\":{blanks}\"hi\",{blanks}\"path\":\"/w\"}}{blanks}");
            let expected = "{\n  \"content\": \"hi\",\n  \"path\": \"/w\"\n}";
            assert_eq!(shown(&arguments), expected);
        }
    }

    #[test]
    fn escapes_are_resolved_and_what_is_invisible_is_escaped() {
        let arguments = r#"{"p\u0061th":"/w/\u0065vil\u202e5.txt\u001b\n\\u0065\"","n":1e400}"#;
        let expected =
            "{\n  \"path\": \"/w/evil\\u202e5.txt\\u001b\\n\\\\u0065\\\"\",\n  \"n\": 1e400\n}";
        assert_eq!(shown(arguments), expected);
        assert_eq!(
            shown("{\"a\":\"\u{202e}\u{7f}\"}"),
            "{\n  \"a\": \"\\u202e\\u007f\"\n}"
        );
    }

    #[test]
    fn a_long_string_keeps_its_ends_and_hides_no_key() {
        let long = format!("begin{}end", "x".repeat(5000));
        let arguments = format!(r#"{{"content":"{long}","path":"/w/evil"}}"#);
        let shown = shown(&arguments);
        for part in [
            "\"begin",
            " … 4008 more characters … ",
            "end\",",
            "\"path\": \"/w/evil\"",
        ] {
            assert!(shown.contains(part), "no {part} in {shown}");
        }
        // A string that imitates the mark is inside quotes.
        let forged = self::shown(r#"{"a":"b\" … 10 more characters … \"c"}"#);
        assert!(
            forged.contains(r#""b\" … 10 more characters … \"c""#),
            "{forged}"
        );
    }

    #[test]
    fn many_long_strings_are_shortened_more() {
        let long = "x".repeat(900);
        let members: Vec<String> = (0..50).map(|at| format!("\"k{at}\":\"{long}\"")).collect();
        let shown = shown(&format!("{{{}}}", members.join(",")));
        assert!(shown.chars().count() < 8000, "{shown}");
        assert_eq!(shown.matches("840 more characters").count(), 50, "{shown}");
        assert!(
            (0..50).all(|at| shown.contains(&format!("\"k{at}\": "))),
            "{shown}"
        );
    }

    #[test]
    fn hidden_members_are_counted_outermost_first() {
        let many = vec!["[1,2,3]"; 500].join(",");
        let text = shown(&format!(r#"{{"a":[{many}],"path":"/w/evil"}}"#));
        assert!(text.contains("\"path\": \"/w/evil\""), "{text}");
        assert!(text.contains("more, not shown"), "{text}");
        assert!(text.lines().count() < 500, "{text}");
        let text = shown(&format!("[{many}]"));
        assert!(text.contains("\n  … 400 more, not shown\n"), "{text}");
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(shown(&deep).contains("… 1 more, not shown"));
    }

    #[test]
    fn a_key_that_is_there_twice_is_shown_twice() {
        assert_eq!(shown(r#"{"a":1,"a":2}"#), "{\n  \"a\": 1,\n  \"a\": 2\n}");
    }

    #[test]
    fn what_is_not_json_is_said_to_be_so() {
        assert_eq!(
            shown("{\"a\":1} x\u{1b}"),
            "not JSON: \"{\\\"a\\\":1} x\\u001b\""
        );
        assert_eq!(shown(""), "not JSON: \"\"");
        assert_eq!(shown("{}"), "{}");
        assert_eq!(shown("[[],{}]"), "[\n  [],\n  {}\n]");
    }
}
