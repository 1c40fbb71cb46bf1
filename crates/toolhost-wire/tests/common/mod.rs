//! What the tests share, here and those of `toolhost`.

pub mod arbitrary;
pub mod forms;
pub mod responses;
