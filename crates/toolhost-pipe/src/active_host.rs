//! [`ActiveHost`]: the host that new runs use, with what is derived from its tools.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use toolhost_core::locks::lock;
use toolhost_core::summarize::Summarize;
use toolhost_core::tool::Tool;
use toolhost_core::wire::{Answer, Declared, Format, Names};
use toolhost_core::{Manifest, ToolHost, ToolResult};

pub(crate) struct ActiveHost {
    pub(crate) host: ToolHost,
    /// How results are compacted for the model, if they are.
    summary: Option<Summarize>,
    names: Mutex<HashMap<Format, Arc<Names>>>,
}

impl ActiveHost {
    pub(crate) fn new(host: ToolHost, manifest: &Manifest) -> ActiveHost {
        let settings = &manifest.host;
        ActiveHost {
            host,
            summary: settings.summarize.then_some(settings.summary),
            names: Mutex::default(),
        }
    }

    /// The same with the tools that its providers offer now.
    pub(crate) fn renewed(&self) -> ActiveHost {
        ActiveHost {
            host: self.host.renewed(),
            summary: self.summary,
            names: Mutex::default(),
        }
    }

    /// The tools' names in a format.
    pub(crate) fn names(&self, format: Format) -> Arc<Names> {
        let mut names = lock(&self.names);
        let made = names
            .entry(format)
            .or_insert_with(|| Arc::new(Names::of_tools(format, &self.tools())));
        made.clone()
    }

    pub(crate) fn declare(&self, format: Format) -> Declared {
        format.declare(&self.tools(), &self.names(format))
    }

    /// What the model sees of a result, if that is not all of it.
    pub(crate) fn summary(&self, result: &ToolResult) -> Option<String> {
        self.summary.as_ref().map(|it| it.text(result))
    }

    /// A result as it goes back to the model.
    pub(crate) fn answer<'a>(&self, result: &'a ToolResult, names: &'a Names) -> Answer<'a> {
        let mut answer = Answer::new(result);
        answer.text = self.summary(result);
        answer.name = names.wire(&result.name);
        answer
    }

    fn tools(&self) -> Vec<&Tool> {
        self.host.tools().collect()
    }
}
