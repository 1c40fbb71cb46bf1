//! Used by the code that `plugin!` generates, which has the exports. Not part of the public interface.

use crate::arguments::{Arguments, parse, parse_texts};
pub use crate::bindings;
pub use crate::bindings::completion::exports::toolhost::plugin::completion::{
    Guest as CompletionGuest, Request, Suggestions,
};
pub use crate::bindings::exports::toolhost::plugin::tools::{
    Call, Error as WitError, Guest, Output as WitOutput, Tool as Description,
};
use crate::bindings::prompts::exports::toolhost::plugin::prompts::Argument;
pub use crate::bindings::prompts::exports::toolhost::plugin::prompts::{
    Filled, Get, Guest as PromptGuest, Prompt as PromptDescription,
};
pub use crate::bindings::resources::exports::toolhost::plugin::resources::{
    Guest as ResourceGuest, Read, Resource, Template,
};
pub use crate::bindings::toolhost::plugin::types::{
    Annotations, EmbeddedResource, Icon, Resumption,
};
pub use crate::schema::paragraphs;
use crate::schema::{no_arguments, of_arguments, of_output, of_texts};
pub use crate::task::block_on;
use crate::{IntoConversation, IntoResult};
pub use wit_bindgen;

/// A function with `#[tool]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tool",
    label = "not a function with `#[tool]`",
    note = "`plugin!` takes functions with `#[tool]`; those with `#[prompt]` belong into `prompts: […]`"
)]
pub trait Tool {
    const NAME: &'static str;
    fn describe() -> Description;
    fn made() -> Made;
}

/// A function with `#[prompt]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a prompt",
    label = "not a function with `#[prompt]`",
    note = "`prompts: […]` takes functions with `#[prompt]`; those with `#[tool]` belong into `tools: […]`"
)]
pub trait Prompt {
    const NAME: &'static str;
    fn describe() -> PromptDescription;
    fn made() -> MadePrompt;
}

/// A tool's function, of any types.
pub struct Made {
    pub input_schema: fn() -> String,
    pub output_schema: fn() -> Option<String>,
    call: Box<CallTool>,
}

/// A prompt's function, of any types.
pub struct MadePrompt {
    arguments: fn() -> Vec<Argument>,
    get: Box<dyn FnOnce(Texts) -> Result<crate::Conversation, crate::Error>>,
}

type CallTool = dyn FnOnce(&str) -> Result<crate::Output, crate::Error>;

/// The arguments of a prompt, by name.
type Texts = Vec<(String, String)>;

impl Made {
    pub fn call(self, arguments: &str) -> Result<crate::Output, crate::Error> {
        (self.call)(arguments)
    }
}

impl MadePrompt {
    pub fn arguments(&self) -> Vec<Argument> {
        (self.arguments)()
    }

    pub fn get(self, texts: Texts) -> Result<crate::Conversation, crate::Error> {
        (self.get)(texts)
    }
}

/// A tool without arguments.
pub fn tool<O: IntoResult + 'static>(function: fn() -> O) -> Made {
    Made {
        input_schema: no_arguments,
        output_schema: of_output::<O>,
        call: Box::new(move |_| function().into_result()),
    }
}

/// A tool with arguments.
pub fn tool_of<A: Arguments + 'static, O: IntoResult + 'static>(function: fn(A) -> O) -> Made {
    Made {
        input_schema: of_arguments::<A>,
        output_schema: of_output::<O>,
        call: Box::new(move |arguments| function(parse(arguments)?).into_result()),
    }
}

/// A prompt without arguments.
pub fn prompt<O: IntoConversation + 'static>(function: fn() -> O) -> MadePrompt {
    MadePrompt {
        arguments: Vec::new,
        get: Box::new(move |_| function().into_conversation()),
    }
}

/// A prompt with arguments.
pub fn prompt_of<A: Arguments + 'static, O: IntoConversation + 'static>(
    function: fn(A) -> O,
) -> MadePrompt {
    MadePrompt {
        arguments: of_texts::<A>,
        get: Box::new(move |texts| function(parse_texts(texts)?).into_conversation()),
    }
}

/// Begins a call.
pub fn begin(resumed: Option<Resumption>) {
    crate::ask::begin(resumed);
}

/// Converts a result to the types of the plugin interface.
pub fn answer<T, W: From<T>>(result: Result<T, crate::Error>) -> Result<W, WitError> {
    match result {
        Ok(value) => Ok(value.into()),
        Err(error) => Err(error.into()),
    }
}

/// For a tool that is not listed: the host never calls one, but other hosts may.
pub fn unknown(kind: &str, name: &str) -> crate::Error {
    crate::Error::failed(format!("this plugin has no {kind} `{name}`"))
}

/// Reads a resource, as a call.
pub fn read<R: crate::Resources>(read: Read) -> Result<Vec<EmbeddedResource>, WitError> {
    begin(read.resumed);
    answer(R::read(&read.uri).map(|contents| contents.at(&read.uri)))
}

