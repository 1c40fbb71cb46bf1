//! What kills a server's processes when we are killed ourselves and can do nothing any more: a shell that reads
//! from a pipe of ours, whose other end the system closes with us. Unlike the parent-death signal of Linux it
//! takes the whole process group, knows no threads, and is there on every Unix.

#[cfg(unix)]
pub(super) use unix::Watchdog;

#[cfg(unix)]
mod unix {
    use std::io::{self, Write};
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    /// Reads the group that it is to watch, and then nothing until the end.
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
            // Whoever signals our group does not mean it.
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
        /// There is nothing left to watch. It must not read the end of its pipe then: the number of the
        /// group may be another's by now.
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// There children are killed when nobody waits for them any more.
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
