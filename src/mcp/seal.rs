//! `requestState`: what a tool wants back when it is called again, signed, so that a client can
//! neither make nor change it, nor use it twice, for another request or as somebody else.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rmcp::model::{RequestStateCodec, SealOptions};

/// A person has so long to answer.
const TTL: Duration = Duration::from_secs(60 * 60);

/// States that are remembered as used. More within the hour, and the oldest could be used again.
const MAX_USED: usize = 100_000;

const NONCE: usize = 16;

pub(super) struct Seal {
    codec: RequestStateCodec,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    at: HashMap<[u8; NONCE], Instant>,
    order: VecDeque<[u8; NONCE]>,
}

impl Seal {
    /// The key is this process's own: a state does not outlive it.
    pub(super) fn new() -> Seal {
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the system has randomness");
        Seal {
            codec: RequestStateCodec::try_new(key).expect("the key is long enough"),
            used: Mutex::default(),
        }
    }

    /// `binding` names the request and who makes it.
    pub(super) fn seal(&self, state: &[u8], binding: &[u8]) -> String {
        let mut sealed = vec![0; NONCE];
        getrandom::fill(&mut sealed).expect("the system has randomness");
        sealed.extend_from_slice(state);
        let options = SealOptions::new().associated_data(binding).ttl(TTL);
        self.codec.seal_with(&sealed, &options)
    }

    /// # Errors
    ///
    /// Why it is not one that was sealed for this request, or that it was used before.
    pub(super) fn open(&self, sealed: &str, binding: &[u8]) -> Result<Vec<u8>, String> {
        let opened = self.codec.open_with(sealed, binding);
        let mut opened = opened.map_err(|error| error.to_string())?;
        let Some((nonce, _)) = opened.split_first_chunk::<NONCE>() else {
            return Err("request state is malformed".to_owned());
        };
        if !self
            .used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(*nonce)
        {
            return Err("request state was used before".to_owned());
        }
        opened.drain(..NONCE);
        Ok(opened)
    }
}

impl Used {
    /// Whether it was not there yet.
    fn add(&mut self, nonce: [u8; NONCE]) -> bool {
        let now = Instant::now();
        while let Some(oldest) = self.order.front()
            && (self.order.len() >= MAX_USED
                || self.at.get(oldest).is_none_or(|at| now - *at > TTL))
        {
            self.at.remove(oldest);
            self.order.pop_front();
        }
        if self.at.insert(nonce, now).is_some() {
            return false;
        }
        self.order.push_back(nonce);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_once_and_to_its_request_alone() {
        let seal = Seal::new();
        let sealed = seal.seal(b"step 2", b"alice call");
        assert!(
            seal.open(&sealed, b"bob call")
                .unwrap_err()
                .contains("integrity")
        );
        assert_eq!(seal.open(&sealed, b"alice call").unwrap(), b"step 2");
        let again = seal.open(&sealed, b"alice call").unwrap_err();
        assert!(again.contains("used before"), "{again}");
        assert!(Seal::new().open(&sealed, b"alice call").is_err());
        assert!(seal.open("rs1.x.y", b"alice call").is_err());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut used = Used::default();
        let nonce = |number: usize| {
            let mut nonce = [0; NONCE];
            nonce[..8].copy_from_slice(&number.to_le_bytes());
            nonce
        };
        for number in 0..MAX_USED + 10 {
            assert!(used.add(nonce(number)));
        }
        assert_eq!(used.at.len(), MAX_USED);
        assert!(!used.add(nonce(MAX_USED)));
    }
}
