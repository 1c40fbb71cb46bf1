//! Progress bars on stderr: drawn only on a terminal.

use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, WeakProgressBar};
use toolhost::{LoadEvent, printable};

use super::out::say;

/// The bars that may be drawn.
static DRAWN: Mutex<Vec<WeakProgressBar>> = Mutex::new(Vec::new());

/// Printing between bars may block on a pipe forever.
const CLEARING: Duration = Duration::from_secs(1);

/// Registers a bar for [`clear`].
pub(super) fn register(bar: &ProgressBar) {
    let mut drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    drawn.retain(|bar| bar.upgrade().is_some());
    drawn.push(bar.downgrade());
}

/// Clears all bars, for a process that exits at once.
pub(super) fn clear() {
    let (done, is_done) = mpsc::channel();
    // Without a thread they stay.
    let _ = std::thread::Builder::new().spawn(move || {
        let drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
        let bars = drawn.iter().filter_map(WeakProgressBar::upgrade);
        bars.for_each(|bar| bar.finish_and_clear());
        let _ = done.send(());
    });
    let _ = is_done.recv_timeout(CLEARING);
}

/// Shows which plugins are being loaded.
pub(super) fn loading() -> Loading {
    Loading {
        bar: bar("Loading plugins"),
        names: Mutex::default(),
    }
}

/// Counts calls.
pub(super) fn calls(count: usize) -> ProgressBar {
    let bar = bar("Running calls");
    bar.set_length(count as u64);
    bar
}

/// Shows what is being done, without a number.
pub(super) fn spinner(title: &str) -> Spinner {
    Spinner(drawn(title, "{spinner} {prefix} {elapsed} {wide_msg}"))
}

/// It is cleared when dropped.
pub(super) struct Spinner(pub(super) ProgressBar);

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// The style of a bar whose numbers mean nothing to people.
pub(super) fn share() -> ProgressStyle {
    let style = ProgressStyle::with_template("{prefix} {bar:24} {percent}% {wide_msg}");
    style.expect("the template is valid")
}

/// Shows a message beside a bar.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub(super) fn show_message(bar: &ProgressBar, message: &str) {
    bar.set_message(printable::line(message).into_owned());
}

fn bar(title: &str) -> ProgressBar {
    drawn(title, "{prefix} {bar:24} {pos}/{len} {wide_msg}")
}

#[expect(clippy::disallowed_methods, reason = "the one place")]
fn drawn(title: &str, template: &str) -> ProgressBar {
    // indicatif hides the bar itself if stderr is not a terminal.
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(template);
    register(&bar);
    bar.set_style(style.expect("the template is valid"));
    bar.set_prefix(printable::line(title).into_owned());
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}

pub(super) struct Loading {
    bar: ProgressBar,
    names: Mutex<Vec<String>>,
}

impl Loading {
    pub(super) fn event(&self, event: LoadEvent) {
        if let LoadEvent::Failed {
            plugin,
            why,
            is_kept,
        } = &event
        {
            let becomes = match is_kept {
                true => "the previous one keeps serving",
                false => "it is left out",
            };
            self.bar
                .suspend(|| say!("error: plugin {plugin} cannot be loaded, {becomes}: {why}"));
        }
        let Ok(mut names) = self.names.lock() else {
            return;
        };
        match event {
            LoadEvent::Started { plugins } => self.bar.set_length(plugins as u64),
            LoadEvent::Loading { plugin } => names.push(plugin),
            LoadEvent::Done { plugin } => {
                names.retain(|name| *name != plugin);
                self.bar.inc(1);
            }
            _ => {}
        }
        show_message(&self.bar, &names.join(", "));
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
