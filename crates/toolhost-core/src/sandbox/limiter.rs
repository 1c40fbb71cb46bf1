//! Counts the memories and tables of one instance, with what the host holds for it, and stops them
//! at their bound.

use bytesize::ByteSize;
use wasmtime::ResourceLimiter;

/// What one instance may consist of. Programs have one memory, one table and four core instances;
/// those of interpreted languages one core instance for each library.
pub(crate) const MEMORIES_PER_INSTANCE: u32 = 8;
pub(crate) const TABLES_PER_INSTANCE: u32 = 16;
pub(crate) const CORE_INSTANCES_PER_INSTANCE: u32 = 64;

/// What wasmtime keeps for an entry of a table: a pointer.
const TABLE_ENTRY: usize = size_of::<usize>();

#[derive(Debug)]
pub(crate) struct Limiter {
    bound: usize,
    /// Memories and tables never shrink. A growth that was allowed and then fails stays counted:
    /// wasmtime also reports failures of which it never asked.
    used: usize,
    /// What the host held for the guest when it was last weighed.
    held: usize,
    peak: usize,
    refused: bool,
}

impl Limiter {
    pub(crate) fn new(bound: ByteSize) -> Self {
        Limiter {
            bound: usize::try_from(bound.as_u64()).unwrap_or(usize::MAX),
            used: 0,
            held: 0,
            peak: 0,
            refused: false,
        }
    }

    /// The most bytes that were in use.
    pub(crate) fn peak(&self) -> u64 {
        self.peak as u64
    }

    /// Counts what the host holds for the guest now; whether it still fits.
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        self.held = bytes;
        let total = self.used.saturating_add(bytes);
        self.refused |= total > self.bound;
        self.peak = self.peak.max(total.min(self.bound));
        total <= self.bound
    }

    /// Whether a growth was refused: a guest that fails afterwards most likely fails of that.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let used = self.used.saturating_add(bytes);
        let total = used.saturating_add(self.held);
        if total > self.bound {
            self.refused = true;
            return false;
        }
        self.used = used;
        self.peak = self.peak.max(total);
        true
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ENTRY)))
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_PER_INSTANCE as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_PER_INSTANCE as usize
    }

    fn tables(&self) -> usize {
        TABLES_PER_INSTANCE as usize
    }
}
