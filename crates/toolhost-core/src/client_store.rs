//! A store for what clients come back for between requests: each client finds only its own values,
//! under unguessable ids, with a TTL and bounds in number and bytes.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The bounds of a store.
#[derive(Clone, Copy, Debug)]
pub struct StoreBounds {
    /// The time to live of a value.
    pub time: Duration,
    /// The most items of one owner.
    pub items: usize,
    /// The most bytes of one owner.
    pub bytes: usize,
    /// The most items of all owners.
    pub all_items: usize,
    /// The most bytes of all owners.
    pub all_bytes: usize,
}

/// Values by owner. Over an owner's bound its oldest values are evicted; over the common bound,
/// those of the owner that keeps the most.
pub struct ClientStore<O, V> {
    bounds: StoreBounds,
    items: HashMap<String, StoredItem<O, V>>,
    owners: HashMap<O, Account>,
    bytes: usize,
}

struct StoredItem<O, V> {
    owner: O,
    value: V,
    bytes: usize,
    since: Instant,
}

#[derive(Default)]
struct Account {
    /// Oldest first.
    ids: VecDeque<String>,
    bytes: usize,
}

/// An id of 128 random bits; `None` if the system RNG fails.
pub fn unguessable() -> Option<String> {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(URL_SAFE_NO_PAD.encode(random))
}

impl<O: Clone + Eq + Hash, V> ClientStore<O, V> {
    /// Keeps nothing yet.
    pub fn new(bounds: StoreBounds) -> Self {
        ClientStore {
            bounds,
            items: HashMap::new(),
            owners: HashMap::new(),
            bytes: 0,
        }
    }

    /// Whether a value is small enough to be kept at all.
    pub fn fits(&self, bytes: usize) -> bool {
        bytes <= self.bounds.bytes.min(self.bounds.all_bytes)
    }

    /// Whether an owner may keep this many more without evicting values.
    pub fn has_room(&mut self, owner: &O, more: usize) -> bool {
        self.forget_old();
        let own = self.owners.get(owner).map_or(0, |it| it.ids.len());
        own + more <= self.bounds.items && self.items.len() + more <= self.bounds.all_items
    }

    /// Stores a value of `bytes` bytes; one that does not [fit](ClientStore::fits) is dropped.
    pub fn add(&mut self, owner: &O, id: String, value: V, bytes: usize) {
        self.forget_old();
        if !self.fits(bytes) || self.items.contains_key(&id) {
            return;
        }
        let bounds = self.bounds;
        while let Some(account) = self.owners.get(owner)
            && (account.ids.len() >= bounds.items || account.bytes + bytes > bounds.bytes)
        {
            self.drop_oldest(&owner.clone());
        }
        while self.items.len() >= bounds.all_items || self.bytes + bytes > bounds.all_bytes {
            let owners = self.owners.iter();
            let most = owners.max_by_key(|(_, account)| (account.bytes, account.ids.len()));
            let Some((most, _)) = most else { break };
            self.drop_oldest(&most.clone());
        }
        let account = self.owners.entry(owner.clone()).or_default();
        account.ids.push_back(id.clone());
        account.bytes += bytes;
        self.bytes += bytes;
        let item = StoredItem {
            owner: owner.clone(),
            value,
            bytes,
            since: Instant::now(),
        };
        self.items.insert(id, item);
    }

    /// Returns an owner's value by id.
    pub fn get(&self, owner: &O, id: &str) -> Option<&V> {
        let item = self.items.get(id)?;
        let is_there = item.owner == *owner && item.since.elapsed() < self.bounds.time;
        is_there.then_some(&item.value)
    }

    /// Removes a value of any owner, and returns it.
    pub(crate) fn take(&mut self, id: &str) -> Option<V> {
        let item = self.items.remove(id)?;
        self.bytes -= item.bytes;
        if let Some(account) = self.owners.get_mut(&item.owner) {
            account.bytes -= item.bytes;
            account.ids.retain(|it| it != id);
            if account.ids.is_empty() {
                self.owners.remove(&item.owner);
            }
        }
        Some(item.value)
    }

    /// The ids of an owner's values, oldest first.
    pub(crate) fn ids(&self, owner: &O) -> impl Iterator<Item = &str> {
        let own = self.owners.get(owner);
        own.into_iter()
            .flat_map(|own| own.ids.iter().map(String::as_str))
    }

