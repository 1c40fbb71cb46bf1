//! The loop that all targets share: inputs until the time is up, and what becomes of one that fails.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Seek, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRunner};
use rustix::time::{ClockId, clock_gettime};

use crate::common::root;

/// Whether the input was taken for a good one, or which property it breaks.
pub type Checked = Result<bool, String>;

/// No input takes nearly as long. It is the processor time of the thread: what other programs do does not count.
const SLOW: Duration = Duration::from_secs(5);

/// How long a failing input is made smaller.
const SHRINK: Duration = Duration::from_secs(20);

/// Tries the corpus, then made inputs until the time is up.
pub fn fuzz<S>(
    name: &str,
    corpus: &[(PathBuf, Vec<u8>)],
    inputs: S,
    check: impl Fn(&[u8]) -> Checked,
) where
    S: Strategy<Value = Vec<u8>>,
{
    let target = Target {
        name,
        last: Last::new(name),
        slowest: Cell::default(),
        check,
    };
    let (mut tried, mut good) = (0u64, 0u64);
    for (path, input) in corpus {
        match target.check(input) {
            Ok(is_good) => good += u64::from(is_good),
            Err(why) => panic!("{}: {why}", path.display()),
        }
        tried += 1;
    }
    let start = Instant::now();
    let mut runner = TestRunner::new(Config::default());
    while start.elapsed() < seconds() {
        let mut tree = inputs.new_tree(&mut runner).expect("an input");
        match target.check(&tree.current()) {
            Ok(is_good) => good += u64::from(is_good),
            Err(_) => target.fail(shrink(&mut tree, |input| target.check(input).is_err())),
        }
        tried += 1;
    }
    // Not `eprintln!`, which is not seen of a test that passes.
    let took = start.elapsed().as_secs_f64();
    let slowest = target.slowest.get();
    let line = format!(
        "fuzz {name}: {tried} inputs in {took:.1} s, {good} of them good; the slowest took {slowest:.0?}\n"
    );
    #[expect(clippy::disallowed_methods, reason = "numbers, and text of ours")]
    let _ = std::io::stderr().write_all(line.as_bytes());
    target.last.remove();
}

/// The processor time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn seconds() -> Duration {
    let seconds = std::env::var("TOOLHOST_FUZZ_SECONDS");
    let seconds = seconds.map_or(10, |text| text.parse().expect("TOOLHOST_FUZZ_SECONDS"));
    Duration::from_secs(seconds)
}

/// The corpus of that name, in the order of the files' names: first what was written, then what fuzzing with coverage
/// has found.
pub fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = read_all(&root().join("tests/corpus").join(name), "");
    let found = root().join("fuzz/corpus").join(name);
    if found.is_dir() {
        files.extend(read_all(&found, ""));
    }
    files
}

/// The files of a folder whose names end so.
pub fn read_all(folder: &Path, end: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(end));
    files.sort();
    assert!(!files.is_empty(), "{folder:?} has no files");
    let read = |file: PathBuf| {
        let contents = fs::read(&file).unwrap();
        (file, contents)
    };
    files.into_iter().map(read).collect()
}

struct Target<'n, C> {
    name: &'n str,
    last: Last,
    slowest: Cell<Duration>,
    check: C,
}

impl<C: Fn(&[u8]) -> Checked> Target<'_, C> {
    /// A panic and a long time break a property too.
    fn check(&self, input: &[u8]) -> Checked {
        self.last.write(input);
        let start = thread_time();
        let checked = quietly(|| (self.check)(input))?;
        let took = thread_time() - start;
        self.slowest.set(took.max(self.slowest.get()));
        if took > SLOW {
            return Err(format!("took {took:?}"));
        }
        checked
    }

    fn fail(&self, input: Vec<u8>) -> ! {
        let input = cut(input, |input| self.check(input).is_err());
        let why = self.check(&input).expect_err("it failed a moment ago");
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let file = folder().join(format!("{}-{:016x}", self.name, hasher.finish()));
        fs::write(&file, &input).unwrap();
        panic!(
            "{name}: {why}\n\nthe input, of {length} bytes: \"{input}\"\n\
             to have it tried first on every run:\n\
             cp {file} tests/corpus/{name}/\n",
            name = self.name,
            length = input.len(),
            input = input.escape_ascii(),
            file = file.display(),
        );
    }
}

/// Proptest's own shrinking: fewer and simpler parts of what the input was made of.
fn shrink(tree: &mut impl ValueTree<Value = Vec<u8>>, fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let start = Instant::now();
    let mut smallest = tree.current();
    let mut changed = tree.simplify();
    while changed && start.elapsed() < SHRINK {
        let input = tree.current();
        changed = if fails(&input) {
            smallest = input;
            tree.simplify()
        } else {
            tree.complicate()
        };
    }
    smallest
}

/// Takes out what it fails without, in ever smaller pieces: a mutated file is mostly the file.
fn cut(mut input: Vec<u8>, fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let start = Instant::now();
    let mut piece = input.len().div_ceil(2);
    while piece > 0 && start.elapsed() < SHRINK {
        let mut at = 0;
        let mut smaller = false;
        while at < input.len() && start.elapsed() < SHRINK {
            let mut without = input.clone();
            without.drain(at..input.len().min(at + piece));
            if fails(&without) {
                input = without;
                smaller = true;
            } else {
                at += piece;
            }
        }
        // Once more with single bytes as long as that takes some out.
        if piece > 1 || !smaller {
            piece /= 2;
        }
    }
    input
}

/// The input that is being tried, in a file: what ends the whole process, such as a stack that
/// overflows, leaves it behind.
struct Last {
    path: PathBuf,
    file: RefCell<File>,
}

impl Last {
    fn new(name: &str) -> Last {
        let path = folder().join(format!("{name}.last"));
        let file = RefCell::new(File::create(&path).unwrap());
        Last { path, file }
    }

    fn write(&self, input: &[u8]) {
        let mut file = self.file.borrow_mut();
        file.rewind().unwrap();
        file.write_all(input).unwrap();
        file.set_len(input.len() as u64).unwrap();
    }

    fn remove(&self) {
        fs::remove_file(&self.path).unwrap();
    }
}

fn folder() -> PathBuf {
    let folder = root().join("target/fuzz");
    fs::create_dir_all(&folder).unwrap();
    folder
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs it; a panic is an error and not printed, as shrinking meets it many times.
fn quietly<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if QUIET.get() {
                PANIC.set(info.to_string());
            } else {
                loud(info);
            }
        }));
    });
    QUIET.set(true);
    let ran = panic::catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    // One that a task or the host has caught counts as well.
    let panicked = PANIC.take();
    match panicked.is_empty() {
        true => ran.map_err(|_| "a panic without a message".to_owned()),
        false => Err(panicked),
    }
}
