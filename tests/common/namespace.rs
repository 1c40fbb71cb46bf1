//! Tests that need a machine of their own: its network, or its file systems.

use std::process::Command;

/// Set in the child that runs the test, to the test's name.
const INSIDE: &str = "TOOLHOST_TEST_INSIDE";

/// Set by whoever cannot have namespaces, and does without these tests.
const WITHOUT: &str = "TOOLHOST_TEST_WITHOUT_NAMESPACES";

/// Whether this is the machine of the test of that name. If it is not, the test is run in one, by this binary again:
/// with nothing on the network but itself, and mounts that nobody else sees, after `prepare`, a shell script.
pub fn is_inside(test: &str, prepare: &str) -> bool {
    if std::env::var(INSIDE).is_ok_and(|inside| inside == test) {
        return true;
    }
    if std::env::var_os(WITHOUT).is_some() {
        println!("NOT TESTED, as {WITHOUT} is set: {test}");
        return false;
    }
    let script = format!("set -e\nip link set lo up\n{prepare}\nexec \"$@\"");
    let child = Command::new("unshare")
        .args([
            "--map-root-user",
            "--mount",
            "--net",
            "--",
            "sh",
            "-c",
            &script,
            "sh",
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, test)
        .output()
        .expect("`unshare` of util-linux");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (said(&child.stdout), said(&child.stderr));
    assert!(
        child.status.success() && stdout.contains("1 passed"),
        "{test} in namespaces of its own ({}; set {WITHOUT} where there are none):\n{stdout}\n{stderr}",
        child.status
    );
    false
}
