//! Traps when it is asked for its tools.
listing::plugin!(core::arch::wasm32::unreachable());
