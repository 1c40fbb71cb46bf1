//! Patterns of ECMA 262 as automata: as many steps as the text has bytes, whatever the pattern.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jsonschema::{Keyword, ValidationError};
use jsonschema_regex::{RepeatedClass, Search, search_form, to_rust_regex};
use regex_automata::Input;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;
use serde_json::Value;

use crate::node::{Counted, Node};
use crate::{Automaton, Watch};

/// A pattern may be no longer, in bytes.
const MAX_PATTERN: usize = 4 << 10;

/// What one pattern may take when it is compiled, in bytes.
pub(crate) const MAX_PROGRAM: usize = 256 << 10;

/// What the patterns of one schema may take together.
const MAX_PROGRAMS: usize = 2 << 20;

/// What a pattern counts that cannot be compiled: to find that out takes time, too.
const FAILED: usize = 16 << 10;

/// What one search may remember, in bytes.
pub(crate) const MAX_CACHE: usize = 128 << 10;

/// Caches that a thread keeps for its next searches.
const MAX_CACHES: usize = 8;

/// Steps between two looks at the watch.
const CHUNK: u64 = 1024;

/// The patterns of a schema, each compiled once.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    known: HashMap<String, Option<Automaton>>,
    bytes: usize,
}

impl Patterns {
    /// Whether a pattern can be matched in one pass over a text, and there is room for it: look-around and
    /// backreferences cannot, nor what is no pattern.
    pub fn add(&mut self, pattern: &str) -> bool {
        if let Some(known) = self.known.get(pattern) {
            return known.is_some();
        }
        let mut compiled = None;
        if self.bytes < MAX_PROGRAMS {
            compiled = Pattern::new(pattern);
            self.bytes += compiled.as_ref().map_or(FAILED, Pattern::bytes);
        }
        let is_known = compiled.is_some();
        let compiled = compiled.map(Arc::new);
        self.known.insert(pattern.to_owned(), compiled);
        is_known
    }

    /// Whether a text matches a pattern; `None` for a pattern that was not added, and once it is stopped.
    pub fn matches(&self, pattern: &str, text: &str, watch: &Watch) -> Option<bool> {
        let pattern = self.known.get(pattern)?.as_ref()?;
        let is_match = pattern.is_match(text, &|steps| watch.go(steps));
        (!watch.has_stopped()).then_some(is_match)
    }

    /// What they take, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The most states of `patternProperties` in one place of a schema.
    pub(crate) fn name_states(&self, schema: &Value) -> u64 {
        let mut most = 0;
        match schema {
            Value::Array(items) => items
                .iter()
                .for_each(|item| most = most.max(self.name_states(item))),
            Value::Object(members) => {
                for (name, value) in members {
                    most = most.max(self.name_states(value));
                    if let ("patternProperties", Value::Object(patterns)) = (&**name, value) {
                        let known = patterns
                            .keys()
                            .filter_map(|it| self.known.get(it)?.as_ref());
                        most = most.max(known.map(|pattern| pattern.states()).sum());
                    }
                }
            }
            _ => {}
        }
        most
    }
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) enum Pattern {
    /// `^X{m,n}$` over one class of characters.
    Counted(RepeatedClass),
    Searched {
        dfa: Box<DFA>,
        /// Tells its cache from others.
        id: u64,
    },
}

impl Pattern {
    fn new(pattern: &str) -> Option<Pattern> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if pattern.len() > MAX_PATTERN {
            return None;
        }
        let translated = plain(pattern);
        let translated = to_rust_regex(&translated).ok()?;
        let translated = match search_form(pattern, &translated) {
            Some(Search::RepeatedClass(class)) => return Some(Pattern::Counted(class)),
            Some(Search::Collapsed(collapsed)) => collapsed,
            None => translated.into_owned(),
        };
        let program = thompson::Config::new()
            .nfa_size_limit(Some(MAX_PROGRAM))
            .which_captures(WhichCaptures::None);
        let dfa = DFA::builder()
            // Between two bytes of a character there is no edge of a word to find, and no harm in it.
            .syntax(syntax::Config::new().utf8(false))
            .thompson(program)
            .configure(
                DFA::config()
                    .cache_capacity(MAX_CACHE)
                    .skip_cache_capacity_check(true),
            )
            .build(&translated);
        Some(Pattern::Searched {
            dfa: Box::new(dfa.ok()?),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
        })
    }

    fn bytes(&self) -> usize {
        const LEAST: usize = 1 << 10;
        LEAST
            + match self {
                Pattern::Counted(_) => 0,
                Pattern::Searched { dfa, .. } => dfa.get_nfa().memory_usage(),
            }
    }

    fn states(&self) -> u64 {
        match self {
            Pattern::Counted(_) => 1,
            Pattern::Searched { dfa, .. } => dfa.get_nfa().states().len() as u64,
        }
    }

    /// Whether a text matches; `go` takes steps, and says whether there may be more. After that it matches.
    pub(crate) fn is_match(&self, text: &str, go: &dyn Fn(u64) -> bool) -> bool {
        match self {
            Pattern::Counted(class) => class.is_match(text),
            Pattern::Searched { dfa, id } => {
                let rate = 1 + self.states() / 64;
                with_cache(*id, dfa, |cache| search(dfa, cache, text, rate, go)).unwrap_or(true)
            }
        }
    }
}

