//! What can be read.

use crate::PIXEL;
use toolhost_plugin::serde_json::{Value, json};
use toolhost_plugin::{Contents, Error, Resource, Resources, Template, ask, config, secret};

pub(crate) struct Fixtures;

const WATCHED: &str = "test://watched-resource";
const ASKING: &str = "test://asking-resource";

impl Resources for Fixtures {
    fn list() -> Result<Vec<Resource>, Error> {
        let mut resources = vec![
            Resource::new("test://static-text", "static-text")
                .with_title("Static Text Resource")
                .with_description("A static text resource for testing")
                .with_mime_type("text/plain")
                .with_size(STATIC_TEXT.len() as u64)
                .with_icon("https://example.com/text.png"),
            Resource::new("test://static-binary", "static-binary")
                .with_description("A static binary resource for testing")
                .with_mime_type("image/png"),
            Resource::new(WATCHED, "watched-resource")
                .with_description("A resource that changes, as a file does")
                .with_mime_type("text/plain"),
            Resource::new(ASKING, "asking-resource")
                .with_description("A resource that asks for a name first")
                .with_mime_type("text/plain"),
        ];
        if let Some(size) = secret("size").and_then(|size| size.parse().ok()) {
            resources.push(Resource::new("test://sized", "sized").with_size(size));
        }
        // The file may name more of them.
        resources.extend(
            watched()?
                .lines()
                .filter(|line| line.starts_with("test://"))
                .map(|uri| Resource::new(uri, uri)),
        );
        Ok(resources)
    }

    fn templates() -> Vec<Template> {
        vec![
            template()
                .with_description("A resource of any id")
                .with_mime_type("application/json"),
        ]
    }

    fn read(uri: &str) -> Result<Contents, Error> {
        match uri {
            "test://static-text" => return Ok(Contents::text("text/plain", STATIC_TEXT)),
            "test://static-binary" => return Ok(Contents::blob("image/png", PIXEL.into())),
            WATCHED => return Ok(Contents::text("text/plain", watched()?)),
            ASKING => return asking(),
            _ => {}
        }
        if let Some(variables) = template().variables(uri) {
            let (_, id) = &variables[0];
            if id.starts_with("spin") {
                crate::ours::for_ever();
            }
            let text = json!({
                "id": id,
                "templateTest": true,
                "data": format!("Data for ID: {id}")
            });
            return Ok(Contents::text("application/json", text.to_string()));
        }
        if watched()?.lines().any(|line| line == uri) {
            return Ok(Contents::text("text/plain", uri));
        }
        Err(Error::not_found(uri))
    }
}

const STATIC_TEXT: &str = "This is the content of the static text resource.";

fn template() -> Template {
    Template::new("test://template/{id}/data", "template")
}

/// What the file that the configuration's `watched` names has to say.
fn watched() -> Result<String, Error> {
    match config("watched") {
        Some(file) => Ok(std::fs::read_to_string(file)?),
        None => Ok("Nobody watches.".to_owned()),
    }
}

fn asking() -> Result<Contents, Error> {
    let answer: Value = ask::form_of(
        "name",
        "Who is reading?",
        json!({
            "type": "object",
            "properties": { "name": { "type": "string" } },
            "required": ["name"]
        }),
    )?;
    let name = answer["name"].as_str().unwrap_or_default();
    Ok(Contents::text("text/plain", format!("Hello, {name}!")))
}
