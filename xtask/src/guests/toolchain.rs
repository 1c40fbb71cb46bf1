//! What compiles guests: rustup's wasm32-wasip2, or Debian's own packages where rustup cannot fetch that.

use super::c_compiler::CCompiler;
use crate::apt::apt_install;
use crate::output;
use crate::ui::say;
use anyhow::{Context, Result, bail};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How guests are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The toolchain's own wasm32-wasip2: its linker makes components.
    Rustup,
    /// Debian's rustc for wasm32-wasip1, with std from source; [`super::component`] makes components of the modules.
    Debian,
}

/// A way that works on this machine, and where it builds.
pub(crate) struct Toolchain {
    pub(crate) way: Way,
    target_dir: PathBuf,
    /// Folder of a `rust-lld`, or the name of a `wasm-ld`: what links, the Debian way.
    linker: Option<Linker>,
    c_compiler: CCompiler,
}

enum Linker {
    RustLld(PathBuf),
    WasmLd(String),
}

const WASIP2: &str = "wasm32-wasip2";
const WASIP1: &str = "wasm32-wasip1";
const WASI_LIBC: &str = "/usr/lib/wasm32-wasi";
/// Locked-down networks drop packets rather than refuse them.
const RUSTUP_PATIENCE: Duration = Duration::from_secs(60);

/// Of what surrounds xtask, this is meant for the host's own builds, or for xtask's own package.
const NOT_FOR_GUESTS: [&str; 10] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_TARGET_DIR",
    "LD_LIBRARY_PATH",
    "RUSTFLAGS",
    "RUST_RECURSION_COUNT",
];

/// Finds the way to build, installing what it lacks.
pub(crate) fn find(way: Option<Way>, build_dir: &Path) -> Result<Toolchain> {
    let linker = find_linker_of(way)?;
    let (way, folder) = match linker {
        None => (Way::Rustup, "wasip2"),
        Some(_) => (Way::Debian, "wasip1"),
    };
    Ok(Toolchain {
        way,
        target_dir: build_dir.join(folder),
        linker,
        c_compiler: CCompiler::install(build_dir)?,
    })
}

/// Finds the way to build, by what links: rustup's toolchain itself, or a linker for Debian's.
fn find_linker_of(way: Option<Way>) -> Result<Option<Linker>> {
    match way {
        Some(Way::Rustup) => {
            provide_wasip2()?;
            Ok(None)
        }
        Some(Way::Debian) => Ok(Some(provide_debian()?)),
        None => {
            let Err(no_rustup) = provide_wasip2() else {
                return Ok(None);
            };
            say(format_args!("{no_rustup:#}; trying Debian's packages"));
            match provide_debian() {
                Ok(linker) => Ok(Some(linker)),
                Err(no_debian) => bail!(
                    "nothing here can build for WebAssembly.\n  rustup: {no_rustup:#}\n  Debian: {no_debian:#}\n\
                     Install one of these and run this again:\n  \
                     rustup target add {WASIP2}\n  \
                     apt-get install --no-install-recommends {}",
                    PACKAGES.map(|(package, _)| package).join(" ")
                ),
            }
        }
    }
}

impl Toolchain {
    pub(crate) fn triple(&self) -> &'static str {
        match self.way {
            Way::Rustup => WASIP2,
            Way::Debian => WASIP1,
        }
    }

    /// A cargo that builds for this toolchain's target: give it a subcommand.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = match self.way {
            Way::Rustup => Command::new("cargo"),
            Way::Debian => Command::new("/usr/bin/cargo"),
        };
        for variable in NOT_FOR_GUESTS {
            cargo.env_remove(variable);
        }
        if let (Way::Debian, Some(linker)) = (self.way, &self.linker) {
            // They name rustup's toolchain, which is not the one that is called.
            for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
                cargo.env_remove(variable);
            }
            let mut path = OsString::from("/usr/bin:");
            let mut flags = format!(
                "-L{WASI_LIBC} -Clink-self-contained=no -Clink-arg={WASI_LIBC}/crt1-reactor.o \
                 -Clink-arg=--export=_initialize"
            );
            match linker {
                Linker::RustLld(folder) => {
                    path.push(folder);
                    path.push(":");
                }
                Linker::WasmLd(name) => flags.push_str(&format!(" -Clinker={name}")),
            }
            path.push(env::var_os("PATH").unwrap_or_default());
            // std from source is a matter between nightly cargo and itself; this lets a stable one do it.
            cargo
                .env("PATH", path)
                .env("RUSTFLAGS", flags)
                .env("RUSTC_BOOTSTRAP", "1");
        }
        self.c_compiler.tell(&mut cargo, self.triple());
        cargo
    }

    /// What any cargo needs in its environment to build for this toolchain's target, a variable a line.
    pub(crate) fn environment(&self) -> String {
        let mut lines = Vec::new();
        for (name, value) in self.cargo().get_envs() {
            if let Some(value) = value {
                lines.push(format!("{}={}", name.display(), value.display()));
            }
        }
        lines.push(format!("CARGO_TARGET_DIR={}", self.target_dir.display()));
        if self.way == Way::Debian {
            lines.push(format!("CARGO_BUILD_TARGET={}", self.triple()));
            lines.push("CARGO_UNSTABLE_BUILD_STD=std,panic_abort".to_owned());
        }
        lines.join("\n")
    }

    /// What `cargo build` must be told, beside `--release`.
    pub(crate) fn build_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![
            "--target".into(),
            self.triple().into(),
            "--target-dir".into(),
            self.target_dir.clone().into(),
        ];
        if self.way == Way::Debian {
            arguments.push("-Zbuild-std=std,panic_abort".into());
        }
        arguments
    }
}

