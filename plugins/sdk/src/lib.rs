//! Write a [toolhost](https://crates.io/crates/toolhost) plugin: tools for language models, each a documented
//! Rust function, compiled to one WebAssembly component.
//!
//! ```
//! use toolhost_plugin::{Error, arguments, plugin, tool};
//!
//! #[arguments]
//! struct Greet {
//!     /// Who to greet.
//!     name: String,
//!     /// How often; once if not given.
//!     times: Option<u8>,
//! }
//!
//! /// Greets somebody.
//! #[tool(title = "Greet", read_only, idempotent, closed_world)]
//! fn greet(args: Greet) -> Result<String, Error> {
//!     if args.name.is_empty() {
//!         return Err(Error::invalid_arguments("`name` is empty"));
//!     }
//!     Ok(format!("Hello, {}! ", args.name).repeat(args.times.unwrap_or(1).into()))
//! }
//!
//! plugin!(greet);
//! ```
//!
//! What the model sees of it: the function's name, its doc comment as the description, and a JSON Schema of the
//! struct with each field's doc comment. The host validates the arguments against that schema before it makes an
//! instance; what serde finds wrong beyond it becomes [`Error::invalid_arguments`] and names the place.
//!
//! # A crate of its own
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! toolhost-plugin = "0.1"
//! ```
//!
//! `cargo build --release --target wasm32-wasip2` makes the component. `[profile.release]` with
//! `panic = "abort"`, `lto = true`, `opt-level = "s"` and `strip = true` keeps it small.
//!
//! # Arguments
//!
//! [`#[arguments]`](arguments) derives serde's `Deserialize` and schemars' `JsonSchema`, and [`#[structured]`](structured)
//! derives `Serialize` and `JsonSchema` for what a tool returns as [`Json`]; use them on the types of fields too. All of
//! `#[serde(…)]` and `#[schemars(…)]` may follow: with `#[serde(deny_unknown_fields)]`, arguments that are not
//! in the schema are refused. A crate that depends on serde and schemars itself can write
//! `#[derive(Deserialize, JsonSchema)]` just as well, with `impl` [`Arguments`] for what a tool takes.
//!
//! # `#[tool]`
//!
//! The function takes one struct of arguments, or nothing. All options may be left out:
//!
//! | option | meaning |
//! | --- | --- |
//! | `name = "…"` | the tool's name, when it is not the function's |
//! | `title = "…"` | a name for people |
//! | `icon = "…"` | a picture that stands for it, by its `https:` or `data:` URI; there may be several |
//! | `read_only` | it changes nothing |
//! | `destructive`, `additive` | it may destroy something, or only ever adds |
//! | `idempotent` | a second call with the same arguments changes nothing more |
//! | `open_world`, `closed_world` | it reaches beyond the host (the web), or does not |
//! | `input_schema = …`, `output_schema = …` | JSON Schemas as text, when they are not the types' |
//!
//! It returns anything that is [`IntoResult`]: a `String`, [`Json`] of a serializable struct, an [`Output`] of several
//! contents, or a `Result` of one of these. `?` on any [`std::error::Error`] makes [`Error::failed`] with the
//! whole chain of causes.
//!
//! A tool may be an `async fn`, to wait for several things at a time: see [`task`].
//!
//! # `#[prompt]`
//!
//! A function with a struct of arguments too, which are texts to whoever gives them; fields may be numbers, booleans and enums
//! all the same. It returns the conversation that a user begins with: a `String`, a [`Conversation`] of several messages, or
//! a `Result` of one of these. The options are `name`, `title` and `icon`.
//!
//! # Questions, resources and completion
//!
//! Tools, prompts and resources may [`ask`] the client's user, or its model. [`Resources`] is the trait of what has a URI and can be
//! read, and [`completion`] helps to fill in arguments. [`plugin!`] names what a plugin offers.
//!
//! # What the host offers
//!
//! [`log`], [`progress`], [`config`] and [`secret`]; [`resource_updated`] and [`resources_changed`]; files, the
//! environment, clocks and randomness through `std`; [`http`] requests. What of it works is for the manifest to
//! grant. Every call runs in an instance of its own: a `static` is fresh in each, and nothing needs to be
//! thread-safe.
//!
//! # Tests
//!
//! A plugin compiles for the machine at hand too, so `cargo test` can call its functions. There the host's functions
//! are stand-ins: logs go to standard error, and [`testing`] has the configuration, the secrets, the responses to
//! HTTP requests and the replies to questions.

