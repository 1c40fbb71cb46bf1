//! Plugins for [toolhost](https://crates.io/crates/toolhost): tools for language models, written as documented Rust
//! functions and compiled to a WebAssembly component.
//!
//! ```
//! use toolhost_plugin::{Error, arguments, plugin, tool};
//!
//! #[arguments]
//! struct Greet {
//!     /// Who to greet.
//!     name: String,
//!     /// How often; 1 by default.
//!     times: Option<u8>,
//! }
//!
//! /// Greets someone.
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
//! The model sees the function's name, its doc comment as the description, and a JSON Schema of the struct, with the
//! doc comments of the fields. The host validates arguments against this schema before it creates an instance. If serde
//! then rejects them for another reason, the call fails with [`Error::invalid_arguments`], which says where.
//!
//! # Setup
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! toolhost-plugin = "0.1"
//! ```
//!
//! `cargo build --release --target wasm32-wasip2` builds the component. To keep it small, set `panic = "abort"`,
//! `lto = true`, `opt-level = "s"` and `strip = true` in `[profile.release]`.
//!
//! # Arguments
//!
//! [`#[arguments]`](arguments) derives serde's `Deserialize` and schemars' `JsonSchema` for the arguments of tools, and
//! [`#[structured]`](structured) derives `Serialize` and `JsonSchema` for results that are returned as [`Json`]. The
//! types of their fields need the same attribute. Any `#[serde(…)]` and `#[schemars(…)]` attributes may follow; for
//! example, `#[serde(deny_unknown_fields)]` rejects arguments that are not in the schema. A crate with its own
//! dependencies on serde and schemars can use `#[derive(Deserialize, JsonSchema)]` and `impl` [`Arguments`] instead.
//!
//! # `#[tool]`
//!
//! The function has one parameter, a struct of arguments, or none. All options are optional:
//!
//! | option | meaning |
//! | --- | --- |
//! | `name = "…"` | the tool's name; by default, the function's |
//! | `title = "…"` | a display name |
//! | `icon = "…"` | an icon, as an `https:` or `data:` URI; can be repeated |
//! | `read_only` | the tool changes nothing |
//! | `destructive`, `additive` | it may delete or overwrite something, or only adds |
//! | `idempotent` | a second call with the same arguments has no further effect |
//! | `open_world`, `closed_world` | it reaches systems outside the host, such as the web, or does not |
//! | `input_schema = …`, `output_schema = …` | JSON Schemas as text, in place of those of the types |
//!
//! It returns an [`IntoResult`]: a `String`, a [`Json`] value, an [`Output`] with several content blocks, or a `Result`
//! of one of these. `?` converts any [`std::error::Error`] to [`Error::failed`] with its whole chain of causes.
//!
//! A tool may be an `async fn`, to wait for several things at a time: see [`task`].
//!
//! # `#[prompt]`
//!
//! The function has one parameter, a struct of arguments, or none. Clients send the arguments of prompts as text; the
//! fields may be strings, numbers, booleans and enums. It returns the messages of the prompt: a `String`, a
//! [`Conversation`] of several messages, or a `Result` of one of these. The options are `name`, `title` and `icon`.
//!
//! # Questions, resources and completion
//!
//! Tools, prompts and resources can [`ask`] the client's user or model. A plugin with resources implements [`Resources`];
//! [`completion`] suggests values for arguments. [`plugin!`] lists everything that the plugin offers.
//!
//! # The host
//!
//! The host has [`log`], [`progress`], [`config`], [`secret`], [`resource_updated`] and [`resources_changed`], and sends
//! [`http`] requests; it also has other tools to [call](calls). Files, environment variables, clocks and randomness are available through `std`. The manifest
//! grants access to each. Every call has a new instance, so a `static` has its initial value in each call, and nothing
//! needs to be thread-safe.
//!
//! # Tests
//!
//! A plugin also compiles natively, so `cargo test` can call its functions. The host's functions are then replaced:
//! log lines go to stderr, and [`testing`] sets the configuration, secrets, HTTP responses and replies to questions.

// The generated bindings and the macros name this crate as a plugin does.
extern crate self as toolhost_plugin;

mod arguments;
pub mod ask;
#[doc(hidden)]
pub mod bindings;
pub mod calls;
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
///     /// The maximum number of results.
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
/// Makes the crate a plugin with the given tools: the paths of functions with [`#[tool]`](tool). The long form also lists
/// resources, prompts and completion; only what is listed is exported.
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
/// Makes a documented function a prompt: see [the crate's documentation](crate#prompt).
pub use toolhost_plugin_macros::prompt;
/// Derives `Serialize` and `JsonSchema` for a tool's structured result: see [`Json`].
pub use toolhost_plugin_macros::structured;
/// Makes a documented function a tool: see [the crate's documentation](crate#tool).
pub use toolhost_plugin_macros::tool;

/// Used by the macros; not part of the public interface.
#[doc(hidden)]
#[path = "plugin.rs"]
pub mod __private;

/// A hash of these bytes, in order.
fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    format!("{:016x}", hasher.finish())
}
