//! What the conformance suite prints at its end.

use std::collections::BTreeMap;

/// How a scenario's checks ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
}

impl Counts {
    pub fn is_good(self) -> bool {
        self.passed > 0 && self.failed == 0
    }
}

/// The scenarios of a run, by name.
#[derive(Debug)]
pub struct Summary {
    /// What the revision requires.
    pub scored: BTreeMap<String, Counts>,
    /// What it does not, or not yet.
    pub others: BTreeMap<String, Counts>,
}

impl Summary {
    /// Takes it out of all that was printed.
    pub fn read(printed: &str) -> Option<Summary> {
        let (_, summary) = printed.split_once("=== SUMMARY ===")?;
        let (scenarios, rest) = summary.split_once("\nTotal: ")?;
        let mut scored: BTreeMap<String, Counts> = scenarios.lines().filter_map(scenario).collect();
        let (_, rest) = rest.split_once("\nNot scored ").unwrap_or_default();
        let others = rest
            .lines()
            .filter_map(|line| Some(marked(line)?.split_once(" (")?.0))
            .filter_map(|name| scored.remove_entry(name))
            .collect();
        Some(Summary { scored, others })
    }

    /// The scored ones that are not as they should be, and those of `others`.
    pub fn bad<'a>(&'a self, others: &'a [&str]) -> Vec<String> {
        let scored = self
            .scored
            .iter()
            .map(|(name, counts)| (&**name, Some(counts)));
        let others = others.iter().map(|name| (*name, self.others.get(*name)));
        scored
            .chain(others)
            .filter(|(_, counts)| !counts.is_some_and(|counts| counts.is_good()))
            .map(|(name, counts)| match counts {
                None => format!("{name} did not run"),
                Some(Counts { passed, failed }) => {
                    format!("{name}: {passed} passed, {failed} failed")
                }
            })
            .collect()
    }
}

/// `✓ ping: 2 passed, 0 failed`
fn scenario(line: &str) -> Option<(String, Counts)> {
    let (name, counts) = marked(line)?.split_once(": ")?;
    let (passed, rest) = counts.split_once(" passed, ")?;
    let (failed, _) = rest.split_once(" failed")?;
    let counts = Counts {
        passed: passed.parse().ok()?,
        failed: failed.parse().ok()?,
    };
    Some((name.to_owned(), counts))
}

/// A line without its mark: whether it is a tick or a cross, the counts say.
fn marked(line: &str) -> Option<&str> {
    let (mark, rest) = line.trim().split_once(' ')?;
    (mark.chars().count() == 1 && !mark.is_ascii()).then(|| rest.trim())
}

#[test]
fn a_summary_is_read() {
    let printed = "Running…\n\n=== SUMMARY ===\n\
                   ✓ ping: 2 passed, 0 failed\n\
                   ✗ caching: 3 passed, 1 failed, 2 warnings\n\
                   ✓ tasks-status: 0 passed, 0 failed\n\
                   ✓ json-schema: 8 passed, 0 failed\n\n\
                   Total: 13 passed, 1 failed\n\n\
                   Not scored for 2026-07-28: 2 scenario(s) run, 0 failing. These do not count.\n  \
                   ✓ tasks-status (extension)\n  \
                   ✓ json-schema (pending)\n";
    let summary = Summary::read(printed).unwrap();
    assert_eq!(summary.scored.len(), 2);
    assert_eq!(
        summary.scored["ping"],
        Counts {
            passed: 2,
            failed: 0
        }
    );
    assert_eq!(summary.others.len(), 2);
    assert_eq!(
        summary.bad(&["json-schema", "tasks-status", "polling"]),
        [
            "caching: 3 passed, 1 failed",
            "tasks-status: 0 passed, 0 failed",
            "polling did not run"
        ]
    );
    assert!(Summary::read("node: no such file").is_none());
}
