//! File operations that the host began for a guest.
//!
//! Each runs on a blocking thread, where nothing stops it: a call dropped at its deadline may leave
//! one running. An operation holds its file or folder open until it returns, as the instance's
//! table does; so none is outstanding once the last of them is closed.

use std::fs::File;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use crate::locks;

/// The polling interval for outstanding operations: wasmtime sends no notification when one ends.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// The files and folders that one instance has opened.
#[derive(Clone, Default)]
pub(crate) struct Operations(Arc<Mutex<Vec<Opened>>>);

struct Opened {
    file: Weak<File>,
    is_folder: bool,
}

impl Opened {
    fn is_open(&self) -> bool {
        self.file.strong_count() > 0
    }
}

impl Operations {
    /// Tracks operations on a file or folder from now on.
    pub(super) fn watch(&self, file: &Arc<File>, is_folder: bool) {
        let mut files = self.files();
        // A guest may open and close files without end.
        if files.len() == files.capacity() {
            files.retain(Opened::is_open);
        }
        if !files
            .iter()
            .any(|known| known.file.as_ptr() == Arc::as_ptr(file))
        {
            files.push(Opened {
                file: Arc::downgrade(file),
                is_folder,
            });
        }
    }

    /// Whether the instance is gone and every operation that it began has returned.
    pub(crate) fn is_settled(&self) -> bool {
        let mut files = self.files();
        files.retain(Opened::is_open);
        files.is_empty()
    }

    /// Whether a file is open. Granted folders always are, and the guest waits for what it does to
    /// them.
    pub(crate) fn has_open_files(&self) -> bool {
        self.files().iter().any(|it| it.is_open() && !it.is_folder)
    }

    /// Waits until [`is_settled`](Operations::is_settled).
    pub(crate) async fn settled(&self) {
        while !self.is_settled() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn files(&self) -> std::sync::MutexGuard<'_, Vec<Opened>> {
        locks::lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Operations;

    #[tokio::test]
    async fn an_operation_that_runs_is_outstanding_after_its_instance_is_gone() {
        let operations = Operations::default();
        assert!(operations.is_settled());
        let file = Arc::new(tempfile::tempfile().unwrap());
        operations.watch(&file, false);
        operations.watch(&file, false);
        assert!(operations.has_open_files());
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let of_operation = file.clone();
        let running = tokio::task::spawn_blocking(move || {
            let _ = ended.recv();
            drop(of_operation);
        });
        // The instance's table.
        drop(file);
        assert!(!operations.is_settled());
        let waiting = tokio::spawn({
            let operations = operations.clone();
            async move { operations.settled().await }
        });
        drop(end);
        running.await.unwrap();
        waiting.await.unwrap();
        assert!(operations.is_settled());
    }
}
