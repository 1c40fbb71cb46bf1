//! Progress bars on stderr: nothing is drawn unless it is a terminal.

use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use toolhost::LoadEvent;

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

/// Of a bar whose numbers say nothing to people.
pub(super) fn share() -> ProgressStyle {
    let style = ProgressStyle::with_template("{prefix} {bar:24} {percent}% {wide_msg}");
    style.expect("the template is valid")
}

fn bar(title: &'static str) -> ProgressBar {
    // indicatif hides the bar by itself where stderr is no terminal.
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {wide_msg}");
    bar.set_style(style.expect("the template is valid"));
    bar.set_prefix(title);
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
        self.bar.set_message(names.join(", "));
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
