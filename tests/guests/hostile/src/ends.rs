//! Attacks by ending in every way but an answer.

use crate::{Answer, Behaviour, Hostile, escaped, exported, text};
use std::hint::{assert_unchecked, black_box};
use std::process;
use wasip2::clocks::monotonic_clock;
use wasip2::io::poll::Pollable;

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "exit",
        description: "Exits the process with the status.",
        takes: &[("status", "integer")],
        run: |given| process::exit(given.number("status")?),
    },
    Behaviour {
        name: "exit_ok",
        description: "Exits the process with success, without an answer.",
        takes: &[],
        run: |_| process::exit(0),
    },
    Behaviour {
        name: "panic",
        description: "Panics.",
        takes: &[],
        run: |_| panic!("on purpose"),
    },
    Behaviour {
        name: "unreachable",
        description: "Executes the unreachable instruction.",
        takes: &[],
        run: |_| unreachable_instruction(),
    },
    Behaviour {
        name: "divide",
        description: "Divides by zero with the instruction for it.",
        takes: &[],
        run: |_| divide(),
    },
    Behaviour {
        name: "out_of_bounds",
        description: "Reads beyond the end of its memory.",
        takes: &[],
        run: |_| out_of_bounds(),
    },
    Behaviour {
        name: "null_call",
        description: "Calls a function through a pointer of another type.",
        takes: &[],
        run: |_| null_call(),
    },
    Behaviour {
        name: "drop_twice",
        description: "Drops one resource twice.",
        takes: &[],
        run: |_| drop_twice(),
    },
    Behaviour {
        name: "reenter",
        description: "Calls its own export list-tools from inside the call, which is harmless, and answers how many tools that lists.",
        takes: &[],
        run: |_| reenter(),
    },
];

#[cfg(target_arch = "wasm32")]
fn unreachable_instruction() -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(not(target_arch = "wasm32"))]
fn unreachable_instruction() -> ! {
    process::abort()
}

fn divide() -> Answer {
    let divisor = black_box(0u32);
    // SAFETY: there is none; without Rust's own check it is the instruction that traps.
    unsafe { assert_unchecked(divisor != 0) };
    let quotient = black_box(1u32) / divisor;
    escaped(format_args!("1 / 0 is {quotient}"))
}

#[cfg(target_arch = "wasm32")]
fn end_of_memory() -> usize {
    core::arch::wasm32::memory_size(0) << 16
}

#[cfg(not(target_arch = "wasm32"))]
fn end_of_memory() -> usize {
    usize::MAX
}

fn out_of_bounds() -> Answer {
    let end = black_box(end_of_memory()) as *const u8;
    // SAFETY: there is none; the host has to end this.
    let byte = unsafe { end.read_volatile() };
    escaped(format_args!("read {byte} beyond the end of memory"))
}

fn null_call() -> Answer {
    let function: fn() -> Answer = divide;
    let pointer = black_box(function as *const ());
    // SAFETY: there is none; the call has to notice that the types differ.
    let wrong: fn(f64, f64) -> f64 = unsafe { std::mem::transmute(pointer) };
    let answer = black_box(wrong)(1.0, 2.0);
    escaped(format_args!("the call answered {answer}"))
}

fn drop_twice() -> Answer {
    let handle = monotonic_clock::subscribe_duration(0).take_handle();
    for _ in 0..2 {
        // SAFETY: there is none the second time; the host has to notice.
        drop(unsafe { Pollable::from_handle(handle) });
    }
    escaped("dropped a resource twice")
}

fn reenter() -> Answer {
    // SAFETY: as the host calls it: the area holds the list's pointer and length until it is
    // handed back.
    let count = unsafe {
        let area = exported::_export_list_tools_cabi::<Hostile>();
        let count = *area.cast::<usize>().add(1);
        exported::__post_return_list_tools::<Hostile>(area);
        count
    };
    text(format!("listed {count} tools"))
}
