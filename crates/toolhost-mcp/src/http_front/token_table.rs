//! Clients' own tokens, of which the manifest has the digests.

use std::sync::Arc;

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::Principal;
use toolhost_core::manifest::{TokenConfig, TokenDigest};

/// The principal of each token.
pub(super) struct TokenTable(Vec<(TokenDigest, Principal)>);

impl TokenTable {
    pub(super) fn new(tokens: &[TokenConfig]) -> TokenTable {
        let clients = tokens.iter().map(|token| {
            let principal = Principal {
                name: Arc::from(&*token.name),
                is_known: true,
                tools: token.tools.clone().map(Arc::new),
            };
            (token.digest, principal)
        });
        TokenTable(clients.collect())
    }

    /// Finds the principal of a token. All digests are compared in full, so that the time taken
    /// says nothing about a wrong one.
    pub(super) fn find(&self, token: &str) -> Option<&Principal> {
        let digest = TokenDigest::of(token);
        let (mut found, mut at) = (Choice::from(0), 0);
        for (index, (known, _)) in (0u64..).zip(&self.0) {
            let same = digest.0.ct_eq(&known.0);
            at = u64::conditional_select(&at, &index, same);
            found |= same;
        }
        let (_, principal) = self.0.get(usize::try_from(at).ok()?)?;
        bool::from(found).then_some(principal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_digest_alone() {
        let config = |name: &str, token: &str| TokenConfig::new(name, TokenDigest::of(token));
        let tokens = TokenTable::new(&[
            config("a", "th_1"),
            config("b", "th_2"),
            config("c", "th_3"),
        ]);
        let name = |token: &str| tokens.find(token).map(|it| it.name.to_string());
        for (token, owner) in [("th_1", "a"), ("th_2", "b"), ("th_3", "c")] {
            assert_eq!(name(token).as_deref(), Some(owner));
        }
        let digest = TokenDigest::of("th_1").to_string();
        for wrong in ["", "th_", "th_4", "th_11", "TH_1", " th_1", &digest] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        assert_eq!(TokenTable::new(&[]).find("th_1"), None);
    }
}
