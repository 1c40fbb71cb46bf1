//! What was found of a call when its message came, and stands in its request's extensions: its places in order, and its
//! arguments as they were written.

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::{Extensions, JsonObject};

use super::reading::Written;
use crate::host::Places;

/// The places of a call, for whoever takes them first.
#[derive(Clone)]
pub(super) struct Arrived(Arc<Mutex<Option<Places>>>);

impl Arrived {
    pub(super) fn new(places: Places) -> Arrived {
        Arrived(Arc::new(Mutex::new(Some(places))))
    }

    pub(super) fn take(&self) -> Option<Places> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.take()
    }
}

/// What was found of a call when its message came, wherever that is kept.
fn kept<T: Clone + Send + Sync + 'static>(extensions: &Extensions) -> Option<T> {
    let over_http = || {
        let parts = extensions.get::<http::request::Parts>()?;
        parts.extensions.get()
    };
    extensions.get().or_else(over_http).cloned()
}

/// The places that a call took when its message came.
pub(super) fn arrived(extensions: &Extensions) -> Option<Places> {
    kept::<Arrived>(extensions)?.take()
}

/// Arguments as a tool gets them: as the client wrote them, where that is known.
pub(super) fn written(arguments: &Option<JsonObject>, extensions: &Extensions) -> String {
    if let Some(Written(text)) = kept(extensions) {
        return text.to_string();
    }
    match arguments {
        Some(arguments) => serde_json::Value::from(arguments.clone()).to_string(),
        None => String::new(),
    }
}
