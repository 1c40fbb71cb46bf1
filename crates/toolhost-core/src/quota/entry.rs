//! A file in a folder with a quota, and its cost.

/// The unit of file sizes: an empty file costs one, as its inode and its name do on a disk.
pub(super) const BLOCK: u64 = 4096;

/// A file, folder or link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileEntry {
    pub(super) names: u32,
    pub(super) length: u64,
}

impl FileEntry {
    /// A file without a name still exists while it is open.
    pub(super) fn files(self) -> u64 {
        self.names.max(1).into()
    }

    pub(super) fn bytes(self) -> u128 {
        let further = (self.files() - 1) * BLOCK;
        u128::from(blocks(self.length)) + u128::from(further)
    }
}

/// The blocks of a file of that length.
pub(super) fn blocks(length: u64) -> u64 {
    length.div_ceil(BLOCK).max(1).saturating_mul(BLOCK)
}
