//! What the calls of one user have of what their provider is granted.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::error::CallError;
use crate::narrowing::ProviderNarrowing;
use crate::order::{Domain, GrantedFolders};
use crate::permissions::Access;
use crate::sandbox::{Folder, Grants};

/// Resolved when it is first needed, and then for every call of the user.
pub(crate) struct NarrowedGrants {
    /// As the program has it, for providers that hold themselves to it.
    pub(crate) narrowing: ProviderNarrowing,
    /// What a plugin has instead of its own.
    pub(crate) sandboxed: Option<Sandboxed>,
}

/// What a plugin has for these calls.
pub(crate) struct Sandboxed {
    pub(crate) grants: Arc<Grants>,
    /// Where its calls may have to run in order: by the folders that they have.
    pub(crate) domain: Option<Arc<Domain>>,
    counted: OnceCell<()>,
}

/// What a call has, if that is something else than what its provider has; or why it cannot run.
pub(crate) type GrantsOfCall = Result<Option<Arc<NarrowedGrants>>, Box<CallError>>;

impl NarrowedGrants {
    /// The folders that only these calls have, for the audit log: where its guest finds them, and where they are.
    pub(crate) fn own_folders(&self) -> impl Iterator<Item = &Folder> {
        let sandboxed = self.sandboxed.iter();
        let folders = sandboxed.flat_map(|it| &it.grants.folders);
        folders.map(|it| &**it).filter(|it| it.is_narrowed())
    }

    /// Whether its folders are still those that their names lead to.
    pub(crate) fn is_current(&self) -> bool {
        self.own_folders().all(Folder::is_there)
    }

    /// Sees to it that what is in folders with a quota is counted, once, before a call runs.
    ///
    /// # Errors
    ///
    /// It cannot be counted.
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

/// The folders of grants, for what keeps calls in order.
pub(crate) fn folders_of(grants: &Grants) -> GrantedFolders {
    let folders = grants.folders.iter();
    GrantedFolders(
        folders
            .map(|folder| (folder.id.clone(), folder.access == Access::ReadWrite))
            .collect(),
    )
}
