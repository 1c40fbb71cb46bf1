//! Python: the SDK's own build, which runs componentize-py.

use std::path::{Path, PathBuf};

use super::super::sources;
use super::project::Project;
use super::toolchain::{BuildError, Built, Toolchain};

/// Asks a Python whether it can build: its version, whether that is new enough, and whether it finds the SDK.
const PROBE: &str = "\
import importlib.util, sys
print(sys.version.split()[0], sys.version_info >= (3, 10), importlib.util.find_spec('toolhost_plugin') is not None)";

/// Builds a project's component into `output`.
pub(super) async fn build(
    toolchain: &Toolchain<'_>,
    project: &Project,
    output: &Path,
) -> Built<()> {
    let (python, has_sdk) = python(toolchain, &project.folder).await?;
    let mut command = toolchain.command(python, &project.folder);
    command.args(["-m", "toolhost_plugin.build"]);
    match &project.entry {
        Some(entry) => command.arg(entry),
        None => command.arg("."),
    };
    command.arg("--output").arg(output);
    command.args(["--timeout", &toolchain.seconds_left()]);
    if !has_sdk {
        let sdk = super::unpacked(toolchain, &sources::PYTHON, "python")?;
        let mut path = vec![sdk];
        let set = std::env::var_os("PYTHONPATH").unwrap_or_default();
        path.extend(std::env::split_paths(&set));
        let path = std::env::join_paths(path);
        command.env(
            "PYTHONPATH",
            path.map_err(|error| BuildError::failed(error.to_string()))?,
        );
    }
    let ended = toolchain.run(command).await?;
    super::sdk_result(&ended)
}

/// The Python to build with, and whether it has the SDK: PYTHON, one of a virtual environment, or the one in PATH.
async fn python(toolchain: &Toolchain<'_>, folder: &Path) -> Built<(PathBuf, bool)> {
    let in_environment = |environment: &Path| match cfg!(windows) {
        true => environment.join("Scripts/python.exe"),
        false => environment.join("bin/python"),
    };
    let own = std::path::absolute(folder).map(|folder| in_environment(&folder.join(".venv")));
    let own = own.ok().filter(|python| python.is_file());
    let named = std::env::var_os("PYTHON").map(PathBuf::from);
    let active = std::env::var_os("VIRTUAL_ENV").map(|it| in_environment(Path::new(&it)));
    let usual = ["python3", "python"].map(PathBuf::from);
    let mut candidates = named
        .or(own)
        .or(active)
        .map_or(usual.to_vec(), |it| vec![it]);
    candidates.retain(|it| !it.as_os_str().is_empty());
    let mut too_old = None;
    for python in candidates {
        let mut probe = toolchain.command(&python, folder);
        probe.args(["-c", PROBE]);
        let Some(ended) = toolchain.run_if_there(probe).await? else {
            continue;
        };
        let mut words = ended.stdout.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (_, Some("True"), has_sdk) => return Ok((python, has_sdk == Some("True"))),
            (Some(version), _, _) => {
                too_old = Some(format!("{} is version {version}", python.display()));
            }
            _ => {}
        }
    }
    let how = "install Python 3.10 or newer (Debian: `apt-get install python3 python3-pip`, macOS: `brew install \
               python`), or name one in PYTHON";
    Err(BuildError::Missing(match too_old {
        Some(old) => format!("{old}: {how}"),
        None => format!("Python is not installed: {how}"),
    }))
}
