//! The grants of one user's calls, narrowed from their provider's.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::error::CallError;
use crate::narrowing::ProviderNarrowing;
use crate::order::{Domain, GrantedFolders};
use crate::permissions::Access;
use crate::sandbox::{Folder, Grants};

/// Resolved when first needed, and then used for all calls of the user.
pub(crate) struct NarrowedGrants {
    /// The narrowing itself, for providers that enforce it themselves.
    pub(crate) narrowing: ProviderNarrowing,
    /// The narrowed grants of a plugin.
    pub(crate) sandboxed: Option<Sandboxed>,
}

/// What a plugin is granted for these calls.
pub(crate) struct Sandboxed {
    pub(crate) grants: Arc<Grants>,
    /// The order domain of its calls, by their folders.
    pub(crate) domain: Option<Arc<Domain>>,
    counted: OnceCell<()>,
}

/// The narrowed grants of a call, `None` if it has its provider's own; or why it cannot run.
pub(crate) type GrantsOfCall = Result<Option<Arc<NarrowedGrants>>, Box<CallError>>;

impl NarrowedGrants {
    /// The folders that only these calls have, for the audit log: guest path and host path.
    pub(crate) fn own_folders(&self) -> impl Iterator<Item = &Folder> {
        let sandboxed = self.sandboxed.iter();
        let folders = sandboxed.flat_map(|it| &it.grants.folders);
        folders.map(|it| &**it).filter(|it| it.is_narrowed())
    }

    /// Whether its folders are still those that their paths lead to.
    pub(crate) fn is_current(&self) -> bool {
        self.own_folders().all(Folder::is_there)
    }

    /// Counts the contents of folders with a quota, once, before a call runs.
    ///
    /// # Errors
    ///
    /// They cannot be counted.
    pub(crate) async fn count(&self) -> Result<(), CallError> {
        let Some(sandboxed) = &self.sandboxed else {
            return Ok(());
        };
        let count = async || {
            let folders = sandboxed.grants.folders.iter();
            let folders: Vec<_> = folders.filter(|it| !it.is_counted()).cloned().collect();
            if folders.is_empty() {
                return Ok(());
            }
            let counted = tokio::task::spawn_blocking(move || {
                folders.iter().try_for_each(|folder| {
                    let failed = |error| {
                        let host = folder.host().display();
                        format!("cannot measure the folder {host}: {error}")
                    };
                    folder.count().map_err(failed)
                })
            });
            counted
                .await
                .expect("counting does not panic")
                .map_err(CallError::internal)
        };
        sandboxed.counted.get_or_try_init(count).await?;
        Ok(())
    }
}

impl Sandboxed {
    pub(crate) fn new(grants: Grants, domain: Option<Arc<Domain>>) -> Self {
        Sandboxed {
            grants: Arc::new(grants),
            domain,
            counted: OnceCell::new(),
        }
    }

    pub(crate) fn may_write(&self) -> bool {
        let mut folders = self.grants.folders.iter();
        folders.any(|it| it.access == Access::ReadWrite)
    }
}

/// The folders of grants, for order domains.
pub(crate) fn folders_of(grants: &Grants) -> GrantedFolders {
    let folders = grants.folders.iter();
    GrantedFolders(
        folders
            .map(|folder| (folder.id.clone(), folder.access == Access::ReadWrite))
            .collect(),
    )
}
