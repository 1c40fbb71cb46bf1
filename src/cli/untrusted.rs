//! The error of a manifest that asks for what its user has not allowed.

use std::fmt;

use toolhost::manifest::Demand;
use toolhost::printable;

/// Demands that an error names; `toolhost trust --show` has all.
const MOST_NAMED: usize = 5;

/// A manifest that asks for what its user has not allowed.
#[derive(Debug)]
pub(super) struct Untrusted {
    pub(super) file: String,
    pub(super) demands: Vec<Demand>,
}

impl std::error::Error for Untrusted {}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Untrusted { file, demands } = self;
        // Its lines are its own.
        let file = printable::line(file);
        writeln!(
            f,
            "{file} is not trusted, and asks for more than access to its own folder:"
        )?;
        for Demand { what, .. } in demands.iter().take(MOST_NAMED) {
            writeln!(f, "  {}", printable::line(what))?;
            if let Some(note) = look_alikes(what) {
                writeln!(f, "    {note}")?;
            }
        }
        if let Some(more) = demands.len().checked_sub(MOST_NAMED).filter(|it| *it > 0) {
            writeln!(f, "  and {more} more (see `toolhost trust --show`)")?;
        }
        write!(
            f,
            "  help: to allow this, run `toolhost trust` or pass --manifest {file}"
        )
    }
}

/// What is to be said beside a text with names that are not what they look like.
pub(super) fn look_alikes(text: &str) -> Option<String> {
    let spelled = printable::look_alikes(text).into_iter();
    let spelled: Vec<String> = spelled
        .map(|(_, it)| printable::line(&it).into_owned())
        .collect();
    (!spelled.is_empty()).then(|| {
        format!(
            "note: some letters look like others: {}",
            spelled.join(", ")
        )
    })
}
