//! A plugin that was written for version 0.1.0 of the interface and uses all of it.

use exports::toolhost::plugin::completion::{
    Guest as CompletionGuest, Request, Subject, Suggestions,
};
use exports::toolhost::plugin::prompts::{Argument, Filled, Get, Guest as PromptGuest, Prompt};
use exports::toolhost::plugin::resources::{Guest as ResourceGuest, Read, Resource, Template};
use exports::toolhost::plugin::tools::Guest as ToolGuest;
use toolhost::plugin::host::{self, Level};
use toolhost::plugin::types::{
    Annotations, Call, Content, EmbeddedResource, Error, Form, Icon, InputRequired, Media, Message,
    Output, Page, Prompt as Sampling, Question, QuestionKind, Reply, ResourceBody, ResourceLink,
    Resumption, Role, Tool,
};

wit_bindgen::generate!({ world: "whole" });

struct Plugin;
export!(Plugin);

const SCHEMA: &str = r#"{"type":"object","properties":{"kind":{"type":"string"}}}"#;

fn tool(name: &str) -> Tool {
    Tool {
        name: name.into(),
        title: Some(format!("Title of {name}")),
        description: format!("Description of {name}"),
        icons: vec![Icon {
            src: "https://example.com/icon.png".into(),
            mime_type: Some("image/png".into()),
            sizes: vec!["48x48".into()],
        }],
        input_schema: SCHEMA.into(),
        output_schema: None,
        annotations: Annotations {
            read_only: Some(true),
            destructive: None,
            idempotent: Some(true),
            open_world: Some(false),
        },
    }
}

fn text(text: impl Into<String>) -> Result<Output, Error> {
    Ok(Output {
        content: vec![Content::Text(text.into())],
        structured: None,
    })
}

