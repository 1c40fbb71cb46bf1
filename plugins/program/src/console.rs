//! What a program prints, within bounds.

/// The most bytes that are kept.
const MAX_BYTES: usize = 64 << 10;

/// The most lines that are kept.
const MAX_LINES: usize = 1000;

/// The lines that a program has printed.
#[derive(Default)]
pub struct Console {
    lines: Vec<String>,
    bytes: usize,
    left_out: usize,
}

impl Console {
    /// Adds a line; one that is over the bounds is counted only.
    pub fn print(&mut self, line: String) {
        let is_full = self.lines.len() >= MAX_LINES || self.bytes + line.len() > MAX_BYTES;
        if is_full {
            self.left_out += 1;
            return;
        }
        self.bytes += line.len();
        self.lines.push(line);
    }

    /// The lines, and how many are not among them.
    pub(crate) fn into_lines(mut self) -> Vec<String> {
        if self.left_out > 0 {
            let more = format!("({} more lines are left out)", self.left_out);
            self.lines.push(more);
        }
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_bounded() {
        let mut console = Console::default();
        for _ in 0..2 * MAX_LINES {
            console.print("x".to_owned());
        }
        let lines = console.into_lines();
        assert_eq!(lines.len(), MAX_LINES + 1);
        assert_eq!(lines[MAX_LINES], "(1000 more lines are left out)");
    }
}