    /// Drops all values of an owner.
    pub fn end(&mut self, owner: &O) {
        while self.owners.contains_key(owner) {
            self.drop_oldest(owner);
        }
    }

    fn forget_old(&mut self) {
        let is_old = |(_, account): &(&O, &Account)| {
            let oldest = account.ids.front().and_then(|id| self.items.get(id));
            oldest.is_some_and(|item| item.since.elapsed() >= self.bounds.time)
        };
        let owners = self.owners.iter().filter(is_old);
        let owners: Vec<O> = owners.map(|(owner, _)| owner.clone()).collect();
        for owner in owners {
            while let Some(id) = self.owners.get(&owner).and_then(|it| it.ids.front())
                && let Some(item) = self.items.get(id)
                && item.since.elapsed() >= self.bounds.time
            {
                self.drop_oldest(&owner);
            }
        }
    }

    fn drop_oldest(&mut self, owner: &O) {
        let Some(account) = self.owners.get_mut(owner) else {
            return;
        };
        if let Some(id) = account.ids.pop_front()
            && let Some(item) = self.items.remove(&id)
        {
            account.bytes -= item.bytes;
            self.bytes -= item.bytes;
        }
        if account.ids.is_empty() {
            self.owners.remove(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> ClientStore<&'static str, u32> {
        ClientStore::new(StoreBounds {
            time: Duration::from_secs(60),
            items: 3,
            bytes: 10,
            all_items: 5,
            all_bytes: 15,
        })
    }

    fn ids(kept: &ClientStore<&'static str, u32>, owner: &'static str) -> String {
        let ids = "abcdefgh".chars();
        ids.filter(|id| kept.get(&owner, &id.to_string()).is_some())
            .collect()
    }

    #[test]
    fn an_owner_has_its_own_alone_and_its_oldest_make_room() {
        let mut kept = kept();
        for (number, id) in ["a", "b", "c", "d"].into_iter().enumerate() {
            kept.add(&"alice", id.to_owned(), number as u32, 1);
        }
        assert_eq!(ids(&kept, "alice"), "bcd");
        assert_eq!(ids(&kept, "bob"), "");
        assert_eq!(kept.get(&"alice", "c"), Some(&2));
        kept.add(&"alice", "e".to_owned(), 4, 9);
        assert_eq!(ids(&kept, "alice"), "de");
        kept.add(&"alice", "f".to_owned(), 5, 11);
        assert_eq!(ids(&kept, "alice"), "de", "it is more than may be kept");
        kept.end(&"alice");
        assert_eq!((ids(&kept, "alice"), kept.bytes), (String::new(), 0));
    }

    #[test]
    fn what_all_keep_is_bounded_at_the_cost_of_whoever_keeps_most() {
        let mut kept = kept();
        kept.add(&"alice", "a".to_owned(), 0, 4);
        kept.add(&"alice", "b".to_owned(), 0, 4);
        kept.add(&"bob", "c".to_owned(), 0, 5);
        kept.add(&"carol", "d".to_owned(), 0, 5);
        assert_eq!(ids(&kept, "alice"), "b");
        assert_eq!(
            (ids(&kept, "bob"), ids(&kept, "carol")),
            ("c".into(), "d".into())
        );
        assert!(kept.bytes <= 15);
    }

    #[test]
    fn what_is_taken_out_is_no_longer_kept() {
        let mut kept = kept();
        kept.add(&"alice", "a".to_owned(), 7, 4);
        kept.add(&"alice", "b".to_owned(), 8, 4);
        assert_eq!(kept.take("a"), Some(7));
        assert_eq!(kept.take("a"), None);
        assert_eq!((ids(&kept, "alice"), kept.bytes), ("b".into(), 4));
        assert_eq!(kept.take("b"), Some(8));
        assert!(kept.owners.is_empty());
    }

    #[test]
    fn nothing_is_kept_for_longer_than_it_may_be() {
        let mut kept = kept();
        kept.bounds.time = Duration::ZERO;
        kept.add(&"alice", "a".to_owned(), 0, 1);
        assert_eq!(kept.get(&"alice", "a"), None);
        kept.add(&"bob", "b".to_owned(), 0, 1);
        assert_eq!(kept.items.len(), 1, "the old one is gone");
    }
}