// The generated bindings and the macros name this crate as a plugin does.
extern crate self as toolhost_plugin;

mod arguments;
pub mod ask;
#[doc(hidden)]
pub mod bindings;
pub mod completion;
mod error;
mod host;
pub mod http;
mod output;
mod prompts;
mod resources;
mod schema;
pub mod task;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use arguments::Arguments;
pub use error::{Error, ErrorKind};
pub use host::{config, log, progress, resource_updated, resources_changed, secret};
pub use output::{
    Content, EmbeddedResource, Icon, IntoResult, Json, Media, Output, ResourceBody, ResourceLink,
};
pub use prompts::{Conversation, IntoConversation, Message, Role};
pub use resources::{Contents, Resource, Resources, Template};
pub use schemars::{self, JsonSchema};
pub use serde::{self, Deserialize, Serialize};
pub use serde_json;
/// Derives `Deserialize` and `JsonSchema` for a tool's arguments, without a dependency on serde or schemars.
///
/// ```
/// use toolhost_plugin::arguments;
///
/// #[arguments]
/// #[serde(deny_unknown_fields)]
/// struct Search {
///     /// What to look for.
///     query: String,
///     /// At most so many results.
///     #[serde(default = "ten")]
///     #[schemars(range(min = 1, max = 100))]
///     limit: usize,
/// }
///
/// fn ten() -> usize {
///     10
/// }
/// ```
pub use toolhost_plugin_macros::arguments;
/// Makes the crate a plugin that offers the given tools: functions with [`#[tool]`](tool), by path. Of what else it
/// may offer, it exports what is named.
///
/// ```
/// # mod weather {
/// #     /// Says how warm it is.
/// #     #[toolhost_plugin::tool]
/// #     pub fn temperature() -> String { String::from("12 °C") }
/// #     /// Says how windy it is.
/// #     #[toolhost_plugin::tool(name = "wind_speed")]
/// #     pub fn wind() -> String { String::from("3 m/s") }
/// # }
/// toolhost_plugin::plugin!(weather::temperature, weather::wind);
/// ```
///
/// ```
/// # use toolhost_plugin::{Contents, Error, Resources, completion, prompt, tool};
/// # struct Maps;
/// # impl Resources for Maps {
/// #     fn read(uri: &str) -> Result<Contents, Error> { Err(Error::not_found(uri)) }
/// # }
/// # /// Says how warm it is.
/// # #[tool]
/// # fn temperature() -> String { String::from("12 °C") }
/// # /// What to wear.
/// # #[prompt]
/// # fn clothes() -> String { String::from("What should I wear today?") }
/// # fn complete(_: &completion::Request) -> Result<Vec<String>, Error> { Ok(vec![]) }
/// toolhost_plugin::plugin! {
///     tools: [temperature],
///     resources: Maps,      // a type with the trait `Resources`
///     prompts: [clothes],   // functions with `#[prompt]`
///     completion: complete, // a function: see the module `completion`
/// }
/// ```
pub use toolhost_plugin_macros::plugin;
/// Makes a prompt of a documented function: a conversation to begin with. See [the crate's documentation](crate#prompt).
pub use toolhost_plugin_macros::prompt;
/// Derives `Serialize` and `JsonSchema` for a tool's structured result: see [`Json`].
pub use toolhost_plugin_macros::structured;
/// Makes a tool of a documented function: see [the crate's documentation](crate#tool).
pub use toolhost_plugin_macros::tool;

/// What the macros need; no part of the interface.
#[doc(hidden)]
#[path = "plugin.rs"]
pub mod __private;

/// A name for these bytes, in order; others have another name, as far as chance goes.
fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    format!("{:016x}", hasher.finish())
}
