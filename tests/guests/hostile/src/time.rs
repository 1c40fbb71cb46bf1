//! Attacks on the host's time: tools that never end, each in another place.

use crate::toolhost::plugin::host::{self, Level};
use crate::{Behaviour, escaped};
use std::hint::black_box;
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::io::poll::poll;

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "spin",
        description: "Loops forever.",
        takes: &[],
        run: |_| spin(),
    },
    Behaviour {
        name: "spin_in_host_call",
        description: "Reads both clocks forever.",
        takes: &[],
        run: |_| loop {
            black_box(wall_clock::now());
            black_box(monotonic_clock::now());
        },
    },
    Behaviour {
        name: "spin_log_empty",
        description: "Logs an empty line through the host forever.",
        takes: &[],
        run: |_| loop {
            host::log(Level::Info, "");
        },
    },
    Behaviour {
        name: "sleep_forever",
        description: "Sleeps for as long as a clock can count.",
        takes: &[],
        run: |_| {
            monotonic_clock::subscribe_duration(u64::MAX).block();
            escaped("slept to the end of time")
        },
    },
    Behaviour {
        name: "poll_spin",
        description: "Polls a timer of no length forever.",
        takes: &[],
        run: |_| loop {
            let timer = monotonic_clock::subscribe_duration(0);
            black_box(poll(&[&timer]));
        },
    },
    Behaviour {
        name: "poll_many",
        description: "Polls ever more timers at once, and keeps them all.",
        takes: &[],
        run: |_| poll_many(),
    },
    Behaviour {
        name: "fill_forever",
        description: "Fills and copies 32 MiB forever, with the bulk instructions.",
        takes: &[],
        run: |_| fill_forever(),
    },
    Behaviour {
        name: "deep_poll",
        description: "Waits for a timer of an hour.",
        takes: &[],
        run: |_| {
            let timer = monotonic_clock::subscribe_duration(3600 * 1_000_000_000);
            poll(&[&timer]);
            escaped("waited for an hour")
        },
    },
];

fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn poll_many() -> ! {
    let mut timers = Vec::new();
    loop {
        // A few each turn: the first ones are ready at once, so that each poll returns.
        timers.extend((0..100).map(|_| monotonic_clock::subscribe_duration(0)));
        black_box(poll(&timers.iter().collect::<Vec<_>>()));
    }
}

fn fill_forever() -> ! {
    let mut block = vec![1u8; 32 << 20];
    let half = block.len() / 2;
    loop {
        block.fill(black_box(2));
        black_box(&mut block).copy_within(..half, half);
        black_box(&mut block);
    }
}