/// `None` where it could not be told, which the configuration rules out.
fn search(
    dfa: &DFA,
    cache: &mut Cache,
    text: &str,
    rate: u64,
    go: &dyn Fn(u64) -> bool,
) -> Option<bool> {
    let mut state = dfa.start_state_forward(cache, &Input::new(text)).ok()?;
    let size = usize::try_from((CHUNK / rate).max(1)).unwrap_or(1);
    for chunk in text.as_bytes().chunks(size) {
        if !go(rate.saturating_mul(chunk.len() as u64)) {
            return Some(true);
        }
        for &byte in chunk {
            state = dfa.next_state(cache, state, byte).ok()?;
            if state.is_tagged() {
                if state.is_match() {
                    return Some(true);
                }
                if state.is_dead() {
                    return Some(false);
                }
            }
        }
    }
    Some(dfa.next_eoi_state(cache, state).ok()?.is_match())
}

/// What searches remember is kept by thread, not by pattern: there may be many patterns.
fn with_cache<T>(id: u64, dfa: &DFA, search: impl FnOnce(&mut Cache) -> T) -> T {
    thread_local! {
        static CACHES: RefCell<Vec<(u64, Cache)>> = const { RefCell::new(Vec::new()) };
    }
    CACHES.with_borrow_mut(|caches| {
        let (_, mut cache) = match caches.iter().position(|(of, _)| *of == id) {
            Some(at) => caches.remove(at),
            None if caches.len() < MAX_CACHES => (id, dfa.create_cache()),
            None => {
                let (_, mut cache) = caches.remove(0);
                cache.reset(dfa);
                (id, cache)
            }
        };
        let found = search(&mut cache);
        caches.push((id, cache));
        found
    })
}

/// A pattern whose control characters are by number, and whose edges of words are those of ASCII, as in
/// ECMA 262: what else it has is translated by [`to_rust_regex`].
fn plain(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut in_class = false;
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            in_class = c == '[' || in_class && c != ']';
            out.push(c);
            continue;
        }
        let mut after = rest.clone();
        match (after.next(), after.next()) {
            (Some('c'), Some(letter)) if letter.is_ascii_alphabetic() => {
                let _ = write!(out, "\\x{:02x}", letter as u8 % 32);
                rest = after;
            }
            (Some(edge @ ('b' | 'B')), _) if !in_class => {
                let _ = write!(out, "(?-u:\\{edge})");
                rest.next();
            }
            (escaped, _) => {
                out.push('\\');
                out.extend(escaped);
                rest.next();
            }
        }
    }
    out
}

/// `pattern`, as a schema has it.
pub(crate) fn keyword<'s>(
    patterns: &Patterns,
    pattern: &'s Value,
) -> Result<Box<dyn for<'i> Keyword<'i, Counted>>, ValidationError<'s>> {
    let text = pattern.as_str().unwrap_or_default();
    match patterns.known.get(text) {
        Some(Some(automaton)) => Ok(Box::new(PatternKeyword {
            text: text.to_owned(),
            automaton: automaton.clone(),
        })),
        _ => Err(ValidationError::custom(format!(
            "the pattern {pattern} cannot be matched in a single pass"
        ))),
    }
}

/// A name, as far as it can be read.
fn quoted(name: &str) -> String {
    const MAX_NAME: usize = 100;
    let shown = &name[..name.floor_char_boundary(MAX_NAME)];
    match shown.len() < name.len() {
        true => format!("{:?}…", shown),
        false => Value::from(name).to_string(),
    }
}

struct PatternKeyword {
    text: String,
    automaton: Automaton,
}

impl<'i> Keyword<'i, Counted> for PatternKeyword {
    fn validate(&self, node: Node<'i>) -> Result<(), ValidationError<'i>> {
        match Keyword::<Counted>::is_valid(self, node) {
            true => Ok(()),
            false => {
                let what = node.name().map_or("value".to_owned(), quoted);
                let pattern = &self.text;
                let message = format!(r#"{what} does not match "{pattern}""#);
                Err(ValidationError::custom(message))
            }
        }
    }

    fn is_valid(&self, node: Node<'i>) -> bool {
        let text = jsonschema::json::Node::as_string(&node);
        text.is_none_or(|text| self.automaton.is_match(&text, &|steps| node.go(steps)))
    }
}
