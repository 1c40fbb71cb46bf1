//! Files with something done to them: bytes, words or lines deleted, doubled, swapped, replaced, or
//! put in from another file.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// Doubling what is doubled makes no input longer.
const LONGEST: usize = 64 << 10;

/// Pieces that one change takes at most.
const MOST_PIECES: usize = 8;

#[derive(Clone, Copy, Debug)]
enum What {
    Delete,
    Double,
    Swap,
    Splice,
    Word,
    Byte(u8),
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    Bytes,
    Words,
    Lines,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    what: What,
    unit: Unit,
    at: Index,
    other: Index,
    seed: Index,
    pieces: usize,
}

/// Seeds with up to six changes; `words` are put in whole.
pub fn mutated(
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
) -> impl Strategy<Value = Vec<u8>> {
    assert!(!seeds.is_empty());
    (any::<Index>(), vec(change(), 1..=6)).prop_map(move |(seed, changes)| {
        let mut input = seed.get(&seeds).clone();
        for change in changes {
            input = apply(change, &input, &seeds, words);
            input.truncate(LONGEST);
        }
        input
    })
}

/// Any bytes, and any text.
pub fn arbitrary() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..200),
        any::<String>().prop_map(String::into_bytes),
        "[ -~\n]{0,200}".prop_map(String::into_bytes),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let what = prop_oneof![
        Just(What::Delete),
        Just(What::Double),
        Just(What::Swap),
        Just(What::Splice),
        Just(What::Word),
        any::<u8>().prop_map(What::Byte),
    ];
    let unit = prop_oneof![Just(Unit::Bytes), Just(Unit::Words), Just(Unit::Lines)];
    let places = (any::<Index>(), any::<Index>(), any::<Index>());
    (what, unit, places, 1..=MOST_PIECES).prop_map(|(what, unit, (at, other, seed), pieces)| {
        Change {
            what,
            unit,
            at,
            other,
            seed,
            pieces,
        }
    })
}

fn apply(change: Change, input: &[u8], seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let part = |bytes: &[u8], at: Index| -> Range<usize> {
        let pieces = pieces(bytes, change.unit);
        if pieces.is_empty() {
            return 0..0;
        }
        let first = at.index(pieces.len());
        let last = pieces.len().min(first + change.pieces) - 1;
        pieces[first].start..pieces[last].end
    };
    let here = part(input, change.at);
    let with = |replaced: Range<usize>, put: &[u8]| {
        [&input[..replaced.start], put, &input[replaced.end..]].concat()
    };
    match change.what {
        What::Delete => with(here, b""),
        What::Double => with(here.end..here.end, &input[here]),
        What::Swap => {
            let there = part(input, change.other);
            let (first, second) = if here.start <= there.start {
                (here, there)
            } else {
                (there, here)
            };
            if first.end > second.start {
                return input.to_vec();
            }
            [
                &input[..first.start],
                &input[second.clone()],
                &input[first.end..second.start],
                &input[first],
                &input[second.end..],
            ]
            .concat()
        }
        What::Splice => {
            let seed = change.seed.get(seeds);
            with(here.start..here.start, &seed[part(seed, change.other)])
        }
        // In the place of something, or beside it.
        What::Word => {
            let word = change.seed.get(words).as_bytes();
            if change.other.index(2) == 0 {
                with(here, word)
            } else {
                with(here.end..here.end, word)
            }
        }
        What::Byte(byte) => with(here, &[byte]),
    }
}

fn pieces(bytes: &[u8], unit: Unit) -> Vec<Range<usize>> {
    let class = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | 0x80.. => 0,
        b' ' | b'\t' => 1,
        // Each by itself.
        _ => 2,
    };
    let ends = |at: usize| match unit {
        Unit::Bytes => true,
        Unit::Words => class(bytes[at]) == 2 || class(bytes[at]) != class(bytes[at + 1]),
        Unit::Lines => bytes[at] == b'\n',
    };
    let mut pieces = Vec::new();
    let mut start = 0;
    for at in 0..bytes.len() {
        if at + 1 == bytes.len() || ends(at) {
            pieces.push(start..at + 1);
            start = at + 1;
        }
    }
    pieces
}
