//! `cargo xtask package`: the wheel and the npm packages for this system, with the binary and the plugins that ship, each
//! installed into an empty environment and tried out.

use crate::guests::{self, Scope};
use crate::{Usage, build_toolhost, cargo, clear, output, root, run, said, ui};
use anyhow::{Context, Result, bail};
use std::env::consts::EXE_SUFFIX;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const HELP: &str = "\
Build the Python wheel and the npm packages for this system into target/packages, with the binary and the plugins that
ship, and install each into an empty environment that runs a sandboxed tool.
Needs Python 3.10 with venv, and Node 20 with npm.

Usage: cargo xtask package [--profile NAME]

Options:
  --profile NAME  Cargo's profile for the binary [default: release]";

/// How long a step may take, beside the builds.
const LONGEST: Duration = Duration::from_secs(600);

/// What a program of five lines is to print.
const ANSWER: &str = "42";

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let profile = match arguments {
        [] => "release",
        [option, profile] if option == "--profile" => profile,
        [option] if option == "--help" || option == "-h" => {
            println!("{HELP}");
            return Ok(());
        }
        other => {
            let other = other.join(" ");
            return Err(Usage(format!("unexpected arguments `{other}`\n\n{HELP}")).into());
        }
    };
    let root = root()?;
    let packages = root.join("target/packages");
    let mut steps = ui::Steps::new(4);
    steps.run("build the plugins that ship", || {
        guests::build(guests::way()?, Scope::PluginsAnd(&[]))
    })?;
    let binary = steps.run("build toolhost", || {
        let mut build = cargo();
        build.args([
            "build",
            "--locked",
            "--bin",
            "toolhost",
            "--profile",
            profile,
        ]);
        build_toolhost(build.current_dir(&root))
    })?;
    steps.run("the wheel", || wheel(&root, &packages, &binary))?;
    steps.run("the npm packages", || npm(&root, &packages, &binary))?;
    steps.report();
    println!("{}", packages.display());
    Ok(())
}

/// Builds the wheel, and tries it out.
fn wheel(root: &Path, packages: &Path, binary: &Path) -> Result<()> {
    let source = packages.join("python");
    clear(&source)?;
    copy_tree(&root.join("clients/python"), &source, &["tests"])?;
    add_binary(binary, &source.join("src/toolhost/bin"))?;
    let tools = packages.join("tools");
    crate::python::install(
        &tools,
        &[
            ("build", "1.6.1"),
            ("setuptools", "84.2.1"),
            ("wheel", "0.48.0"),
        ],
    )?;
    let wheels = packages.join("wheels");
    clear(&wheels)?;
    let mut build = Command::new(tools.join("bin/python"));
    build
        .args(["-m", "build", "--wheel", "--no-isolation", "--outdir"])
        .arg(&wheels);
    quietly(build.current_dir(&source))?;
    // Its binary is of one platform, its Python of any.
    let mut tags = Command::new(tools.join("bin/python"));
    tags.args([
        "-m",
        "wheel",
        "tags",
        "--remove",
        "--python-tag",
        "py3",
        "--abi-tag",
        "none",
        "--platform-tag",
    ]);
    quietly(tags.arg(platform_tag()?).arg(only_file(&wheels)?))?;
    let wheel = only_file(&wheels)?;
    let empty = packages.join("try-python");
    clear(&empty)?;
    run(Command::new("python3").args(["-m", "venv"]).arg(&empty))?;
    let python = empty.join("bin/python");
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
    ]);
    run(pip.arg(&wheel))?;
    let program = "import toolhost\n\
        with toolhost.SyncHost(plugins=['calculator', 'json']) as host:\n    \
        print(host.call('calculate', {'expression': '6*7'}).text)\n";
    answers(
        Command::new(&python)
            .args(["-c", program])
            .current_dir(&empty),
    )
}

/// The platform of the wheel: glibc's version is that of this system.
fn platform_tag() -> Result<String> {
    let program = "import sysconfig, platform; tag = sysconfig.get_platform().replace('-', '_').replace('.', '_')\n\
        name, version = platform.libc_ver()\n\
        print(tag.replace('linux', 'manylinux_' + version.replace('.', '_')) if name == 'glibc' else tag)";
    output(Command::new("python3").args(["-c", program]))
}