/// Sees to it that the toolchain in use has wasm32-wasip2.
fn provide_wasip2() -> Result<()> {
    if has_wasip2() {
        return Ok(());
    }
    if Command::new("rustup")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        bail!("the toolchain lacks the target {WASIP2}, and there is no rustup to fetch it");
    }
    say(format_args!(
        "the toolchain lacks the target {WASIP2}: rustup target add {WASIP2} (at most {} s)",
        RUSTUP_PATIENCE.as_secs()
    ));
    let mut rustup = Command::new("rustup")
        .args(["target", "add", WASIP2])
        .stdin(Stdio::null())
        .spawn()
        .context("cannot run rustup")?;
    let deadline = Instant::now() + RUSTUP_PATIENCE;
    let status = loop {
        if let Some(status) = rustup.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            let _ = rustup.kill();
            let _ = rustup.wait();
            bail!(
                "`rustup target add {WASIP2}` took longer than {} s",
                RUSTUP_PATIENCE.as_secs()
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    // rustup may install for another toolchain than the rustc on PATH, which is the one that counts.
    if !status.success() || !has_wasip2() {
        bail!("`rustup target add {WASIP2}` did not bring the target ({status})");
    }
    Ok(())
}

fn has_wasip2() -> bool {
    let Ok(folder) =
        output(Command::new("rustc").args(["--print", "target-libdir", "--target", WASIP2]))
    else {
        return false;
    };
    std::fs::read_dir(folder).is_ok_and(|mut files| {
        files.any(|file| file.is_ok_and(|f| f.file_name().to_string_lossy().starts_with("libstd-")))
    })
}

/// A package, and a file that shows that it is there.
const PACKAGES: [(&str, &str); 4] = [
    ("rustc-web", "/usr/bin/rustc"),
    ("cargo-web", "/usr/bin/cargo"),
    (
        "rust-web-src",
        "/usr/lib/rustlib/src/rust/library/std/Cargo.toml",
    ),
    ("wasi-libc", "/usr/lib/wasm32-wasi/crt1-reactor.o"),
];

/// Sees to it that Debian's packages are there, and a linker.
fn provide_debian() -> Result<Linker> {
    let missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|(_, file)| !Path::new(file).exists())
        .map(|(package, _)| *package)
        .collect();
    if !missing.is_empty() {
        apt_install(&missing)?;
        if let Some((package, file)) = PACKAGES.iter().find(|(_, file)| !Path::new(file).exists()) {
            bail!("package {package} has no {file}");
        }
    }
    if let Some(linker) = find_linker() {
        return Ok(linker);
    }
    // Its binary is called wasm-ld-22, as in every version that can be installed beside another.
    apt_install(&["lld-22"])?;
    find_linker()
        .context("neither rust-lld nor wasm-ld is there, and package lld-22 did not bring one")
}

fn find_linker() -> Option<Linker> {
    if let Ok(sysroot) = output(Command::new("rustc").args(["--print", "sysroot"])) {
        let hosts = std::fs::read_dir(Path::new(&sysroot).join("lib/rustlib"))
            .into_iter()
            .flatten()
            .flatten();
        for host in hosts {
            let folder = host.path().join("bin");
            if folder.join("rust-lld").is_file() {
                return Some(Linker::RustLld(folder));
            }
        }
    }
    let binaries = std::fs::read_dir("/usr/bin")
        .into_iter()
        .flatten()
        .flatten();
    let newest = binaries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version: u32 = name.strip_prefix("wasm-ld-")?.parse().ok()?;
            Some((version, name))
        })
        .max()?;
    Some(Linker::WasmLd(newest.1))
}
