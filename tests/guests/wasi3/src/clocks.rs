pub mod wall_clock {
    pub use wasip3::clocks::system_clock::{Instant as Datetime, now};
}

pub mod monotonic_clock {
    pub use wasip3::clocks::monotonic_clock::now;

    use crate::io::poll::Pollable;

    pub fn subscribe_duration(time: u64) -> Pollable {
        Pollable::new(wasip3::clocks::monotonic_clock::wait_for(time))
    }
}
