//! Quotas of folders: `max-disk` and `max-files`.
#![cfg(unix)]

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use toolhost::{CodeCache, Loader, Manifest, ToolHost};

use crate::common::{self, call, code_cache, error, guest, text};

const KIB: u64 = 1 << 10;

/// A folder with `w` in it, and `free` beside that.
fn folders() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("w")).unwrap();
    fs::create_dir(folder.path().join("free")).unwrap();
    folder
}

/// A plugin of the hostile guest, whose tool is `NAME_script`, with these grants.
fn plugin(name: &str, grants: &str) -> String {
    let path = guest("hostile");
    let path = path.display();
    format!(
        "[plugin.{name}]\npath = '{path}'\nprefix = '{name}_'\npermissions.files = [{grants}]\n"
    )
}

/// The grant of `w` with these bounds.
fn of_w(bounds: &str) -> String {
    format!("{{ host = 'w', guest = '/w', access = 'read-write', {bounds} }}")
}

fn parse(folder: &TempDir, manifest: &str) -> Manifest {
    let file = folder.path().join("toolhost.toml");
    Manifest::parse(manifest, file).unwrap_or_else(|error| panic!("{error}"))
}

async fn host(folder: &TempDir, manifest: &str) -> ToolHost {
    common::load(parse(folder, manifest)).await
}

/// A host whose plugin `a` has `w` with these bounds.
async fn bounded(bounds: &str) -> (TempDir, ToolHost) {
    let folder = folders();
    let host = host(&folder, &plugin("a", &of_w(bounds))).await;
    (folder, host)
}

/// What came of each operation.
async fn does(host: &ToolHost, plugin: &str, steps: Value) -> Vec<String> {
    let call = call(&format!("{plugin}_script"), json!({ "steps": steps }));
    let result = host.call(call).await;
    text(&result).lines().map(str::to_owned).collect()
}

/// Names in a folder, and the bytes that they take.
fn taken(folder: impl AsRef<Path>) -> (u64, u64) {
    fn add(folder: &Path, seen: &mut HashSet<u64>, total: &mut (u64, u64)) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.path().symlink_metadata().unwrap();
            let length = match metadata.is_file() && seen.insert(metadata.ino()) {
                true => metadata.len(),
                false => 0,
            };
            total.0 += 1;
            total.1 += length.div_ceil(4096).max(1) * 4096;
            if metadata.is_dir() {
                add(&entry.path(), seen, total);
            }
        }
    }
    let mut total = (0, 0);
    add(folder.as_ref(), &mut HashSet::new(), &mut total);
    total
}

/// Has the plugin `a` remove all that is in `w`.
async fn clean(host: &ToolHost, folder: &TempDir) {
    let folder = folder.path().join("w");
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let steps = json!([["unlink", "/w", name], ["rmdir", "/w", name]]);
        does(host, "a", steps).await;
    }
    assert_eq!(taken(&folder), (0, 0));
}

