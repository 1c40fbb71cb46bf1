//! A semaphore whose permits go to requests in order within a client, and in turn between clients:
//! a client with a thousand waiting calls does not delay another's single one. Who takes back
//! permits that it has lent goes ahead of all others.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};

use super::line::Waiter;
use crate::locks;

/// Permits shared between clients of type `C`.
pub(crate) struct FairSemaphore<C>(Mutex<SemaphoreState<C>>);

struct SemaphoreState<C> {
    free: u64,
    /// Requests for permits that were lent, served before all others.
    resuming: VecDeque<PermitRequest>,
    /// No queue is empty.
    waiting: HashMap<C, VecDeque<PermitRequest>>,
    /// The clients of `waiting`, the next to be served first.
    turns: VecDeque<C>,
    next_ticket: u64,
}

struct PermitRequest {
    ticket: u64,
    permits: u64,
    waiter: Arc<Waiter>,
}

/// Permits that are held or waited for; returned on drop.
pub(crate) struct Permit<'t, C: Clone + Eq + Hash> {
    of: &'t FairSemaphore<C>,
    permits: u64,
    /// Its place, if it had to wait.
    place: Option<SemaphorePlace<C>>,
}

struct SemaphorePlace<C> {
    /// `None` if it resumes.
    client: Option<C>,
    ticket: u64,
    waiter: Arc<Waiter>,
}

impl<C: Clone + Eq + Hash> FairSemaphore<C> {
    pub(crate) fn new(permits: u64) -> FairSemaphore<C> {
        FairSemaphore(Mutex::new(SemaphoreState {
            free: permits,
            resuming: VecDeque::new(),
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            next_ticket: 0,
        }))
    }

    /// Takes permits if they are available at once and nobody waits.
    pub(crate) fn try_acquire(&self, permits: u64) -> Option<Permit<'_, C>> {
        let mut state = self.state();
        state.take(permits).then(|| Permit {
            of: self,
            permits,
            place: None,
        })
    }

    /// Waits for permits. Dropping the future leaves the queue.
    pub(crate) async fn acquire(&self, client: C, permits: u64) -> Permit<'_, C> {
        let permit = self.enter(Some(client), permits);
        if let Some(SemaphorePlace { waiter, .. }) = &permit.place {
            waiter.granted().await;
        }
        permit
    }

    /// Gives back permits that were [kept](Permit::keep).
    pub(crate) fn give_back(&self, permits: u64) {
        let mut state = self.state();
        state.free += permits;
        state.advance();
    }

    /// Waits for permits that were given back, ahead of all others.
    pub(crate) async fn take_back(&self, permits: u64) -> Permit<'_, C> {
        let permit = self.enter(None, permits);
        if let Some(SemaphorePlace { waiter, .. }) = &permit.place {
            waiter.granted().await;
        }
        permit
    }

    fn enter(&self, client: Option<C>, permits: u64) -> Permit<'_, C> {
        let mut state = self.state();
        let is_granted = match client {
            Some(_) => state.take(permits),
            None => state.resume(permits),
        };
        let place = (!is_granted).then(|| state.queue(client, permits));
        Permit {
            of: self,
            permits,
            place,
        }
    }

    fn state(&self) -> MutexGuard<'_, SemaphoreState<C>> {
        locks::lock(&self.0)
    }
}

impl<C: Clone + Eq + Hash> SemaphoreState<C> {
    /// Takes permits for the request that is first in line.
    fn take(&mut self, permits: u64) -> bool {
        // A request for zero permits neither waits nor delays others.
        permits == 0 || self.turns.is_empty() && self.resume(permits)
    }

    /// Takes permits for a request that goes ahead of others.
    fn resume(&mut self, permits: u64) -> bool {
        let is_first = self.resuming.is_empty() && self.free >= permits;
        if is_first {
            self.free -= permits;
        }
        is_first
    }

    fn queue(&mut self, client: Option<C>, permits: u64) -> SemaphorePlace<C> {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let waiter = Arc::new(Waiter::default());
        let queue = match &client {
            None => &mut self.resuming,
            Some(client) => self.waiting.entry(client.clone()).or_insert_with(|| {
                self.turns.push_back(client.clone());
                VecDeque::new()
            }),
        };
        queue.push_back(PermitRequest {
            ticket,
            permits,
            waiter: waiter.clone(),
        });
        SemaphorePlace {
            client,
            ticket,
            waiter,
        }
    }

    /// Removes a waiting request. Returns whether it was waiting.
    fn leave(&mut self, place: &SemaphorePlace<C>) -> bool {
        let queue = match &place.client {
            None => Some(&mut self.resuming),
            Some(client) => self.waiting.get_mut(client),
        };
        let Some(queue) = queue else {
            return false;
        };
        let Ok(at) = queue.binary_search_by_key(&place.ticket, |waiting| waiting.ticket) else {
            return false;
        };
        queue.remove(at);
        if let Some(left) = place.client.as_ref().filter(|_| queue.is_empty()) {
            self.waiting.remove(left);
            self.turns.retain(|client| client != left);
        }
        true
    }

