//! [`Listing`]: what a plugin listed when it was last loaded, kept beside the compiled code by the
//! digest of its component. A host with it needs the plugin's code only once it is called.
//!
//! Only plugins that offer nothing but tools through the plugin interface are kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::declared::Declared;
use crate::bounded_read;
use crate::digest::sha256;
use crate::limits::Limits;
use crate::replacement::Replacement;
use crate::tool::{Annotations, Icon, Tool};

/// The largest file of a listing, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Listings of another host may be read, or checked, differently. To be counted up with every
/// change of that within a version.
const HOST: &str = concat!(env!("CARGO_PKG_VERSION"), " 1");

/// The listings that are kept.
#[derive(Clone, Default)]
pub(crate) struct Listings {
    /// None if nothing is cached.
    pub(crate) folder: Option<PathBuf>,
    /// Whether they are used, rather than the plugins asked.
    pub(crate) recalls: bool,
}

/// What is known of a component without its code.
#[derive(Serialize, Deserialize)]
pub(crate) struct Listing {
    host: String,
    pub(super) imports: Vec<String>,
    pub(super) asks_for_secrets: bool,
    tools: Vec<ListedTool>,
}

#[derive(Serialize, Deserialize)]
struct ListedTool {
    name: String,
    title: Option<String>,
    description: String,
    icons: Vec<(String, Option<String>, Vec<String>)>,
    /// Read-only, destructive, idempotent, open-world.
    annotations: [Option<bool>; 4],
    input: String,
    output: Option<String>,
}

impl Listings {
    /// The listing of a component, as it was under the same limits.
    pub(super) fn recall(&self, sha256: &str, limits: &Limits) -> Option<Listing> {
        if !self.recalls {
            return None;
        }
        let file = bounded_read::open(&self.file(sha256, limits)?).ok()?;
        let text = bounded_read::read(&file, MAX_BYTES).ok()?;
        let listing: Listing = serde_json::from_slice(&text).ok()?;
        (listing.host == HOST).then_some(listing)
    }

    /// Keeps a listing. Failing to do so only costs time.
    pub(super) fn keep(&self, sha256: &str, limits: &Limits, listing: &Listing) {
        let Some(file) = self.file(sha256, limits) else {
            return;
        };
        let text = serde_json::to_string(listing).expect("its keys are strings");
        if text.len() as u64 > MAX_BYTES {
            return;
        }
        let written = Replacement::write_private(&file, &text).and_then(Replacement::put);
        if let Err(error) = written {
            tracing::debug!("cannot save {}: {error}", file.display());
        }
    }

    fn file(&self, component: &str, limits: &Limits) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        let limits = sha256(format!("{limits:?}"));
        Some(folder.join(format!("{component}-{}.listing.json", &limits[..16])))
    }
}

impl Listing {
    pub(super) fn new(
        imports: &[String],
        asks_for_secrets: bool,
        declared: &[Declared],
    ) -> Listing {
        Listing {
            host: HOST.to_owned(),
            imports: imports.to_vec(),
            asks_for_secrets,
            tools: declared.iter().map(ListedTool::new).collect(),
        }
    }

    pub(super) fn declared(self) -> Vec<Declared> {
        self.tools.into_iter().map(ListedTool::declared).collect()
    }
}

impl ListedTool {
    fn new(declared: &Declared) -> ListedTool {
        let Tool {
            name,
            title,
            description,
            icons,
            annotations,
            ..
        } = &declared.tool;
        let icon = |icon: &Icon| (icon.src.clone(), icon.mime_type.clone(), icon.sizes.clone());
        ListedTool {
            name: name.clone(),
            title: title.clone(),
            description: description.clone(),
            icons: icons.iter().map(icon).collect(),
            annotations: [
                annotations.read_only,
                annotations.destructive,
                annotations.idempotent,
                annotations.open_world,
            ],
            input: declared.input.clone(),
            output: declared.output.clone(),
        }
    }

    fn declared(self) -> Declared {
        let [read_only, destructive, idempotent, open_world] = self.annotations;
        let annotations = Annotations::default()
            .with_read_only(read_only)
            .with_destructive(destructive)
            .with_idempotent(idempotent)
            .with_open_world(open_world);
        let icons = self.icons.into_iter().map(|(src, mime_type, sizes)| {
            Icon::new(src).with_mime_type(mime_type).with_sizes(sizes)
        });
        Declared {
            path: None,
            is_described: true,
            refused: None,
            tool: Tool::new(self.name, self.description)
                .with_title(self.title)
                .with_icons(icons.collect::<Vec<_>>())
                .with_annotations(annotations),
            input: self.input,
            output: self.output,
        }
    }
}