/// Builds the npm packages, and tries them out.
fn npm(root: &Path, packages: &Path, binary: &Path) -> Result<()> {
    let source = root.join("clients/typescript");
    let npm = |folder: &Path, arguments: &[&str]| {
        let mut npm = Command::new("npm");
        // By default it waits 5 minutes for each try of each file, so that a registry that stalls keeps it for hours.
        npm.args(arguments).args([
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            "--fetch-timeout=60000",
        ]);
        quietly(npm.current_dir(folder))
    };
    npm(&source, &["install", "--ignore-scripts"])?;
    npm(&source, &["run", "build"])?;
    let folder = packages.join("npm");
    clear(&folder)?;
    let platform =
        output(Command::new("node").args(["-p", "`${process.platform}-${process.arch}`"]))?;
    let own = folder.join(&platform);
    add_binary(binary, &own.join("bin"))?;
    let (os, cpu) = platform.split_once('-').context("node says no platform")?;
    let version = output(Command::new(binary).arg("--version"))?;
    let version = version
        .split_whitespace()
        .last()
        .context("toolhost says no version")?;
    let manifest = serde_json::json!({
        "name": format!("@toolhost/{platform}"),
        "version": version,
        "description": format!("The toolhost binary for {platform}"),
        "license": "Apache-2.0 WITH LLVM-exception",
        "os": [os],
        "cpu": [cpu],
        "files": ["bin"],
    });
    fs::write(
        own.join("package.json"),
        serde_json::to_string_pretty(&manifest)?,
    )?;
    let mut pack = Command::new("npm");
    pack.args(["pack", "--silent", "--pack-destination"])
        .arg(&folder)
        .arg(&own)
        .arg(&source);
    quietly(pack.current_dir(&folder))?;
    let empty = packages.join("try-npm");
    clear(&empty)?;
    fs::write(
        empty.join("package.json"),
        "{\"private\": true, \"type\": \"module\"}",
    )?;
    let packed: Vec<String> = fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|it| it == "tgz"))
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    let mut arguments = vec![
        "install",
        "--offline",
        "--ignore-scripts",
        "--legacy-peer-deps",
    ];
    arguments.extend(packed.iter().map(String::as_str));
    npm(&empty, &arguments)?;
    let program = "import { Host } from 'toolhost';\n\
        const host = await Host.open({}, { plugins: ['calculator', 'json'] });\n\
        console.log((await host.call('calculate', { expression: '6*7' })).text);\n\
        await host.close();\n";
    fs::write(empty.join("try.js"), program)?;
    answers(Command::new("node").arg("try.js").current_dir(&empty))
}

/// Runs a program that must print the answer, with nothing but its own package to find the binary in.
fn answers(program: &mut Command) -> Result<()> {
    let said = output_in_time(
        program
            .env_remove("TOOLHOST_BINARY")
            .env_remove("PYTHONPATH"),
    )?;
    match said == ANSWER {
        true => Ok(()),
        false => bail!("{program:?} printed {said:?}, not {ANSWER}"),
    }
}

/// The binary, which has the plugins in it.
fn add_binary(binary: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::copy(binary, folder.join(format!("toolhost{EXE_SUFFIX}")))?;
    Ok(())
}

fn copy_tree(from: &Path, to: &Path, without: &[&str]) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if without.contains(&&*text) || text.starts_with('.') || text == "__pycache__" {
            continue;
        }
        match entry.path().is_dir() {
            true => copy_tree(&entry.path(), &to.join(&name), without)?,
            false => drop(fs::copy(entry.path(), to.join(&name))?),
        }
    }
    Ok(())
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let mut files = fs::read_dir(folder)?;
    let file = files.next().context("nothing was built")??;
    Ok(file.path())
}

/// Runs a command that says nothing unless it fails.
fn quietly(command: &mut Command) -> Result<()> {
    output_in_time(command).map(drop)
}

/// What a command prints. One that takes longer is killed: a step that hangs must say which it is.
fn output_in_time(command: &mut Command) -> Result<String> {
    let what = format!("{command:?}");
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {what}"))?;
    let id = child.id();
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(LONGEST) else {
        let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        bail!("did not end within {} s: {what}", LONGEST.as_secs());
    };
    said(&what, output?)
}
