//! The limits of `[host]` and `[plugin.NAME]`.

use std::time::Duration;

use bytesize::ByteSize;

use super::MAX_CONCURRENCY;
use super::reader::{ManifestSource, ManifestTable};
use crate::limits::{Limits, MAX_DEPTH, MAX_TIMEOUT, STACK_RANGE, size};

pub(super) fn read_limits(
    table: &mut ManifestTable,
    limits: &mut Limits,
    source: &mut ManifestSource,
) {
    let times = [
        ("timeout", &mut limits.timeout),
        ("max-compile", &mut limits.max_compile),
    ];
    for (key, limit) in times {
        *limit = read_duration(table, key, source).unwrap_or(*limit);
    }
    limits.cpu = read_duration(table, "cpu", source).or(limits.cpu);

    // A 32-bit memory has at most 4 GiB; the rest is bounded by what a host can hold.
    let most = ByteSize::gib(4);
    let sizes = [
        ("memory", &mut limits.memory),
        ("max-input", &mut limits.max_input),
        ("max-output", &mut limits.max_output),
        ("max-log", &mut limits.max_log),
        ("max-response", &mut limits.max_response),
        ("max-headers", &mut limits.max_headers),
        ("max-component", &mut limits.max_component),
    ];
    for (key, limit) in sizes {
        *limit = read_size(table, key, most, source).unwrap_or(*limit);
    }
    limits.max_transfer = read_size(table, "max-transfer", most, source).or(limits.max_transfer);
    let [least, most] = STACK_RANGE;
    if let Some(stack) = read_size_from(table, "max-stack", least, most, source) {
        limits.max_stack = stack;
    }

    let counts = [
        ("max-resources", &mut limits.max_resources, 1_000_000),
        ("max-requests", &mut limits.max_requests, 1_000_000),
        (
            "max-open-requests",
            &mut limits.max_open_requests,
            1_000_000,
        ),
        ("max-tool-calls", &mut limits.max_tool_calls, 1_000_000),
        (
            "max-parallel-calls",
            &mut limits.max_parallel_calls,
            MAX_CONCURRENCY,
        ),
        ("max-depth", &mut limits.max_depth, MAX_DEPTH as usize),
    ];
    for (key, limit, most) in counts {
        if let Some(count) = table.count(key, most, source) {
            *limit = u32::try_from(count).expect("at most a million");
        }
    }
}

pub(super) fn read_duration(
    table: &mut ManifestTable,
    key: &'static str,
    source: &mut ManifestSource,
) -> Option<Duration> {
    let expected = "a duration above zero and up to a year, such as \"30s\" or \"500ms\"";
    let parse = |text: &str| {
        humantime::parse_duration(text)
            .ok()
            .filter(|duration| !duration.is_zero() && *duration <= MAX_TIMEOUT)
    };
    table.parsed(key, expected, parse, source)
}

pub(super) fn read_size(
    table: &mut ManifestTable,
    key: &'static str,
    most: ByteSize,
    source: &mut ManifestSource,
) -> Option<ByteSize> {
    read_size_from(table, key, ByteSize::b(1), most, source)
}

fn read_size_from(
    table: &mut ManifestTable,
    key: &'static str,
    least: ByteSize,
    most: ByteSize,
    source: &mut ManifestSource,
) -> Option<ByteSize> {
    let written = |bound: ByteSize| size(bound).replace(' ', "");
    let (from, to) = (written(least), written(most));
    let example = if most <= ByteSize::mib(16) {
        "1MiB"
    } else {
        "64MiB"
    };
    let expected = format!("a size from \"{from}\" to \"{to}\", such as \"{example}\"");
    let parse = |text: &str| {
        let size = text.parse::<ByteSize>().ok()?;
        (least..=most).contains(&size).then_some(size)
    };
    table.parsed(key, &expected, parse, source)
}
