//! [`StreamId`]: which event stream a message of the server belongs on.

/// The stream of the request that something is said because of, in the extensions of both. A request's id
/// may be another's once it is cancelled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamId {
    pub(crate) number: u64,
    pub(crate) aside: Aside,
}

/// Where what is said because of a request goes before its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aside {
    /// With the answer.
    Own,
    /// On the stream that belongs to no request: the answer is to be JSON alone.
    Common,
    /// Nowhere: the client has no such stream open either.
    Lost,
}

impl StreamId {
    /// Whether the client can be asked something because of the request.
    pub(crate) fn can_ask(self) -> bool {
        self.aside != Aside::Lost
    }
}