/// Calls a completion function.
pub fn complete<T: Into<Suggestions>, E: Into<crate::Error>>(
    complete: impl FnOnce(&Request) -> Result<T, E>,
    request: &Request,
) -> Result<Suggestions, WitError> {
    answer(complete(request).map(Into::into).map_err(Into::into))
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_tools {
    ($($tool:path),* $(,)?) => {
        const _: () = {
            struct Plugin;

            impl $crate::__private::Guest for Plugin {
                fn list_tools() -> ::std::vec::Vec<$crate::__private::Description> {
                    ::std::vec![$(<$tool as $crate::__private::Tool>::describe()),*]
                }

                fn call_tool(
                    call: $crate::__private::Call,
                ) -> ::std::result::Result<$crate::__private::WitOutput, $crate::__private::WitError> {
                    $crate::__private::begin(call.resumed);
                    let name = call.name.as_str();
                    $(
                        if name == <$tool as $crate::__private::Tool>::NAME {
                            let made = <$tool as $crate::__private::Tool>::made();
                            return $crate::__private::answer(made.call(&call.arguments));
                        }
                    )*
                    ::std::result::Result::Err($crate::__private::unknown("tool", name).into())
                }
            }

            // Natively nothing exports the tools, and rustc would warn of dead code.
            #[cfg(not(target_arch = "wasm32"))]
            const _: () = {
                let _ = <Plugin as $crate::__private::Guest>::list_tools;
                let _ = <Plugin as $crate::__private::Guest>::call_tool;
            };

            // A native linker does not accept the names of a component's exports.
            #[cfg(target_arch = "wasm32")]
            $crate::__private::bindings::__export_plugin!(Plugin with_types_in $crate::__private::bindings);
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_resources {
    ($resources:ty) => {
        const _: () = {
            struct Plugin;

            impl $crate::__private::ResourceGuest for Plugin {
                fn list_resources() -> ::std::result::Result<
                    ::std::vec::Vec<$crate::__private::Resource>,
                    $crate::__private::WitError,
                > {
                    $crate::__private::answer(<$resources as $crate::Resources>::list())
                }

                fn list_templates() -> ::std::vec::Vec<$crate::__private::Template> {
                    <$resources as $crate::Resources>::templates()
                }

                fn read_resource(
                    read: $crate::__private::Read,
                ) -> ::std::result::Result<
                    ::std::vec::Vec<$crate::__private::EmbeddedResource>,
                    $crate::__private::WitError,
                > {
                    $crate::__private::read::<$resources>(read)
                }

                fn resource_version(
                    uri: ::std::string::String,
                ) -> ::std::result::Result<::std::string::String, $crate::__private::WitError>
                {
                    $crate::__private::answer(<$resources as $crate::Resources>::version(&uri))
                }
            }

            #[cfg(not(target_arch = "wasm32"))]
            const _: () = {
                let _ = <Plugin as $crate::__private::ResourceGuest>::list_resources;
                let _ = <Plugin as $crate::__private::ResourceGuest>::list_templates;
                let _ = <Plugin as $crate::__private::ResourceGuest>::read_resource;
                let _ = <Plugin as $crate::__private::ResourceGuest>::resource_version;
            };

            #[cfg(target_arch = "wasm32")]
            $crate::__private::bindings::resources::__export_resources!(
                Plugin with_types_in $crate::__private::bindings::resources
            );
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_prompts {
    ($($prompt:path),* $(,)?) => {
        const _: () = {
            struct Plugin;

            impl $crate::__private::PromptGuest for Plugin {
                fn list_prompts() -> ::std::vec::Vec<$crate::__private::PromptDescription> {
                    ::std::vec![$(<$prompt as $crate::__private::Prompt>::describe()),*]
                }

                fn get_prompt(
                    get: $crate::__private::Get,
                ) -> ::std::result::Result<$crate::__private::Filled, $crate::__private::WitError> {
                    $crate::__private::begin(get.resumed);
                    let name = get.name.as_str();
                    $(
                        if name == <$prompt as $crate::__private::Prompt>::NAME {
                            let made = <$prompt as $crate::__private::Prompt>::made();
                            return $crate::__private::answer(made.get(get.arguments));
                        }
                    )*
                    ::std::result::Result::Err($crate::__private::unknown("prompt", name).into())
                }
            }

            #[cfg(not(target_arch = "wasm32"))]
            const _: () = {
                let _ = <Plugin as $crate::__private::PromptGuest>::list_prompts;
                let _ = <Plugin as $crate::__private::PromptGuest>::get_prompt;
            };

            #[cfg(target_arch = "wasm32")]
            $crate::__private::bindings::prompts::__export_prompts!(
                Plugin with_types_in $crate::__private::bindings::prompts
            );
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_completion {
    ($complete:path) => {
        const _: () = {
            struct Plugin;

            impl $crate::__private::CompletionGuest for Plugin {
                fn complete(
                    request: $crate::__private::Request,
                ) -> ::std::result::Result<
                    $crate::__private::Suggestions,
                    $crate::__private::WitError,
                > {
                    $crate::__private::complete($complete, &request)
                }
            }

            #[cfg(not(target_arch = "wasm32"))]
            const _: () = {
                let _ = <Plugin as $crate::__private::CompletionGuest>::complete;
            };

            #[cfg(target_arch = "wasm32")]
            $crate::__private::bindings::completion::__export_completion!(
                Plugin with_types_in $crate::__private::bindings::completion
            );
        };
    };
}

#[cfg(test)]
mod tests {
    use super::{Prompt, Tool, complete, read};
    use crate::bindings::resources::exports::toolhost::plugin::resources::Read;
    use crate::bindings::toolhost::plugin::types::{Content, Error as WitError, Resumption};
    use crate::completion::{Request, Subject};
    use crate::{Contents, Error, Resources, arguments, ask, prompt, testing, tool};
    use serde_json::json;

    #[arguments]
    struct Recipe {
        /// What to cook.
        dish: String,
        /// For how many.
        #[schemars(title = "Guests")]
        guests: Option<u8>,
    }

    /// Has something
    /// cooked.
    #[prompt(title = "Cook", icon = "https://example.com/pot.png")]
    fn cook(args: Recipe) -> Result<String, Error> {
        match args.guests {
            Some(0) => Err(Error::invalid_arguments("nobody is hungry")),
            guests => Ok(format!("Cook {} for {}.", args.dish, guests.unwrap_or(2))),
        }
    }

    /// Rings.
    #[tool(
        icon = "https://example.com/a.png",
        icon = "https://example.com/b.png",
        input_schema = r#"{"type":"object","$comment":"verbatim"}"#,
        output_schema = json!({ "type": "object" }).to_string()
    )]
    fn ring() {}

    #[test]
    fn a_prompt_is_what_its_function_says() {
        let prompt = <cook as Prompt>::describe();
        assert_eq!(
            (prompt.name.as_str(), prompt.title.as_deref()),
            ("cook", Some("Cook"))
        );
        assert_eq!(prompt.description.as_deref(), Some("Has something cooked."));
        assert_eq!(prompt.icons[0].src, "https://example.com/pot.png");
        let arguments = prompt.arguments;
        assert_eq!(
            (arguments[0].name.as_str(), arguments[0].required),
            ("dish", true)
        );
        assert_eq!(
            (arguments[1].title.as_deref(), arguments[1].required),
            (Some("Guests"), false)
        );
        let get = |guests: &str| {
            <cook as Prompt>::made().get(vec![
                ("dish".into(), "soup".into()),
                ("guests".into(), guests.into()),
            ])
        };
        let conversation = get("4").unwrap();
        assert_eq!(
            conversation.messages()[0].content,
            Content::Text("Cook soup for 4.".into())
        );
        assert_eq!(get("0").unwrap_err().message(), "nobody is hungry");
        assert!(get("many").is_err());
    }

    #[test]
    fn a_tool_has_icons_and_may_have_schemas_of_its_own() {
        let tool = <ring as Tool>::describe();
        assert_eq!(tool.icons.len(), 2);
        assert_eq!(
            tool.input_schema,
            r#"{"type":"object","$comment":"verbatim"}"#
        );
        assert_eq!(tool.output_schema.as_deref(), Some(r#"{"type":"object"}"#));
    }

    struct Files;

    impl Resources for Files {
        fn read(uri: &str) -> Result<Contents, Error> {
            if uri == "file:secret" {
                ask::page("login", "Log in.", "https://example.com/login")?;
            }
            match uri {
                "file:gone" => Err(Error::not_found(uri)),
                _ => Ok("text".into()),
            }
        }
    }

    #[test]
    fn resources_may_ask() {
        let read = |uri: &str, resumed| {
            read::<Files>(Read {
                uri: uri.into(),
                resumed,
            })
        };
        assert_eq!(read("file:a", None).unwrap()[0].uri, "file:a");
        assert_eq!(
            read("file:gone", None).unwrap_err(),
            WitError::InvalidArguments("there is no resource file:gone".into())
        );
        let Err(WitError::InputRequired(asked)) = read("file:secret", None) else {
            panic!("it asks");
        };
        let resumed = Resumption {
            state: asked.state,
            replies: vec![("login".into(), ask::Reply::Accepted(None))],
        };
        assert_eq!(read("file:secret", Some(resumed)).unwrap().len(), 1);
        assert_ne!(Files::version("file:a").unwrap(), "");
        let asked = testing::answering(&Error::failed(""), [], || Files::version("file:secret"));
        assert!(!asked.unwrap_err().questions().is_empty());
    }

    #[test]
    fn completion_takes_what_becomes_suggestions() {
        let request = Request {
            of: Subject::Template("file:{name}".into()),
            argument: "name".into(),
            value: String::new(),
            others: Vec::new(),
        };
        let suggestions = complete(|_| Ok::<_, Error>(vec!["a", "b"]), &request).unwrap();
        assert_eq!(suggestions.values, ["a", "b"]);
        let failed = complete(|_| "x".parse::<u8>().map(|_| vec![""]), &request);
        assert!(matches!(failed, Err(WitError::Failed(_))));
    }
}
