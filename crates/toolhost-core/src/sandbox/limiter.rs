//! The memory limiter: counts the memories and tables of one instance and what the host holds for
//! it, and refuses growth beyond the limit.

use bytesize::ByteSize;
use wasmtime::ResourceLimiter;

/// The most parts of one instance. Programs have one memory, one table and four core instances;
/// those of interpreted languages have one core instance for each library.
pub(crate) const MEMORIES_PER_INSTANCE: u32 = 8;
pub(crate) const TABLES_PER_INSTANCE: u32 = 16;
pub(crate) const CORE_INSTANCES_PER_INSTANCE: u32 = 64;

/// wasmtime's cost of a table entry: a pointer.
const TABLE_ENTRY: usize = size_of::<usize>();

#[derive(Debug)]
pub(crate) struct Limiter {
    bound: usize,
    /// Memories and tables never shrink. A growth that was allowed and then fails stays counted:
    /// wasmtime also reports failures of growths that it never asked about.
    used: usize,
    /// What the host held for the guest when last weighed.
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

    /// The most bytes in use at any time.
    pub(crate) fn peak(&self) -> u64 {
        self.peak as u64
    }

    /// What memories and tables leave of the limit for what the host holds.
    pub(crate) fn left(&self) -> usize {
        self.bound.saturating_sub(self.used)
    }

    /// Records what the host holds for the guest now. Returns whether it fits.
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        self.held = bytes;
        let total = self.used.saturating_add(bytes);
        self.refused |= total > self.bound;
        self.peak = self.peak.max(total.min(self.bound));
        total <= self.bound
    }

    /// Whether a growth was refused, which most likely explains a later failure of the guest.
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