impl ToolGuest for Plugin {
    fn list_tools() -> Vec<Tool> {
        let contents = Tool {
            output_schema: Some(r#"{"type":"object"}"#.into()),
            ..tool("contents")
        };
        vec![contents, tool("host"), tool("ask"), tool("fail")]
    }

    fn call_tool(call: Call) -> Result<Output, Error> {
        match &*call.name {
            "contents" => Ok(contents()),
            "host" => text(use_host()),
            "ask" => ask(call.resumed),
            _ => Err(failure(&call.arguments)),
        }
    }
}

fn embedded(body: ResourceBody) -> EmbeddedResource {
    EmbeddedResource {
        uri: "compat://embedded".into(),
        mime_type: Some("text/plain".into()),
        body,
    }
}

fn contents() -> Output {
    let media = |mime_type: &str| Media {
        data: vec![0, 255, 1],
        mime_type: mime_type.into(),
    };
    Output {
        content: vec![
            Content::Text("text".into()),
            Content::Image(media("image/png")),
            Content::Audio(media("audio/wav")),
            Content::Link(ResourceLink {
                uri: "compat://link".into(),
                name: "link".into(),
                description: Some("a link".into()),
                mime_type: None,
            }),
            Content::Embedded(embedded(ResourceBody::Text("inside".into()))),
            Content::Embedded(embedded(ResourceBody::Blob(vec![7]))),
        ],
        structured: Some(r#"{"number":1}"#.into()),
    }
}

fn use_host() -> String {
    for level in [
        Level::Debug,
        Level::Info,
        Level::Notice,
        Level::Warning,
        Level::Error,
    ] {
        host::log(level, "a line");
    }
    host::progress(1.0, Some(2.0), Some("half"));
    host::resource_updated("compat://changing");
    host::resources_changed();
    let kinds = [
        QuestionKind::Form,
        QuestionKind::Page,
        QuestionKind::Prompt,
        QuestionKind::Roots,
    ];
    let can_ask = kinds.map(host::can_ask);
    let secret = host::secret("token").map(|secret| secret.len());
    format!("{:?} {secret:?} {can_ask:?}", host::config("key"))
}

fn ask(resumed: Option<Resumption>) -> Result<Output, Error> {
    let Some(resumed) = resumed else {
        let form = Form {
            message: "Which?".into(),
            schema: r#"{"type":"object","properties":{"which":{"type":"string"}}}"#.into(),
        };
        let page = Page {
            message: "Log in.".into(),
            url: "https://example.com/login".into(),
            id: "1".into(),
        };
        let sampling = Sampling {
            messages: vec![Message {
                role: Role::User,
                content: Content::Text("Say something.".into()),
            }],
            system_prompt: None,
            max_tokens: 10,
            temperature: Some(0.5),
            stop_sequences: vec!["stop".into()],
        };
        return Err(Error::InputRequired(InputRequired {
            questions: vec![
                ("form".into(), Question::Form(form)),
                ("page".into(), Question::Page(page)),
                ("prompt".into(), Question::Prompt(sampling)),
                ("roots".into(), Question::Roots),
            ],
            state: b"state".to_vec(),
        }));
    };
    let mut replies: Vec<String> = resumed
        .replies
        .iter()
        .map(|(key, reply)| {
            let reply = match reply {
                Reply::Accepted(form) => format!("accepted {form:?}"),
                Reply::Declined => "declined".to_owned(),
                Reply::Dismissed => "dismissed".to_owned(),
                Reply::Completion(completion) => match &completion.content {
                    Content::Text(text) => format!("{} said {text}", completion.model),
                    _ => "completion".to_owned(),
                },
                Reply::Roots(roots) => format!("{} roots", roots.len()),
            };
            format!("{key}: {reply}")
        })
        .collect();
    replies.sort();
    text(format!(
        "{}; {}",
        String::from_utf8_lossy(&resumed.state),
        replies.join("; ")
    ))
}

fn failure(arguments: &str) -> Error {
    if arguments.contains("invalid") {
        Error::InvalidArguments("invalid".into())
    } else if arguments.contains("denied") {
        Error::Denied("denied".into())
    } else {
        Error::Failed("failed".into())
    }
}

impl ResourceGuest for Plugin {
    fn list_resources() -> Result<Vec<Resource>, Error> {
        Ok(vec![Resource {
            uri: "compat://listed".into(),
            name: "listed".into(),
            title: Some("Listed".into()),
            description: None,
            mime_type: Some("text/plain".into()),
            size: Some(6),
            icons: Vec::new(),
        }])
    }

    fn list_templates() -> Vec<Template> {
        vec![Template {
            uri_template: "compat://items/{id}".into(),
            name: "item".into(),
            title: None,
            description: Some("An item.".into()),
            mime_type: None,
            icons: Vec::new(),
        }]
    }

    fn read_resource(read: Read) -> Result<Vec<EmbeddedResource>, Error> {
        Ok(vec![EmbeddedResource {
            body: ResourceBody::Text(format!("content of {}", read.uri)),
            uri: read.uri,
            mime_type: None,
        }])
    }

    fn resource_version(uri: String) -> Result<String, Error> {
        Ok(format!("version of {uri}"))
    }
}

impl PromptGuest for Plugin {
    fn list_prompts() -> Vec<Prompt> {
        vec![Prompt {
            name: "greet".into(),
            title: Some("Greet".into()),
            description: None,
            icons: Vec::new(),
            arguments: vec![Argument {
                name: "who".into(),
                title: None,
                description: Some("Whom to greet".into()),
                required: true,
            }],
        }]
    }

    fn get_prompt(get: Get) -> Result<Filled, Error> {
        Ok(Filled {
            description: Some(format!("{} arguments", get.arguments.len())),
            messages: vec![Message {
                role: Role::Assistant,
                content: Content::Text(format!("Hello, {}", get.arguments[0].1)),
            }],
        })
    }
}

impl CompletionGuest for Plugin {
    fn complete(request: Request) -> Result<Suggestions, Error> {
        let of = match request.of {
            Subject::Prompt(name) => name,
            Subject::Template(uri) => uri,
        };
        Ok(Suggestions {
            values: vec![format!("{of} {}{}", request.argument, request.value)],
            total: Some(1),
        })
    }
}
