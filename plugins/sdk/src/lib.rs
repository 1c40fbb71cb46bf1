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
//! `#[derive(Deserialize, JsonSchema)]` just as well.
//!
//! # `#[tool]`
//!
//! The function takes one struct of arguments, or nothing. All options may be left out:
//!
//! | option | meaning |
//! | --- | --- |
//! | `name = "…"` | the tool's name, when it is not the function's |
//! | `title = "…"` | a name for people |
//! | `read_only` | it changes nothing |
//! | `destructive`, `additive` | it may destroy something, or only ever adds |
//! | `idempotent` | a second call with the same arguments changes nothing more |
//! | `open_world`, `closed_world` | it reaches beyond the host (the web), or does not |
//!
//! It returns anything that is [`IntoResult`]: a `String`, [`Json`] of a serializable struct, an [`Output`] of several
//! contents, or a `Result` of one of these. `?` on any [`std::error::Error`] makes [`Error::failed`] with the
//! whole chain of causes.
//!
//! # What the host offers
//!
//! [`log`], [`progress`], [`config`] and [`secret`]; files, the environment, clocks and randomness through `std`; HTTP through
//! `wasi:http` (crate `wasip2`). What of it works is for the manifest to grant. Every call runs in an
//! instance of its own: a `static` is fresh in each, and nothing needs to be thread-safe.
//!
//! # Tests
//!
//! A plugin compiles for the machine at hand too, so `cargo test` can call its functions. There the host's functions are
//! stand-ins: logs go to standard error, and there is no configuration and no secret.

// The generated bindings and the macros name this crate as a plugin does.
extern crate self as toolhost_plugin;

mod arguments;
#[doc(hidden)]
pub mod bindings;
mod error;
mod host;
mod output;
mod schema;

pub use error::{Error, ErrorKind};
pub use host::{config, log, progress, secret};
pub use output::{
    Content, EmbeddedResource, IntoResult, Json, Media, Output, ResourceBody, ResourceLink,
};
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
/// Derives `Serialize` and `JsonSchema` for a tool's structured result: see [`Json`].
pub use toolhost_plugin_macros::structured;
/// Makes a tool of a documented function: see [the crate's documentation](crate#tool).
pub use toolhost_plugin_macros::tool;

/// Makes the crate a plugin that offers the given tools: functions with [`#[tool]`](tool), by path.
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
#[macro_export]
macro_rules! plugin {
    ($($tool:path),+ $(,)?) => {
        const _: () = {
            struct Plugin;

            impl $crate::__private::Guest for Plugin {
                fn list_tools() -> ::std::vec::Vec<$crate::__private::Description> {
                    ::std::vec![$(<$tool as $crate::__private::Tool>::describe()),+]
                }

                fn call_tool(
                    call: $crate::__private::Call,
                ) -> ::std::result::Result<$crate::__private::WitOutput, $crate::__private::WitError> {
                    let name = call.name.as_str();
                    $(
                        if name == <$tool as $crate::__private::Tool>::NAME {
                            return $crate::__private::answer(<$tool as $crate::__private::Tool>::call(&call.arguments));
                        }
                    )+
                    $crate::__private::answer(::std::result::Result::Err($crate::__private::unknown_tool(name)))
                }
            }

            // Off wasm nothing exports them, and rustc would call the tools dead code.
            #[cfg(not(target_arch = "wasm32"))]
            const _: (
                fn() -> ::std::vec::Vec<$crate::__private::Description>,
                fn(
                    $crate::__private::Call,
                ) -> ::std::result::Result<$crate::__private::WitOutput, $crate::__private::WitError>,
            ) = (<Plugin as $crate::__private::Guest>::list_tools, <Plugin as $crate::__private::Guest>::call_tool);

            // The names of a component's exports mean something else to a native linker.
            #[cfg(target_arch = "wasm32")]
            $crate::__private::bindings::__export_plugin!(Plugin with_types_in $crate::__private::bindings);
        };
    };
}

/// What the macros need; no part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::arguments::parse;
    pub use crate::bindings;
    pub use crate::bindings::exports::toolhost::plugin::tools::{
        Call, Error as WitError, Guest, Output as WitOutput, Tool as Description,
    };
    pub use crate::bindings::toolhost::plugin::types::Annotations;
    pub use crate::schema::{
        no_arguments, of_arguments as schema_of_arguments, of_output as schema_of_output,
        paragraphs,
    };
    pub use wit_bindgen;

    /// What `#[tool]` makes of a function.
    pub trait Tool {
        const NAME: &'static str;
        fn describe() -> Description;
        fn call(arguments: &str) -> Result<crate::Output, crate::Error>;
    }

    /// A result in the interface's own types.
    pub fn answer(result: Result<crate::Output, crate::Error>) -> Result<WitOutput, WitError> {
        match result {
            Ok(output) => Ok(output.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// The host asks for listed tools alone; a plugin run by something else may not.
    pub fn unknown_tool(name: &str) -> crate::Error {
        crate::Error::failed(format!("this plugin has no tool `{name}`"))
    }
}
