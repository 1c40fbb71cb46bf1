//! Tests that need a machine of their own: its network, or its file systems.

use std::process::Command;

use crate::needs;

/// Set in the child that runs the test, to the test's name.
const INSIDE: &str = "TOOLHOST_TEST_INSIDE";

/// Whether this is the machine of the test of that name. If it is not, the test is run in one, by this binary again:
/// with nothing on the network but itself, and mounts that nobody else sees, after `prepare`, a shell script.
pub fn is_inside(test: &str, prepare: &str) -> bool {
    if std::env::var(INSIDE).is_ok_and(|inside| inside == test) {
        return true;
    }
    if !needs::is_there(test, needs::namespaces()) {
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

/// A command in namespaces of its own.
pub(crate) fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "--net", "--"]);
    command
}
