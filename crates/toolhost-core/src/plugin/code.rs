//! [`Code`]: what a call of a plugin runs, and when it is loaded.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::component::{self, Linked};
use super::tools::Tools;
use super::typed::Functions;
use crate::engine::Engines;
use crate::locks;

const NO_TOOLS: &str = "does not have the plugin interface";

/// A plugin's code.
pub(super) enum Code {
    /// `call-tool` of the plugin interface.
    Tools(Tools),
    /// A function of any type.
    Functions(Functions),
    /// `call-tool`, once it is loaded: what the plugin offers was known before.
    Later(Box<LaterCode>),
}

/// Code that is not loaded before it is needed.
pub(super) struct LaterCode {
    tools: OnceCell<Tools>,
    /// The component, until it is loaded: its file may be replaced before.
    bytes: Mutex<Arc<[u8]>>,
    engines: Arc<Engines>,
    bound: Duration,
}

impl LaterCode {
    pub(super) fn new(bytes: Vec<u8>, engines: Arc<Engines>, bound: Duration) -> LaterCode {
        LaterCode {
            tools: OnceCell::new(),
            bytes: Mutex::new(bytes.into()),
            engines,
            bound,
        }
    }

    /// Loads the code, unless it is there: milliseconds, as it is in the cache with the listing, or
    /// seconds if it was removed from there.
    ///
    /// # Errors
    ///
    /// It cannot be compiled any more.
    async fn load(&self) -> Result<&Tools, String> {
        self.tools
            .get_or_try_init(async || {
                let bytes = locks::lock(&self.bytes).clone();
                let engines = self.engines.clone();
                let linked = component::compiling(self.bound, move || {
                    let (component, engine) = component::compile(&bytes, &engines)?;
                    component::link(&component, &engine)
                });
                match linked.await? {
                    Ok(Linked::Plugin(tools)) => {
                        *locks::lock(&self.bytes) = Arc::default();
                        Ok(tools)
                    }
                    Ok(Linked::Functions(_)) => Err(NO_TOOLS.to_owned()),
                    Err(message) => Err(message),
                }
            })
            .await
    }
}

impl Code {
    /// Its tools, if they are loaded.
    pub(super) fn tools(&self) -> Option<&Tools> {
        match self {
            Code::Tools(tools) => Some(tools),
            Code::Functions(_) => None,
            Code::Later(later) => later.tools.get(),
        }
    }

    /// Its tools, which are loaded now if they were not.
    ///
    /// # Errors
    ///
    /// There are none, or it cannot be compiled any more.
    pub(super) async fn load_tools(&self) -> Result<&Tools, String> {
        match self {
            Code::Tools(tools) => Ok(tools),
            Code::Functions(_) => Err(NO_TOOLS.to_owned()),
            Code::Later(later) => later.load().await,
        }
    }

    /// Loads it, if that was not done yet.
    ///
    /// # Errors
    ///
    /// It cannot be compiled any more.
    pub(super) async fn load(&self) -> Result<(), String> {
        match self {
            Code::Later(later) => later.load().await.map(drop),
            Code::Tools(_) | Code::Functions(_) => Ok(()),
        }
    }
}
