pub use wasip3::random::{insecure, random};

pub mod insecure_seed {
    pub fn insecure_seed() -> (u64, u64) {
        wasip3::random::insecure_seed::get_insecure_seed()
    }
}
