//! Tools that use up memory or stack, or end the instance.

use crate::{Answer, Behaviour, Given, NOTHING, Takes, failed, text};
use std::hint::black_box;
use std::mem;

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "recurse",
        description: "Calls itself without end.",
        takes: NOTHING,
        run: |_| text(recurse(0).to_string()),
    },
    Behaviour {
        name: "allocate",
        description: "Allocates and touches a mebibyte at a time, forever.",
        takes: NOTHING,
        run: |_| loop {
            mem::forget(touched(1 << 20));
        },
    },
    Behaviour {
        name: "allocate_once",
        description: "Asks for so many bytes at once; fails with \"out of memory\" if it does not get them.",
        takes: Takes::Required(&[("bytes", "integer")]),
        run: allocate_once,
    },
    Behaviour {
        name: "touch",
        description: "Allocates and touches so many bytes, then answers.",
        takes: Takes::Required(&[("bytes", "integer")]),
        run: touch,
    },
    Behaviour {
        name: "trap",
        description: "Executes the unreachable instruction.",
        takes: NOTHING,
        run: |_| trap(),
    },
    Behaviour {
        name: "panic",
        description: "Panics with the message.",
        takes: Takes::Required(&[("message", "string")]),
        run: |given| panic!("{}", given.text("message")?),
    },
    Behaviour {
        name: "exit",
        description: "Exits the process with the code.",
        takes: Takes::Required(&[("code", "integer")]),
        run: |given| std::process::exit(given.number("code")?),
    },
];

/// `black_box` keeps the optimizer from making a loop of it.
fn recurse(depth: u64) -> u64 {
    black_box(depth)
        + if black_box(true) {
            recurse(depth + 1)
        } else {
            0
        }
}

fn touched(bytes: usize) -> Vec<u8> {
    // Not zero: a fresh page is zero without being touched.
    black_box(vec![1; bytes])
}

fn touch(given: &Given) -> Answer {
    let bytes = touched(given.number("bytes")?).len();
    text(format!("touched {bytes} bytes"))
}

fn allocate_once(given: &Given) -> Answer {
    let mut block = Vec::<u8>::new();
    block
        .try_reserve_exact(given.number("bytes")?)
        .map_err(|_| failed("out of memory"))?;
    black_box(block);
    text("ok")
}

#[cfg(target_arch = "wasm32")]
fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(not(target_arch = "wasm32"))]
fn trap() -> ! {
    std::process::abort()
}