/// Tries until it is done: what other programs did is seen when the folder is counted, and that is not at each try.
async fn in_time(host: &ToolHost, plugin: &str, steps: Value) {
    let begun = Instant::now();
    loop {
        let lines = does(host, plugin, steps.clone()).await;
        if lines.iter().all(|line| line == "done") {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{lines:?}");
    }
}

#[tokio::test]
async fn every_way_to_write_more_is_refused_as_it_is_tried() {
    let (folder, host) = bounded("max-disk = '64KiB'").await;
    let file = folder.path().join("w/a");
    let open = json!(["open", "a", "/w", "a", "create"]);

    // In place, up to the quota, and beyond.
    let steps = json!([
        open,
        ["write", "a", 0, 60 * KIB],
        ["write", "a", 0, 60 * KIB],
        ["write", "a", 60 * KIB, 8 * KIB],
        ["write", "a", 60 * KIB, 4 * KIB],
        ["write", "a", 64 * KIB, 1],
        ["write", "a", 1u64 << 40, 1],
        ["write", "a", u64::MAX - 10, 100],
        ["set-size", "a", 64 * KIB + 1],
        ["set-size", "a", 1u64 << 40],
        ["set-size", "a", u64::MAX],
        ["append", "a", 1],
        ["stream", "a", 64 * KIB, 1],
        ["zeroes", "a", 64 * KIB, 1],
        ["splice", "a", "a"],
        ["stream", "a", 0, 64 * KIB],
    ]);
    let lines = does(&host, "a", steps).await;
    assert_eq!(lines[..3], ["done"; 3]);
    assert_eq!(lines[3..5], ["quota", "done"]);
    assert_eq!(lines[5..15], ["quota"; 10]);
    assert_eq!(lines[15], "done");
    assert_eq!(fs::metadata(&file).unwrap().len(), 64 * KIB);

    // What a stream writes is there up to where it no longer fits.
    for way in ["stream", "zeroes"] {
        let steps = json!([
            open,
            ["set-size", "a", 0],
            [way, "a", 0, 100_000],
            ["set-size", "a", 4 * KIB],
            ["append", "a", 100_000],
        ]);
        let lines = does(&host, "a", steps).await;
        assert_eq!(lines, ["done", "done", "quota", "done", "quota"], "{way}");
        assert_eq!(fs::metadata(&file).unwrap().len(), 64 * KIB, "{way}");
    }

    // What is cut off, truncated or removed can be written again.
    let full = json!(["write", "a", 0, 64 * KIB]);
    let steps = json!([
        ["open", "a", "/w", "a", "truncate"],
        full,
        ["set-size", "a", 1],
        full,
        ["unlink", "/w", "a"],
        ["close", "a"],
        open,
        full,
        ["times", "/w", "a"],
        ["unlink", "/w", "a"],
    ]);
    let lines = does(&host, "a", steps).await;
    assert_eq!(lines, ["done"; 10]);
    assert_eq!(taken(folder.path().join("w")), (0, 0));
}

#[tokio::test]
async fn names_are_bounded_by_number_and_by_what_they_take() {
    for bounds in ["max-files = 10", "max-disk = '40KiB'"] {
        let (folder, host) = bounded(bounds).await;
        let long = "x".repeat(200);
        for (make, remove) in [
            (json!(["open", "a", "/w", "{}", "create"]), "unlink"),
            (json!(["open", "a", "/w", "{}", "new"]), "unlink"),
            (json!(["mkdir", "/w", format!("{{}}{long}")]), "rmdir"),
            (json!(["symlink", "/w", long, "{}"]), "unlink"),
        ] {
            let lines = does(&host, "a", json!([["each", 100, make]])).await;
            assert_eq!(lines, ["10 times, then quota"], "{make} {bounds}");
            assert_eq!(taken(folder.path().join("w")), (10, 40 * KIB));
            let path = match remove {
                "rmdir" => format!("{{}}{long}"),
                _ => "{}".to_owned(),
            };
            let lines = does(&host, "a", json!([["each", 10, [remove, "/w", path]]])).await;
            assert_eq!(lines, ["done"], "{make} {bounds}");
        }
        // Links to one file take a name each, and none is needed to change what is there.
        let steps = json!([
            ["open", "a", "/w", "a", "create"],
            ["each", 100, ["link", "/w", "a", "/w", "{}"]],
            ["open", "a", "/w", "a", "create"],
            ["open", "a", "/w", "b", "create"],
            ["mkdir", "/w", "b"],
            ["symlink", "/w", "a", "b"],
            ["rename", "/w", "0", "/w", "b"],
            ["rename", "/w", "1", "/w", "2"],
            ["unlink", "/w", "3"],
            ["mkdir", "/w", "3"],
            ["mkdir", "/w", "4/"],
        ]);
        let lines = does(&host, "a", steps).await;
        let expected = [
            "done",
            "9 times, then quota",
            "done",
            "quota",
            "quota",
            "quota",
            "done",
            // Both are names of one file: nothing is done.
            "done",
            "done",
            "done",
        ];
        assert_eq!(lines[..10], expected, "{bounds}");
        assert_ne!(lines[10], "done");
        assert_eq!(taken(folder.path().join("w")).0, 10);
    }
}

#[tokio::test]
async fn quota_counts_existing_files_and_those_of_others() {
    let folder = folders();
    let at = |name: &str| folder.path().join("w").join(name);
    fs::create_dir(at("deep")).unwrap();
    fs::write(at("deep/old"), vec![0; 36 << 10]).unwrap();
    // Two names of a file take its bytes once.
    fs::hard_link(at("deep/old"), at("again")).unwrap();
    let host = host(&folder, &plugin("a", &of_w("max-disk = '64KiB'"))).await;
    let steps = json!([
        ["open", "a", "/w", "a", "create"],
        ["write", "a", 0, 20 * KIB],
        ["write", "a", 0, 21 * KIB],
    ]);
    let lines = does(&host, "a", steps).await;
    assert_eq!(lines, ["done", "done", "quota"]);
    assert_eq!(taken(folder.path().join("w")), (4, 64 * KIB));

    // A name of two gives back a name, the last one the rest.
    let write = |length| json!(["write", "a", 0, length]);
    let steps = json!([
        ["open", "a", "/w", "a", "write"],
        ["unlink", "/w", "again"],
        write(24 * KIB),
        write(25 * KIB),
        ["unlink", "/w", "deep/old"],
        write(60 * KIB),
        write(61 * KIB),
        ["rmdir", "/w", "deep"],
        write(64 * KIB),
    ]);
    let lines = does(&host, "a", steps).await;
    let expected = [
        "done", "done", "done", "quota", "done", "done", "quota", "done", "done",
    ];
    assert_eq!(lines, expected);

    // What others put there is nothing that a guest can give back.
    fs::write(at("others"), vec![0; 1 << 20]).unwrap();
    fs::create_dir(at("their folder")).unwrap();
    let steps = json!([
        ["open", "a", "/w", "a", "write"],
        ["unlink", "/w", "others"],
        ["rmdir", "/w", "their folder"],
        ["append", "a", 1],
    ]);
    assert_eq!(
        does(&host, "a", steps).await,
        ["done", "done", "done", "quota"]
    );

    // What others remove makes room.
    fs::remove_file(at("a")).unwrap();
    let steps = json!([
        ["open", "b", "/w", "b", "create"],
        ["write", "b", 0, 64 * KIB]
    ]);
    in_time(&host, "a", steps).await;
    assert_eq!(taken(folder.path().join("w")), (1, 64 * KIB));
}

#[tokio::test]
async fn a_file_without_a_name_counts_until_it_is_closed() {
    let folder = folders();
    let read_only = "{ host = 'w', guest = '/r' }";
    let grants = format!("{}, {read_only}", of_w("max-disk = '64KiB'"));
    let host = host(&folder, &plugin("a", &grants)).await;
    let other = [
        json!(["open", "b", "/w", "b", "create"]),
        json!(["write", "b", 0, 40 * KIB]),
    ];
    for (name, hold, release) in [
        (
            "its own",
            json!(["times", "/w", "a"]),
            json!(["close", "a"]),
        ),
        (
            "one to read",
            json!(["open", "r", "/w", "a", "read"]),
            json!(["close", "r"]),
        ),
        (
            "one through a grant without a quota",
            json!(["open", "r", "/r", "a", "read"]),
            json!(["close", "r"]),
        ),
    ] {
        for remove in [
            json!(["unlink", "/w", "a"]),
            json!(["rename", "/w", "c", "/w", "a"]),
        ] {
            let mut steps = vec![
                json!(["open", "a", "/w", "a", "create"]),
                json!(["write", "a", 0, 40 * KIB]),
                hold.clone(),
                json!(["open", "c", "/w", "c", "create"]),
            ];
            if release[1] != "a" {
                steps.push(json!(["close", "a"]));
            }
            let set_up = steps.len();
            steps.push(remove.clone());
            steps.extend(other.clone());
            steps.push(release.clone());
            steps.push(other[1].clone());
            steps.push(json!(["unlink", "/w", "b"]));
            let lines = does(&host, "a", steps.into()).await;
            let (before, after) = lines.split_at(set_up);
            assert!(
                before.iter().all(|line| line == "done"),
                "{name}: {lines:?}"
            );
            let expected = ["done", "done", "quota", "done", "done", "done"];
            assert_eq!(after, expected, "{name}, {remove}");
            let clean = json!([["unlink", "/w", "a"], ["unlink", "/w", "c"]]);
            does(&host, "a", clean).await;
        }
    }
    assert_eq!(taken(folder.path().join("w")), (0, 0));
}

#[tokio::test]
async fn nothing_gets_another_name_in_or_out_of_a_folder_with_a_quota() {
    let folder = folders();
    let grants = format!(
        "{}, {{ host = 'w', guest = '/same', access = 'read-write', max-disk = '32KiB' }}, \
         {{ host = 'free', guest = '/free', access = 'read-write' }}, \
         {{ host = 'w', guest = '/unbounded', access = 'read-write' }}",
        of_w("max-disk = '64KiB'")
    );
    let host = host(&folder, &plugin("a", &grants)).await;
    let steps = json!([
        ["open", "big", "/free", "big", "create"],
        ["write", "big", 0, 1000 * KIB],
        ["rename", "/free", "big", "/w", "big"],
        ["link", "/free", "big", "/w", "big"],
        ["mkdir", "/free", "folder"],
        ["rename", "/free", "folder", "/w", "folder"],
        ["open", "a", "/w", "a", "create"],
        ["write", "a", 0, 4 * KIB],
        ["rename", "/w", "a", "/free", "a"],
        ["link", "/w", "a", "/free", "a"],
        ["rename", "/w", "a", "/unbounded", "b"],
        ["rename", "/unbounded", "a", "/w", "b"],
        ["link", "/unbounded", "a", "/w", "b"],
        // Between grants of one folder there is.
        ["rename", "/w", "a", "/same", "b"],
        ["link", "/same", "b", "/w", "c"],
        // Each grant has its own limit, for what all have written.
        ["write", "a", 0, 40 * KIB],
        ["open", "b", "/same", "b", "write"],
        ["write", "b", 40 * KIB, 4 * KIB],
        ["open", "d", "/same", "d", "create"],
        ["write", "b", 0, 40 * KIB],
        // Where there is no quota, nothing is counted.
        ["write", "big", 0, 1000 * KIB],
    ]);
    let lines = does(&host, "a", steps).await;
    let across = "cross-device";
    let expected = [
        "done", "done", across, across, "done", across, "done", "done", across, across, across,
        across, across, "done", "done", "done", "done", "quota", "quota", "done", "done",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn plugins_of_one_folder_share_usage_with_quotas_of_their_own() {
    let folder = folders();
    let manifest = format!(
        "{}{}",
        plugin("small", &of_w("max-disk = '64KiB'")),
        plugin("large", &of_w("max-disk = '128KiB', max-files = 4")),
    );
    let host = host(&folder, &manifest).await;
    let writes = |name: &str, length: u64| {
        json!([
            ["open", name, "/w", name, "create"],
            ["append", name, length]
        ])
    };
    assert_eq!(
        does(&host, "small", writes("s", 40 * KIB)).await,
        ["done"; 2]
    );
    assert_eq!(
        does(&host, "large", writes("l", 40 * KIB)).await,
        ["done"; 2]
    );
    assert_eq!(
        does(&host, "small", writes("s", 1)).await,
        ["done", "quota"]
    );
    assert_eq!(
        does(&host, "large", writes("l", 48 * KIB)).await,
        ["done"; 2]
    );
    assert_eq!(
        does(&host, "large", writes("l", 1)).await,
        ["done", "quota"]
    );
    // What one removes the other may write.
    assert_eq!(
        does(&host, "small", json!([["unlink", "/w", "l"]])).await,
        ["done"]
    );
    assert_eq!(
        does(&host, "small", writes("s", 24 * KIB)).await,
        ["done"; 2]
    );
    assert_eq!(
        does(&host, "large", writes("l", 64 * KIB)).await,
        ["done"; 2]
    );
    let many = json!([["each", 9, ["open", "x", "/w", "{}", "create"]]]);
    does(&host, "large", json!([["unlink", "/w", "l"]])).await;
    assert_eq!(does(&host, "large", many).await, ["3 times, then quota"]);
}

#[tokio::test]
async fn what_is_written_in_a_folder_counts_in_those_that_it_lies_in() {
    let folder = folders();
    fs::create_dir(folder.path().join("w/in")).unwrap();
    let inner = "{ host = 'w/in', guest = '/in', access = 'read-write', max-disk = '48KiB' }";
    let grants = format!("{}, {inner}", of_w("max-disk = '64KiB'"));
    let host = host(&folder, &plugin("a", &grants)).await;
    let steps = json!([
        ["open", "i", "/in", "i", "create"],
        ["write", "i", 0, 40 * KIB],
        ["open", "o", "/w", "o", "create"],
        ["write", "o", 0, 24 * KIB],
        // The folder itself takes a name.
        ["write", "o", 0, 20 * KIB],
        ["set-size", "i", 20 * KIB],
        ["write", "o", 0, 40 * KIB],
        ["write", "o", 0, 41 * KIB],
        ["unlink", "/in", "i"],
        ["close", "i"],
        ["write", "o", 0, 60 * KIB],
        ["rename", "/w", "o", "/in", "o"],
        ["rename", "/w", "o", "/w", "in/o"],
    ]);
    let lines = does(&host, "a", steps).await;
    let expected = [
        "done",
        "done",
        "done",
        "quota",
        "done",
        "done",
        "done",
        "quota",
        "done",
        "done",
        "done",
        "cross-device",
        "done",
    ];
    assert_eq!(lines, expected);

    // Written through one, removed through the other, over and over: no room comes of it.
    let fill = |number: u64| {
        json!([
            ["open", "i", "/in", format!("i{number}"), "create"],
            ["append", "i", 40 * KIB],
            [
                "rename",
                "/w",
                format!("in/i{number}"),
                "/w",
                format!("i{number}")
            ],
            ["unlink", "/w", format!("i{number}")],
            ["open", "o", "/w", format!("o{number}"), "create"],
            ["append", "o", 4 * KIB],
            [
                "rename",
                "/w",
                format!("o{number}"),
                "/w",
                format!("in/o{number}")
            ],
        ])
    };
    for number in 0..20 {
        does(&host, "a", fill(number)).await;
        let (_, bytes) = taken(folder.path().join("w"));
        assert!(bytes <= (64 + 48) * KIB, "{bytes} after {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_side_by_side_never_write_more_than_fits_and_lose_nothing() {
    let folder = folders();
    let manifest = plugin("a", &of_w("max-disk = '256KiB', max-files = 40"));
    let manifest = manifest.replace("prefix", "order = 'parallel'\nprefix");
    // Two hosts, as at a reload, share what is counted.
    let hosts = [
        host(&folder, &manifest).await,
        host(&folder, &manifest).await,
    ];
    let [one, _] = &hosts;
    let work = |number: u64| {
        json!([
            ["open", "a", "/w", "shared", "create"],
            ["append", "a", 20 * KIB],
            ["open", "b", "/w", format!("{number}"), "create"],
            ["stream", "b", 0, 40 * KIB],
            ["each", 9, ["mkdir", "/w", format!("folder-{number}-{{}}")]],
            ["set-size", "b", 10 * KIB],
            ["unlink", "/w", format!("{number}")],
            ["rmdir", "/w", format!("folder-{number}-0")],
        ])
    };
    let calls = (0..24).map(|number| {
        let host = hosts[number as usize % 2].clone();
        tokio::spawn(async move { does(&host, "a", work(number)).await })
    });
    let mut all = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        all.push(call.await.unwrap());
    }
    let refused = all.iter().flatten().filter(|line| line.ends_with("quota"));
    assert!(refused.count() > 0, "{all:?}");
    let (files, bytes) = taken(folder.path().join("w"));
    assert!(files <= 40 && bytes <= 256 * KIB, "{files} {bytes}");
    // All of it can be used again.
    clean(one, &folder).await;
    let steps = json!([
        ["open", "a", "/w", "a", "create"],
        ["write", "a", 0, 256 * KIB],
        ["write", "a", 256 * KIB, 1],
        ["each", 100, ["mkdir", "/w", "{}"]],
    ]);
    let lines = does(one, "a", steps).await;
    assert_eq!(lines, ["done", "done", "quota", "0 times, then quota"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_call_began_that_was_cut_off_is_counted() {
    let folder = folders();
    let text = plugin("a", &of_w("max-disk = '400KiB', max-files = 60"));
    let text = text.replace("prefix", "timeout = '10ms'\norder = 'parallel'\nprefix");
    let hasty = host(&folder, &text).await;
    let calm = host(
        &folder,
        &plugin("a", &of_w("max-disk = '400KiB', max-files = 60")),
    )
    .await;
    for round in 0..20 {
        let calls = (0..4).map(|number| {
            let name = |what: &str| format!("{what}-{round}-{number}-{{}}");
            let steps = json!([
                ["open", "s", "/w", format!("s-{round}-{number}"), "create"],
                ["begin", "s", 0, 60 * KIB],
                ["each", 30, ["open", "a", "/w", name("f"), "create"]],
                ["each", 30, ["append", "a", 4 * KIB]],
                ["each", 30, ["rename", "/w", name("f"), "/w", name("g")]],
                ["each", 30, ["mkdir", "/w", name("d")]],
                ["each", 30, ["unlink", "/w", name("g")]],
                ["each", 1_000_000, ["times", "/w", "."]],
            ]);
            call("a_script", json!({ "steps": steps }))
        });
        for result in hasty.run_all(calls.collect::<Vec<_>>()).await {
            assert_eq!(error(&result).code(), "timeout");
        }
        let (files, bytes) = taken(folder.path().join("w"));
        assert!(files <= 60 && bytes <= 400 * KIB, "{files} {bytes}");
    }
    // It was counted, too, when nothing is left of it.
    clean(&calm, &folder).await;
    let all = json!([
        ["open", "a", "/w", "a", "create"],
        ["write", "a", 0, 400 * KIB]
    ]);
    in_time(&calm, "a", all).await;
}

#[tokio::test]
async fn a_reload_counts_anew_and_takes_the_new_limit() {
    let (folder, before) = bounded("max-disk = '64KiB'").await;
    let full = json!([
        ["open", "a", "/w", "a", "create"],
        ["write", "a", 0, 64 * KIB]
    ]);
    assert_eq!(does(&before, "a", full).await, ["done"; 2]);
    fs::write(folder.path().join("w/others"), vec![0; 20 << 10]).unwrap();
    let now = parse(&folder, &plugin("a", &of_w("max-disk = '96KiB'")));
    let loader = Loader::new(now).code_cache(CodeCache::Folder(code_cache()));
    let now = loader.replacing(&before).load().await.unwrap();
    let more = |length: u64| json!([["open", "b", "/w", "b", "create"], ["append", "b", length]]);
    assert_eq!(does(&now, "a", more(12 * KIB)).await, ["done"; 2]);
    assert_eq!(does(&now, "a", more(1)).await, ["done", "quota"]);
    // The calls of before go by what they were granted.
    assert_eq!(does(&before, "a", more(1)).await, ["done", "quota"]);
    assert_eq!(taken(folder.path().join("w")), (3, 96 * KIB));
}

#[tokio::test]
async fn folders_are_counted_however_deep_they_are() {
    let folder = folders();
    let mut deep = folder.path().join("w");
    for _ in 0..300 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    for name in ["a", "b"] {
        fs::write(deep.join(name), "").unwrap();
        fs::create_dir(folder.path().join("w/d/d").join(name)).unwrap();
    }
    std::os::unix::fs::symlink(folder.path(), deep.join("out")).unwrap();
    let host = host(&folder, &plugin("a", &of_w("max-files = 306"))).await;
    let steps = json!([["each", 9, ["mkdir", "/w", "{}"]]]);
    assert_eq!(taken(folder.path().join("w")).0, 305);
    assert_eq!(does(&host, "a", steps).await, ["1 times, then quota"]);
}

#[tokio::test]
async fn a_whole_write_that_does_not_fit_leaves_what_was_there() {
    let folder = folders();
    let path = guest("filesystem");
    let manifest = format!(
        "[plugin.filesystem]\npath = '{}'\npermissions.files = [{}]\n",
        path.display(),
        of_w("max-disk = '64KiB'")
    );
    let host = host(&folder, &manifest).await;
    let write = |length: usize| {
        let content = "x".repeat(length);
        call(
            "fs_write",
            json!({ "path": "note.txt", "content": content }),
        )
    };
    text(&host.call(write(28 << 10)).await);
    // Both are there for a moment, and the folder of what is written.
    let refused = host.call(write(36 << 10)).await;
    assert_eq!(
        error(&refused).to_string(),
        "cannot write /w/note.txt: its folder would exceed its quota: remove something first, or write less"
    );
    assert_eq!(
        fs::read(folder.path().join("w/note.txt")).unwrap().len(),
        28 << 10
    );
    assert_eq!(taken(folder.path().join("w")), (1, 28 * KIB));
    for _ in 0..10 {
        text(&host.call(write(32 << 10)).await);
        text(&host.call(write(27 << 10)).await);
    }
    assert_eq!(taken(folder.path().join("w")), (1, 28 * KIB));
}
