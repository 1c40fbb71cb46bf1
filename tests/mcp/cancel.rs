//! What is cancelled computes no more, and who spins keeps nobody from an answer.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{PATIENCE, Pipes, begin, stateless, stateless_headers, text};
use crate::common::binary::Folder;
use crate::server::{Http, folder};

/// The time that all threads of a process have computed.
fn computed(pid: u32) -> Duration {
    let mut all = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let path = task.unwrap().path().join("schedstat");
        // A thread may end meanwhile.
        let Ok(text) = std::fs::read_to_string(path) else {
            continue;
        };
        all += text.split(' ').next().unwrap().parse::<u64>().unwrap();
    }
    Duration::from_nanos(all)
}

/// Waits until something computes at more than half a core.
fn spins(pid: u32) {
    let until = Instant::now() + PATIENCE;
    loop {
        let before = computed(pid);
        std::thread::sleep(Duration::from_millis(40));
        if computed(pid) - before > Duration::from_millis(20) {
            return;
        }
        assert!(Instant::now() < until, "nothing spins");
    }
}

/// Whether next to nothing was computed from 50 ms after `cancel` on. What else the machine does can
/// only make it look worse, so one good time of five is enough.
fn ends_within_50_ms(pid: u32, mut begin: impl FnMut(), mut cancel: impl FnMut()) -> bool {
    (0..5).any(|_| {
        begin();
        spins(pid);
        cancel();
        std::thread::sleep(Duration::from_millis(50));
        let then = computed(pid);
        std::thread::sleep(Duration::from_millis(200));
        computed(pid) - then < Duration::from_millis(20)
    })
}

fn serve(folder: &Folder) -> Pipes {
    Pipes::start(folder.command(&["serve"]), json!({}))
}

#[test]
fn a_spinning_call_computes_no_more_50_ms_after_it_is_cancelled() {
    let folder = folder();
    let pipes = std::cell::RefCell::new(serve(&folder));
    let id = std::cell::Cell::new(100);
    let pid = pipes.borrow().child.id();
    let ended = ends_within_50_ms(
        pid,
        || {
            id.set(id.get() + 1);
            let params = json!({ "name": "spin", "arguments": {} });
            pipes.borrow_mut().request(id.get(), "tools/call", params);
        },
        || {
            pipes.borrow_mut().send(&json!({
                "jsonrpc": "2.0", "method": "notifications/cancelled",
                "params": { "requestId": id.get(), "reason": "test" },
            }));
        },
    );
    assert!(ended, "it goes on");
    let mut pipes = pipes.into_inner();
    let reply = pipes.call("after", "echo", json!({ "text": "still here" }));
    assert_eq!(text(&reply), "still here");
    assert!(pipes.finish().success());
}

#[test]
fn a_connection_of_the_stateless_protocol_that_is_closed_ends_its_call() {
    let server = Http::start();
    let message = stateless(
        "tools/call",
        json!({ "name": "spin", "arguments": {} }),
        json!({}),
    );
    let mut headers = stateless_headers(&message);
    headers.push(("Accept", "application/json, text/event-stream"));
    headers.push(("Content-Type", "application/json"));
    let connection = std::cell::RefCell::new(None);
    let ended = ends_within_50_ms(
        server.pid(),
        || {
            let stream = begin(
                server.address(),
                "POST /mcp",
                &headers,
                &message.to_string(),
            );
            *connection.borrow_mut() = Some(stream);
        },
        || drop(connection.borrow_mut().take()),
    );
    assert!(ended, "it goes on");
}

#[test]
fn beside_sixteen_that_spin_others_are_answered() {
    let folder = folder();
    let manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    folder.write(
        "toolhost.toml",
        format!("[host]\nmax-concurrency = 64\n{manifest}"),
    );
    let mut pipes = serve(&folder);
    for id in 0..16 {
        let params = json!({ "name": "spin", "arguments": {} });
        pipes.request(format!("spin {id}"), "tools/call", params);
    }
    spins(pipes.child.id());
    for id in 0..20 {
        let reply = pipes.call(
            format!("echo {id}"),
            "echo",
            json!({ "text": id.to_string() }),
        );
        assert_eq!(text(&reply), id.to_string());
    }
    // Its input ends, and so does it, whatever runs.
    pipes.finish();
}
