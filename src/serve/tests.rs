//! The front through real sockets.
