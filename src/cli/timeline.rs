//! Draws a batch: one line per call, from its permit to its end.

use std::fmt::Write;
use std::time::Duration;

use toolhost::{ToolResult, printable};

/// Columns of the bars.
const WIDTH: usize = 40;

/// Draws the calls in their order; `·` is waiting for a permit, `█` is running.
pub(super) fn draw(results: &[ToolResult]) -> String {
    let together: Vec<_> = results.iter().map(|it| (Duration::ZERO, it)).collect();
    draw_from(&together)
}

/// As [`draw`], for calls that arrived one after the other, each with its time.
pub(super) fn draw_from(results: &[(Duration, &ToolResult)]) -> String {
    let ends = results
        .iter()
        .map(|(from, result)| *from + result.usage.queue + result.usage.run);
    let total = ends.max().unwrap_or_default();
    let one_by_one: Duration = results.iter().map(|(_, result)| result.usage.run).sum();
    let longest = results
        .iter()
        .map(|(_, result)| printable::line(&result.name).chars().count())
        .max();
    let name_width = longest.unwrap_or_default().min(32);
    let mut out = String::new();
    for (from, result) in results {
        let before = column(*from, total);
        let queue = column(*from + result.usage.queue, total);
        // Even the shortest call is visible.
        let end = column(*from + result.usage.queue + result.usage.run, total).max(queue + 1);
        let outcome = outcome(result);
        let name: String = printable::line(&result.name).chars().take(32).collect();
        let _ = writeln!(
            out,
            "{name:name_width$} |{}{}{}{}| {:>9} {outcome}",
            " ".repeat(before),
            "·".repeat(queue - before),
            "█".repeat(end - queue),
            " ".repeat(WIDTH + 1 - end.min(WIDTH + 1)),
            time(result.usage.run),
        );
    }
    let _ = writeln!(out, "{}", sum(results.len(), total, one_by_one));
    out
}

/// How much time parallel execution saved, if any: waiting for a turn or for a person is part of
/// the total, but not of the time one after another.
pub(super) fn sum(calls: usize, total: Duration, one_by_one: Duration) -> String {
    let plural = if calls == 1 { "" } else { "s" };
    let sum = format!("{calls} call{plural} in {}", time(total));
    match calls > 1 && one_by_one > total {
        true => format!(
            "{sum}; one after another they would take {}",
            time(one_by_one)
        ),
        false => sum,
    }
}

/// A result in a word.
pub(super) fn outcome(result: &ToolResult) -> &'static str {
    match &result.outcome {
        Ok(_) => "ok",
        Err(error) => error.code(),
    }
}

fn column(at: Duration, total: Duration) -> usize {
    if total.is_zero() {
        return 0;
    }
    (at.as_secs_f64() / total.as_secs_f64() * WIDTH as f64) as usize
}

pub(super) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.001 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_that_was_saved_is_told() {
        let second = Duration::from_secs(1);
        let sums = [
            sum(2, second, second * 2),
            sum(4, second * 3, second),
            sum(2, second, second),
            sum(1, second, second * 2),
        ];
        assert_eq!(
            sums,
            [
                "2 calls in 1.00 s; one after another they would take 2.00 s",
                "4 calls in 3.00 s",
                "2 calls in 1.00 s",
                "1 call in 1.00 s",
            ]
        );
    }
}
