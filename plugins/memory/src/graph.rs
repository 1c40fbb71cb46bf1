//! The graph, and its lines in the file.

use serde::{Deserialize, Serialize};
use toolhost_plugin::serde_json::{self, Map, Value};
use toolhost_plugin::{Error, JsonSchema};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "toolhost_plugin::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Entity {
    /// Its name; no other entity has the same.
    pub(crate) name: String,
    /// What it is, such as "person", "project", "event".
    pub(crate) entity_type: String,
    /// Facts about it, each on its own.
    pub(crate) observations: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "toolhost_plugin::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Relation {
    /// Name of the entity where the relation starts.
    pub(crate) from: String,
    /// Name of the entity where the relation ends.
    pub(crate) to: String,
    /// What relates them, in active voice, such as "works at".
    pub(crate) relation_type: String,
}

/// A value, and the members of its line that are not ours: other programs may keep some.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line<T> {
    pub(crate) value: T,
    others: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Graph {
    pub(crate) entities: Vec<Line<Entity>>,
    pub(crate) relations: Vec<Line<Relation>>,
}

impl<T> From<T> for Line<T> {
    fn from(value: T) -> Self {
        Self {
            value,
            others: Map::new(),
        }
    }
}

impl Graph {
    /// Reads the lines of the file: all of them, so that writing it again loses nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let mut graph = Self::default();
        for (number, line) in (1..).zip(text.split('\n')) {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            graph.add(line).map_err(|why| {
                Error::failed(format!(
                    "line {number} is damaged: {why}; correct or remove it: until then nothing is changed"
                ))
            })?;
        }
        Ok(graph)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let mut members: Map<String, Value> = serde_json::from_str(line).map_err(|error| {
            format!(
                "it is not a JSON object (column {}: {error})",
                error.column()
            )
        })?;
        match members.remove("type") {
            Some(Value::String(kind)) if kind == "entity" => {
                let value = split(&mut members, &["name", "entityType", "observations"])?;
                self.entities.push(Line {
                    value,
                    others: members,
                });
            }
            Some(Value::String(kind)) if kind == "relation" => {
                let value = split(&mut members, &["from", "to", "relationType"])?;
                self.relations.push(Line {
                    value,
                    others: members,
                });
            }
            _ => return Err(r#"its "type" is neither "entity" nor "relation""#.to_owned()),
        }
        Ok(())
    }

    /// The lines of the file.
    pub(crate) fn to_text(&self) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Written<'l, T> {
            r#type: &'static str,
            #[serde(flatten)]
            value: &'l T,
            #[serde(flatten)]
            others: &'l Map<String, Value>,
        }
        fn write<T: Serialize>(
            text: &mut String,
            kind: &'static str,
            line: &Line<T>,
        ) -> Result<(), Error> {
            text.push_str(&serde_json::to_string(&Written {
                r#type: kind,
                value: &line.value,
                others: &line.others,
            })?);
            text.push('\n');
            Ok(())
        }
        let mut text = String::new();
        for entity in &self.entities {
            write(&mut text, "entity", entity)?;
        }
        for relation in &self.relations {
            write(&mut text, "relation", relation)?;
        }
        Ok(text)
    }

    pub(crate) fn entity(&mut self, name: &str) -> Option<&mut Entity> {
        let mut entities = self.entities.iter_mut().map(|line| &mut line.value);
        entities.find(|entity| entity.name == name)
    }

    /// That there is no entity of that name, and what may have been meant.
    pub(crate) fn unknown(&self, name: &str) -> Error {
        let mut names = self.entities.iter().map(|line| &line.value.name);
        let like = |other: &&String| other.to_lowercase() == name.to_lowercase();
        let hint = match names.find(like) {
            Some(other) => format!("; there is {other:?}"),
            None => String::new(),
        };
        Error::invalid_arguments(format!(
            "there is no entity {name:?}{hint}: create it first, nothing was changed"
        ))
    }
}

/// A value of some members, which are taken out.
fn split<T: for<'de> Deserialize<'de>>(
    members: &mut Map<String, Value>,
    names: &[&str],
) -> Result<T, String> {
    let taken: Map<String, Value> = names
        .iter()
        .filter_map(|name| members.remove_entry(*name))
        .collect();
    serde_json::from_value(Value::Object(taken)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::Graph;

    const FILE: &str = r#"{"type":"entity","name":"A","entityType":"t","observations":["x"]}
{"type":"entity","name":"B","entityType":"t","observations":[],"createdAt":"2026-01-01"}
{"type":"relation","from":"A","to":"B","relationType":"r"}
"#;

    #[test]
    fn the_file_is_read_and_written_without_loss() {
        assert_eq!(Graph::parse(FILE).unwrap().to_text().unwrap(), FILE);
        let crlf = FILE.replace('\n', "\r\n\r\n");
        assert_eq!(Graph::parse(&crlf).unwrap().to_text().unwrap(), FILE);
        assert_eq!(Graph::parse("").unwrap().to_text().unwrap(), "");
    }

    #[test]
    fn a_damaged_line_is_named() {
        for (line, why) in [
            (
                "{\"type\":\"entity\"",
                "line 4 is damaged: it is not a JSON object",
            ),
            ("[]", "line 4 is damaged: it is not a JSON object"),
            ("{\"type\":\"node\"}", "neither \"entity\" nor \"relation\""),
            (
                "{\"type\":\"entity\",\"name\":\"x\",\"entityType\":1}",
                "invalid type",
            ),
            ("{\"type\":\"relation\",\"from\":\"x\"}", "missing field"),
        ] {
            let error = Graph::parse(&format!("{FILE}{line}\n")).unwrap_err();
            assert!(error.message().contains(why), "{error}");
        }
    }
}
