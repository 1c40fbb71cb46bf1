//! Attacks on memory, the guest's and the host's: what is made is kept, and more is made.

use crate::files::{self, open};
use crate::toolhost::plugin::host::{self, Level};
use crate::{Answer, Behaviour, Error, Given, escaped, failed, refused, text};
use std::hint::black_box;
use std::mem;
use wasip2::clocks::monotonic_clock;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasip2::http::types::{Fields, Method, OutgoingRequest};
use wasip2::random::random;

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "recurse",
        description: "Calls itself without end.",
        takes: &[],
        run: |_| text(recurse(0).to_string()),
    },
    Behaviour {
        name: "allocate",
        description: "Allocates and touches a mebibyte at a time, forever.",
        takes: &[],
        run: |_| loop {
            mem::forget(black_box(vec![1u8; 1 << 20]));
        },
    },
    Behaviour {
        name: "resource_bomb",
        description: "Makes timers and keeps them, forever.",
        takes: &[],
        run: |_| loop {
            mem::forget(monotonic_clock::subscribe_duration(3600 * 1_000_000_000));
        },
    },
    Behaviour {
        name: "fields_bomb",
        description: "Makes headers of 32 kB and keeps them, forever.",
        takes: &[],
        run: |_| fields_bomb(),
    },
    Behaviour {
        name: "request_bomb",
        description: "Makes requests with long methods, authorities and paths and keeps them, forever.",
        takes: &[],
        run: |_| request_bomb(),
    },
    Behaviour {
        name: "body_bomb",
        description: "Writes as much as it may into bodies of requests, keeps them unsent, and makes others, forever.",
        takes: &[],
        run: |_| body_bomb(),
    },
    Behaviour {
        name: "descriptor_bomb",
        description: "Opens the file at the guest's absolute path again and again without closing it.",
        takes: &[("path", "string")],
        run: descriptor_bomb,
    },
    Behaviour {
        name: "dir_stream_bomb",
        description: "Lists the first preopened directory again and again without closing the listings.",
        takes: &[],
        run: |_| dir_stream_bomb(),
    },
    Behaviour {
        name: "transfer_bomb",
        description: "Hands the host one log message of so many bytes.",
        takes: &[("bytes", "integer")],
        run: |given| {
            let message = "x".repeat(given.number("bytes")?);
            host::log(Level::Info, &message);
            escaped(format_args!("logged {} bytes at once", message.len()))
        },
    },
    Behaviour {
        name: "invalid_utf8",
        description: "Hands the host a log message that is not UTF-8.",
        takes: &[],
        run: |_| {
            let bytes = black_box(vec![b'x', 0xff, 0xc0, 0x80, 0xed, 0xa0, 0x80]);
            // SAFETY: there is none; the bytes only go through, and the host has to look.
            let message = unsafe { String::from_utf8_unchecked(bytes) };
            host::log(Level::Info, &message);
            escaped("the host took a string that is not UTF-8")
        },
    },
    Behaviour {
        name: "random_flood",
        description: "Asks for so many random bytes forever.",
        takes: &[("bytes", "integer")],
        run: |given| {
            let bytes = given.number("bytes")?;
            loop {
                black_box(random::get_random_bytes(bytes));
            }
        },
    },
    Behaviour {
        name: "random_huge",
        description: "Asks for a tebibyte of random bytes at once.",
        takes: &[],
        run: |_| {
            let bytes = random::get_random_bytes(1 << 40);
            escaped(format_args!("got {} random bytes", bytes.len()))
        },
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

fn fields_bomb() -> ! {
    let value = [b'x'; 1000];
    loop {
        // No more than one request may have: what is too much ends the call, and not the bomb alone.
        let fields = Fields::new();
        for number in 0..32 {
            let _ = fields.append(&format!("x-{number}"), &value);
        }
        mem::forget(fields);
    }
}

/// What is too long for the host is left out: the requests are what counts.
fn request_bomb() -> ! {
    let long = "x".repeat(60_000);
    let path = format!("/{long}");
    loop {
        let request = OutgoingRequest::new(Fields::new());
        let _ = request.set_method(&Method::Other(long.clone()));
        let _ = request.set_authority(Some(&long));
        let _ = request.set_path_with_query(Some(&path));
        mem::forget(request);
    }
}

fn body_bomb() -> Answer {
    let zeros = vec![0u8; 1 << 20];
    for kept in 0u64.. {
        let request = OutgoingRequest::new(Fields::new());
        let no = |what: &str| refused(format_args!("{what}, with {kept} kept"));
        let body = request.body().map_err(|()| no("a body"))?;
        let stream = body.write().map_err(|()| no("a stream"))?;
        while let Ok(room @ 1..) = stream.check_write() {
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            if stream.write(&zeros[..room.min(zeros.len())]).is_err() {
                break;
            }
        }
        mem::forget((stream, body, request));
    }
    escaped("kept as many bodies as can be counted")
}

fn descriptor_bomb(given: &Given) -> Answer {
    let (directory, path) = files::locate(given.text("path")?)?;
    for kept in 0u64.. {
        let file = open(
            &directory,
            PathFlags::SYMLINK_FOLLOW,
            &path,
            OpenFlags::empty(),
            DescriptorFlags::READ,
        );
        mem::forget(file.map_err(|error| kept_some(error.name(), kept))?);
    }
    escaped("opened as many files as can be counted")
}

fn dir_stream_bomb() -> Answer {
    let preopens = wasip2::filesystem::preopens::get_directories();
    let (directory, _) = preopens.first().ok_or_else(|| failed("no preopen"))?;
    for kept in 0u64.. {
        let entries = directory.read_directory();
        mem::forget(entries.map_err(|error| kept_some(error.name(), kept))?);
    }
    escaped("opened as many listings as can be counted")
}

fn kept_some(error: &str, kept: u64) -> Error {
    refused(format_args!("{error}, with {kept} kept"))
}
