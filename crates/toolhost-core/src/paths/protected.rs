//! What is the host's own, and where guests could reach it.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::folder::Id;
use super::{Purpose, seen};

/// A file or folder of the host's in a granted folder.
#[derive(Debug)]
pub(crate) struct Protected {
    pub(super) purpose: Purpose,
    /// The granted folder that it is found from, as whoever owns the files may move what is between.
    pub(super) root: (Id, Arc<File>),
    pub(super) rest: PathBuf,
    /// The granted folders that it lies in; any may hold another name of it when `None`.
    pub(super) within: Option<Vec<Id>>,
}

impl Purpose {
    /// Whether it is a folder in which something is protected.
    pub(super) fn is_tree(self) -> bool {
        matches!(self, Purpose::PluginDir) || self.has_all_below()
    }

    /// Whether it is protected for what it has, and not for its name.
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

    /// What is there now.
    pub(super) fn now(&self) -> Option<Id> {
        seen::id_at(&self.root.1, &self.rest)
    }

    pub(super) fn folder(&self) -> Option<Id> {
        seen::id_at(&self.root.1, self.rest.parent()?)
    }
}
