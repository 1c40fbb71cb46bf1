//! Names that may have been meant.

/// The names that are most like another one, at most five.
pub(crate) fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let wanted = wanted.to_lowercase();
    let mut near: Vec<(usize, &str)> = names
        .map(|name| (distance(&wanted, &name.to_lowercase()), name))
        .collect();
    near.sort_unstable();
    near.dedup();
    near.truncate(5);
    near.into_iter().map(|(_, name)| name).collect()
}

/// How many characters have to be changed.
fn distance(a: &str, b: &str) -> usize {
    const MAX_CHARACTERS: usize = 60;
    let b: Vec<char> = b.chars().take(MAX_CHARACTERS).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, c) in a.chars().take(MAX_CHARACTERS).enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, d) in b.iter().enumerate() {
            let changed = diagonal + usize::from(c != *d);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn near_names_come_first() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        let names = ["price", "amount", "id"];
        assert_eq!(nearest("Amout", names.into_iter())[0], "amount");
    }
}
