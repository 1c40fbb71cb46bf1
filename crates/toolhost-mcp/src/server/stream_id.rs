//! [`StreamId`]: which event stream a message of the server belongs on.

/// The stream of the request that caused a message, in the extensions of both. Not the request's
/// id, which may be reused once it is cancelled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamId {
    pub(crate) number: u64,
    pub(crate) aside: Aside,
}

/// Where messages caused by a request go, before its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aside {
    /// On the stream of the answer.
    Own,
    /// On the standalone stream: the answer must be JSON alone.
    Common,
    /// Nowhere: the client has no standalone stream open either.
    Lost,
}

impl StreamId {
    /// Whether the client can be asked something because of the request.
    pub(crate) fn can_ask(self) -> bool {
        self.aside != Aside::Lost
    }
}
