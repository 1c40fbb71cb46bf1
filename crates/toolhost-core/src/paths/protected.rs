//! The host's own files, and where guests could reach them.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::folder_id::InodeId;
use super::{Purpose, inodes};

/// A file or folder of the host in a granted folder.
#[derive(Debug)]
pub(crate) struct Protected {
    pub(super) purpose: Purpose,
    /// The granted folder from which it is found, as the files' owner may rename what is between.
    pub(super) root: (InodeId, Arc<File>),
    pub(super) rest: PathBuf,
    /// The granted folders that contain it; `None` if any may contain another name of it.
    pub(super) within: Option<Vec<InodeId>>,
}

impl Purpose {
    /// Whether it is a folder in which something is protected.
    pub(super) fn is_tree(self) -> bool {
        matches!(self, Purpose::PluginDir) || self.has_all_below()
    }

    /// Whether its contents are protected, and not only its name.
    pub(super) fn is_file(self) -> bool {
        let is_folder = matches!(
            self,
            Purpose::Way | Purpose::Folder | Purpose::WorkingFolder
        );
        !is_folder && !self.is_tree()
    }

    /// Whether everything below it is protected.
    pub(super) fn has_all_below(self) -> bool {
        matches!(self, Purpose::CodeCache | Purpose::Trust)
    }
}

impl Protected {
    pub(super) fn is_same(&self, other: &Protected) -> bool {
        self.purpose == other.purpose
            && self.root.0 == other.root.0
            && self.rest == other.rest
            && self.within == other.within
    }

    /// The file that is there now.
    pub(super) fn now(&self) -> Option<InodeId> {
        inodes::id_at(&self.root.1, &self.rest)
    }

    pub(super) fn folder(&self) -> Option<InodeId> {
        inodes::id_at(&self.root.1, self.rest.parent()?)
    }
}
