//! The watchdog that kills a server's processes when this process is killed: a shell that reads
//! from a pipe whose other end the system closes with this process. Unlike Linux's parent-death
//! signal it covers the whole process group, does not depend on threads, and works on every Unix.

#[cfg(unix)]
pub(super) use unix::Watchdog;

#[cfg(unix)]
mod unix {
    use std::io::{self, Write};
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    /// Reads the number of the group, and then nothing until the end.
    const SCRIPT: &str = r#"read -r group && { read -r _ || kill -KILL "-$group"; }"#;

    pub(in crate::client) struct Watchdog(Child);

    impl Watchdog {
        pub(in crate::client) fn start() -> io::Result<Watchdog> {
            let mut shell = Command::new("/bin/sh");
            shell
                .args(["-c", SCRIPT])
                .env_clear()
                .current_dir("/")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            // Signals to our own group are not meant for it.
            shell.process_group(0);
            Ok(Watchdog(shell.spawn()?))
        }

        /// Watches a process group.
        pub(in crate::client) fn watch(&mut self, group: u32) -> io::Result<()> {
            let pipe = self.0.stdin.as_mut();
            let pipe = pipe.ok_or(io::ErrorKind::BrokenPipe)?;
            pipe.write_all(format!("{group}\n").as_bytes())
        }
    }

    impl Drop for Watchdog {
        /// Nothing is left to watch. It must not see the end of its pipe, as the group's number may
        /// have been reused.
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Elsewhere children are killed when they are dropped.
#[cfg(not(unix))]
pub(super) struct Watchdog;

#[cfg(not(unix))]
impl Watchdog {
    pub(super) fn start() -> std::io::Result<Watchdog> {
        Ok(Watchdog)
    }

    pub(super) fn watch(&mut self, _: u32) -> std::io::Result<()> {
        Ok(())
    }
}