    /// Serves one request of each client in turn. The client whose turn it is is never passed by,
    /// or a request for many permits could starve.
    fn advance(&mut self) {
        while let Some(next) = self.resuming.pop_front_if(|next| next.permits <= self.free) {
            self.free -= next.permits;
            next.waiter.grant();
        }
        if !self.resuming.is_empty() {
            return;
        }
        while let Some(client) = self.turns.front().cloned() {
            let Some(queue) = self.waiting.get_mut(&client) else {
                return;
            };
            let Some(next) = queue.pop_front_if(|next| next.permits <= self.free) else {
                return;
            };
            self.free -= next.permits;
            self.turns.pop_front();
            match queue.is_empty() {
                true => drop(self.waiting.remove(&client)),
                false => self.turns.push_back(client),
            }
            next.waiter.grant();
        }
    }
}

impl<C: Clone + Eq + Hash> Permit<'_, C> {
    /// Keeps granted permits, until they are [given back](FairSemaphore::give_back). Returns how
    /// many.
    pub(crate) fn keep(mut self) -> u64 {
        self.place = None;
        std::mem::take(&mut self.permits)
    }
}

impl<C: Clone + Eq + Hash> Drop for Permit<'_, C> {
    fn drop(&mut self) {
        let mut state = self.of.state();
        let waited = self.place.as_ref();
        if !waited.is_some_and(|place| state.leave(place)) {
            state.free += self.permits;
        }
        state.advance();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Request<'t> = Pin<Box<dyn Future<Output = Permit<'t, u8>> + 't>>;

    /// A request that has been polled once, and has its place by that.
    fn request<'t>(turns: &'t FairSemaphore<u8>, client: u8, permits: u64) -> Request<'t> {
        let mut request: Request = Box::pin(turns.acquire(client, permits));
        assert!(poll(&mut request).is_none());
        request
    }

    fn poll<'t>(request: &mut Request<'t>) -> Option<Permit<'t, u8>> {
        let mut context = Context::from_waker(Waker::noop());
        match request.as_mut().poll(&mut context) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    /// The order in which requests are served, one after the other.
    fn served(mut requests: Vec<(&'static str, Request)>, first: Permit<u8>) -> Vec<&'static str> {
        let mut served = Vec::new();
        let mut held = Some(first);
        while held.take().is_some() {
            let found = requests
                .iter_mut()
                .enumerate()
                .find_map(|(at, (name, it))| {
                    let permit = poll(it)?;
                    Some((at, *name, permit))
                });
            if let Some((at, name, permit)) = found {
                served.push(name);
                held = Some(permit);
                drop(requests.remove(at));
            }
        }
        assert!(requests.is_empty());
        served
    }

    #[test]
    fn clients_take_turns_and_each_keeps_its_order() {
        let turns = FairSemaphore::new(1);
        let (many, few) = (1, 2);
        let first = turns.try_acquire(1).unwrap();
        let requests = vec![
            ("a1", request(&turns, many, 1)),
            ("a2", request(&turns, many, 1)),
            ("a3", request(&turns, many, 1)),
            ("a4", request(&turns, many, 1)),
            ("b1", request(&turns, few, 1)),
            ("b2", request(&turns, few, 1)),
        ];
        assert!(turns.try_acquire(1).is_none());
        assert_eq!(
            served(requests, first),
            ["a1", "b1", "a2", "b2", "a3", "a4"]
        );
        assert!(turns.try_acquire(1).is_some());
    }

    #[test]
    fn who_needs_many_is_not_passed_by_for_ever() {
        let turns = FairSemaphore::new(3);
        let first = turns.try_acquire(3).unwrap();
        let large = request(&turns, 1, 3);
        let small = request(&turns, 2, 1);
        assert_eq!(
            served(vec![("small", small), ("large", large)], first),
            ["large", "small"]
        );
    }

    #[test]
    fn who_needs_none_waits_for_nobody() {
        let turns = FairSemaphore::new(1);
        let _all = turns.try_acquire(1).unwrap();
        let _waiting = request(&turns, 1, 1);
        drop(turns.try_acquire(0).unwrap());
        assert!(turns.try_acquire(1).is_none());
    }

    #[test]
    fn who_takes_back_what_it_lent_goes_ahead_of_all_others() {
        let turns = FairSemaphore::new(1);
        assert_eq!(turns.try_acquire(1).unwrap().keep(), 1);
        assert!(turns.try_acquire(1).is_none());
        let mut waiting = request(&turns, 1, 1);
        turns.give_back(1);
        let lent = poll(&mut waiting).unwrap();
        let mut last = request(&turns, 2, 1);
        let mut resumes: Request = Box::pin(turns.take_back(1));
        assert!(poll(&mut resumes).is_none());
        let dropped: Request = Box::pin(turns.take_back(1));
        drop(dropped);
        drop(lent);
        assert!(poll(&mut last).is_none());
        let resumed = poll(&mut resumes).unwrap();
        let mut gone: Request = Box::pin(turns.take_back(1));
        assert!(poll(&mut gone).is_none());
        drop(gone);
        drop(resumed);
        drop(poll(&mut last).unwrap());
        assert!(turns.try_acquire(1).is_some());
    }

    #[test]
    fn what_is_dropped_leaves_its_place_and_its_permits_to_others() {
        let turns = FairSemaphore::new(1);
        let first = turns.try_acquire(1).unwrap();
        let waiting = request(&turns, 1, 1);
        let granted = request(&turns, 2, 1);
        let mut last = request(&turns, 1, 1);
        drop(waiting);
        drop(first);
        // It was granted, and never looked.
        drop(granted);
        drop(poll(&mut last).unwrap());
        assert!(turns.try_acquire(1).is_some());
        assert!(turns.state().waiting.is_empty() && turns.state().turns.is_empty());
    }
}
