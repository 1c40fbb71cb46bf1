//! Tests that need a machine of their own: its network, or its file systems.

use std::io::Write;
use std::process::Command;
use std::sync::OnceLock;

/// Set in the child that runs the test, to the test's name.
const INSIDE: &str = "TOOLHOST_TEST_INSIDE";

/// Set where nothing may be left out: `cargo xtask test` does so.
const ALL: &str = "TOOLHOST_TEST_ALL";

/// Whether this is the machine of the test of that name. If it is not, the test is run in one, by this binary again:
/// with nothing on the network but itself, and mounts that nobody else sees, after `prepare`, a shell script.
pub fn is_inside(test: &str, prepare: &str) -> bool {
    if std::env::var(INSIDE).is_ok_and(|inside| inside == test) {
        return true;
    }
    if !are_there(test) {
        return false;
    }
    let script = format!("set -e\nip link set lo up\n{prepare}\nexec \"$@\"");
    let child = unshare()
        .args(["sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, test)
        .output()
        .expect("`unshare` of util-linux");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (said(&child.stdout), said(&child.stderr));
    assert!(
        child.status.success() && stdout.contains("1 passed"),
        "{test} in namespaces of its own ({}):\n{stdout}\n{stderr}",
        child.status
    );
    false
}

/// Whether a test can have namespaces. Without them it is left out, which is said; or it fails, where all must run.
#[expect(
    clippy::disallowed_methods,
    reason = "past the harness, which shows nobody what a test that passes prints"
)]
pub fn are_there(test: &str) -> bool {
    let Err(why) = available() else {
        return true;
    };
    let must = std::env::var(ALL).is_ok_and(|all| all == "1");
    assert!(!must, "{test} takes namespaces, and {ALL} is set: {why}");
    let _ = writeln!(
        std::io::stderr(),
        "NOT TESTED, for want of namespaces ({why}): {test}"
    );
    false
}

/// A command in namespaces of its own.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "--net", "--"]);
    command
}

/// Whether there are namespaces, or why not.
fn available() -> &'static Result<(), String> {
    static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();
    AVAILABLE.get_or_init(|| match unshare().arg("true").output() {
        Ok(ended) if ended.status.success() => Ok(()),
        Ok(ended) => Err(String::from_utf8_lossy(&ended.stderr).trim().to_owned()),
        Err(error) => Err(format!("`unshare` of util-linux: {error}")),
    })
}
