//! What compiles C for guests, as SQLite and QuickJS are written in it: zig, which is a clang with a libc for WASI, from PyPI.

use crate::python;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The one that the C SDK builds with, too.
const VERSION: &str = "0.16.0";

/// Besides the target: zig adds checks that a release does not want. SQLite gets no files, threads or signals, so what it
/// would need of WASI for them is not there either: `plugins/sql/src/vfs.rs` is all that it has of an operating system.
const FLAGS: &str = "-target wasm32-wasi -Os -fno-sanitize=undefined -ffunction-sections -fdata-sections \
    -DSQLITE_OS_OTHER=1 -DSQLITE_TEMP_STORE=3";

/// The compiler, which is installed if it is missing.
pub(crate) struct CCompiler {
    zig: PathBuf,
    cache: PathBuf,
}

impl CCompiler {
    pub(crate) fn install(build_dir: &Path) -> Result<Self> {
        let venv = build_dir.join("zig");
        python::install(&venv, &[("ziglang", VERSION)])
            .context("zig, which compiles the C code of plugins")?;
        let place = "import ziglang; print(ziglang.__path__[0])";
        let output = Command::new(venv.join("bin/python"))
            .args(["-c", place])
            .output()?;
        if !output.status.success() {
            bail!("the package ziglang was installed, but cannot be found");
        }
        let folder = String::from_utf8(output.stdout)?;
        Ok(Self {
            zig: Path::new(folder.trim_end()).join("zig"),
            cache: build_dir.join("zig-cache"),
        })
    }

    /// Tells the `cc` crate of it, in build scripts that compile for this target.
    pub(crate) fn tell(&self, cargo: &mut Command, triple: &str) {
        let triple = triple.replace('-', "_");
        let zig = self.zig.display();
        cargo
            .env(format!("CC_{triple}"), format!("{zig} cc"))
            .env(format!("AR_{triple}"), format!("{zig} ar"))
            .env(format!("CFLAGS_{triple}"), FLAGS)
            // They name the target as clang does, and zig has other names.
            .env("CRATE_CC_NO_DEFAULTS", "1")
            // The build script of QuickJS would download a compiler.
            .env("RQUICKJS_SYS_NO_WASI_SDK", "1")
            .env("ZIG_GLOBAL_CACHE_DIR", &self.cache)
            .env("ZIG_LOCAL_CACHE_DIR", &self.cache);
    }
}
