//! What a call asks a program to do, and what it writes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use bytesize::ByteSize;

use super::StopReason;
use crate::limits::Limit;
use crate::locks;

/// A program's command line and standard streams; its stderr goes to the log.
pub(crate) struct Program {
    /// The arguments, its own name first.
    pub(crate) args: Vec<String>,
    /// The environment, besides the variables that the manifest grants.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) stdin: Bytes,
    pub(crate) stdout: CapturedOutput,
}

/// What a program writes to its stdout, of bounded size.
#[derive(Clone)]
pub(crate) struct CapturedOutput {
    bytes: Arc<Mutex<Vec<u8>>>,
    bound: ByteSize,
}

impl CapturedOutput {
    pub(crate) fn new(bound: ByteSize) -> CapturedOutput {
        CapturedOutput {
            bytes: Arc::default(),
            bound,
        }
    }

    /// Takes what was written so far.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut locks::lock(&self.bytes))
    }

    pub(super) fn write(&self, written: &[u8]) -> Result<(), StopReason> {
        let mut bytes = locks::lock(&self.bytes);
        let length = bytes.len().saturating_add(written.len());
        if length as u64 > self.bound.as_u64() {
            return Err(StopReason::Limit(Limit::Output, self.bound.into()));
        }
        bytes.extend_from_slice(written);
        Ok(())
    }
}
