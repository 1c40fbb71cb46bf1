//! For unit tests of plugins: a host, and the replies of clients. Native builds only.
//!
//! ```
//! use toolhost_plugin::{config, http, secret, testing};
//!
//! fn weather() -> Result<String, toolhost_plugin::Error> {
//!     let unit = config("unit").unwrap_or_default();
//!     let key = secret("API_KEY").unwrap_or_default();
//!     let request = http::get("https://api.example.com/now").header("authorization", format!("Bearer {key}"));
//!     Ok(format!("{} {unit}", request.send()?.text()?))
//! }
//!
//! let host = testing::Host::new()
//!     .config("unit", "°C")
//!     .secret("API_KEY", "s3cret")
//!     .http(|request| match request.headers() {
//!         [(_, key)] if key == "Bearer s3cret" => Ok(http::Response::new(200, "12")),
//!         _ => Ok(http::Response::new(401, "")),
//!     });
//! assert_eq!(host.run(weather).unwrap(), "12 °C");
//! ```
//!
//! ```
//! use toolhost_plugin::{Error, ask, serde_json::{Value, json}, testing};
//!
//! fn greet() -> Result<String, Error> {
//!     let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
//!     let who: Value = ask::form_of("who", "Who are you?", schema)?;
//!     Ok(format!("Hello, {}!", who["name"].as_str().unwrap_or("you")))
//! }
//!
//! let asked = greet().unwrap_err();
//! assert_eq!(asked.questions()[0].0, "who");
//!
//! let reply = testing::filled(json!({ "name": "Ada" }));
//! let greeting = testing::answering(&asked, [("who", reply)], greet);
//! assert_eq!(greeting.unwrap(), "Hello, Ada!");
//! ```

use crate::bindings::toolhost::plugin::types::{Completion, Content, Reply, Resumption, Role};
use crate::calls::CallError;
use crate::http::{Request, Response};
use crate::{Error, Output, Serialize, ask};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// The host that a test gives a plugin. It grants only what is set here.
#[derive(Clone, Default)]
pub struct Host {
    config: HashMap<String, String>,
    secrets: HashMap<String, String>,
    http: Option<Rc<Server>>,
    tools: Option<Rc<Tools>>,
}

type Server = dyn Fn(&Request) -> Result<Response, Error>;

/// Answers calls of tools, by name and arguments.
pub(crate) type Tools = dyn Fn(&str, &str) -> Result<Output, CallError>;

impl Host {
    /// A host that grants nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a value of `[plugin.NAME.config]`, which [`config`](crate::config) returns.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }

    /// Sets a secret, which [`secret`](crate::secret) returns.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.secrets.insert(name.into(), value.into());
        self
    }

    /// Sets the function that answers [HTTP requests](crate::http).
    #[must_use]
    pub fn http(mut self, server: impl Fn(&Request) -> Result<Response, Error> + 'static) -> Self {
        self.http = Some(Rc::new(server));
        self
    }

    /// Sets the function that answers [calls of tools](crate::calls): by name, and arguments as JSON text.
    #[must_use]
    pub fn tools(
        mut self,
        tools: impl Fn(&str, &str) -> Result<Output, CallError> + 'static,
    ) -> Self {
        self.tools = Some(Rc::new(tools));
        self
    }

    /// Runs a function, such as a tool, with this host. Applies to the current thread only.
    pub fn run<T>(self, run: impl FnOnce() -> T) -> T {
        // Restored also after a panic: the thread may run another test.
        struct Before(Option<Host>);
        impl Drop for Before {
            fn drop(&mut self) {
                HOST.set(self.0.take().unwrap_or_default());
            }
        }
        let _before = Before(Some(HOST.replace(self)));
        run()
    }
}

pub(crate) fn config(key: &str) -> Option<String> {
    HOST.with_borrow(|host| host.config.get(key).cloned())
}

pub(crate) fn secret(name: &str) -> Option<String> {
    HOST.with_borrow(|host| host.secrets.get(name).cloned())
}

pub(crate) fn tool() -> Option<Rc<Tools>> {
    HOST.with_borrow(|host| host.tools.clone())
}

pub(crate) async fn send(request: &Request) -> Result<Response, Error> {
    // Not borrowed while it answers: the function may use the host itself.
    match HOST.with_borrow(|host| host.http.clone()) {
        Some(server) => server(request),
        None => Err(Error::denied(format!(
            "{} is not among the addresses that are granted: give the test a `testing::Host` with `http`",
            request.url()
        ))),
    }
}

/// Runs a tool again with replies to the questions of its error, as the host does.
pub fn answering<'a, T>(
    asked: &Error,
    replies: impl IntoIterator<Item = (&'a str, Reply)>,
    run: impl FnOnce() -> T,
) -> T {
    ask::begin(Some(Resumption {
        state: asked.state().to_vec(),
        replies: replies
            .into_iter()
            .map(|(key, reply)| (key.to_owned(), reply))
            .collect(),
    }));
    let result = run();
    ask::end();
    result
}

/// The reply to a form.
///
/// # Panics
///
/// The value cannot be serialized as JSON.
pub fn filled<T: Serialize>(value: T) -> Reply {
    Reply::Accepted(Some(
        serde_json::to_string(&value).expect("the answer is JSON"),
    ))
}

/// The reply of a model.
///
/// ```
/// use toolhost_plugin::{Error, ask, testing};
///
/// fn motto() -> Result<String, Error> {
///     Ok(ask::sample("motto", "A motto, please.")?.text())
/// }
///
/// let asked = motto().unwrap_err();
/// let replies = [("motto", testing::completed("Onward"))];
/// assert_eq!(testing::answering(&asked, replies, motto).unwrap(), "Onward");
/// ```
pub fn completed(text: impl Into<String>) -> Reply {
    Reply::Completion(Completion {
        role: Role::Assistant,
        content: Content::Text(text.into()),
        model: "test".to_owned(),
        stop_reason: None,
    })
}
