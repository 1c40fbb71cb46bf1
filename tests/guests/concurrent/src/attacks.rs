//! Attacks by tasks, streams and futures.

use std::future::Future;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use futures::FutureExt;
use futures::future::{join_all, poll_immediate};
use serde_json::Value;
use wasip3::cli::stdout;
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::filesystem::preopens::get_directories;
use wasip3::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasip3::{wit_future, wit_stream};

use crate::toolhost::plugin::host::{self, Level};
use crate::{Answer, Behaviour, Error, failed, string, text, tools};

const HOUR: u64 = 3600 * 1_000_000_000;

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "outlive",
        description: "Answers, and leaves tasks that log, wait and compute without end.",
        run: |_| outlive().boxed_local(),
    },
    Behaviour {
        name: "wait_an_hour",
        description: "Waits for an hour.",
        run: |_| {
            async {
                wait_for(HOUR).await;
                text("waited for an hour")
            }
            .boxed_local()
        },
    },
    Behaviour {
        name: "wait_for_nothing",
        description: "Waits for what never happens.",
        run: |_| {
            async {
                let (_writer, reader) = wit_future::new(|| Ok::<_, ErrorCode>(()));
                let _ = reader.await;
                text("it happened")
            }
            .boxed_local()
        },
    },
    Behaviour {
        name: "yield_without_end",
        description: "Yields without end.",
        run: |_| {
            async {
                loop {
                    wit_bindgen::yield_async().await;
                }
            }
            .boxed_local()
        },
    },
    Behaviour {
        name: "timers_without_end",
        description: "Starts timers without end, and keeps them.",
        run: |_| {
            async {
                let mut timers = Vec::new();
                loop {
                    let mut timer = Box::pin(wait_for(HOUR));
                    start(timer.as_mut());
                    timers.push(timer);
                }
            }
            .boxed_local()
        },
    },
    Behaviour {
        name: "cancel_without_end",
        description: "Starts timers without end, and cancels each.",
        run: |_| {
            async {
                loop {
                    let mut timer = Box::pin(wait_for(HOUR));
                    start(timer.as_mut());
                    drop(timer);
                }
            }
            .boxed_local()
        },
    },
    Behaviour {
        name: "streams_without_end",
        description: "Makes streams without end, and keeps them.",
        run: |_| {
            async {
                let mut streams = Vec::new();
                loop {
                    streams.push(wit_stream::new::<u8>());
                }
            }
            .boxed_local()
        },
    },
    Behaviour {
        name: "futures_without_end",
        description: "Makes futures without end, and keeps them.",
        run: |_| {
            async {
                let mut futures = Vec::new();
                loop {
                    futures.push(wit_future::new(|| Ok::<_, ErrorCode>(())));
                }
            }
            .boxed_local()
        },
    },
    Behaviour {
        name: "print_without_end",
        description: "Hands a stream to stdout, and writes to it without end.",
        run: |_| {
            async {
                let (mut sender, data) = wit_stream::new();
                let _written = stdout::write_via_stream(data);
                loop {
                    sender.write_all(vec![b'x'; 1000]).await;
                }
            }
            .boxed_local()
        },
    },
    Behaviour {
        name: "print_to_many",
        description: "Hands streams to stdout without end, and keeps their other ends.",
        run: |_| {
            async {
                let mut senders = Vec::new();
                loop {
                    let (sender, data) = wit_stream::new::<u8>();
                    drop(stdout::write_via_stream(data));
                    senders.push(sender);
                }
            }
            .boxed_local()
        },
    },
    Behaviour {
        name: "write_to_nobody",
        description: "Writes to a stream that nobody reads.",
        run: |_| {
            async {
                let (mut sender, _data) = wit_stream::new();
                sender.write_all(vec![0; 1 << 20]).await;
                text("written")
            }
            .boxed_local()
        },
    },
    Behaviour {
        name: "pipe_without_end",
        description: "Has the host append a file of the folder to another without end, and keeps no handle.",
        run: |arguments| async move { pipe_without_end(&arguments).await }.boxed_local(),
    },
    Behaviour {
        name: "read_without_end",
        description: "Opens streams of a file without end, reads a byte of each and keeps them.",
        run: |arguments| async move { read_without_end(&arguments).await }.boxed_local(),
    },
    Behaviour {
        name: "list_without_end",
        description: "Lists a folder without end, and reads one entry of each listing.",
        run: |_| async { list_without_end().await }.boxed_local(),
    },
    Behaviour {
        name: "list_unread",
        description: "Lists a folder 500 times and reads nothing, then answers.",
        run: |_| async { list_unread() }.boxed_local(),
    },
    Behaviour {
        name: "cancel_files",
        description: "Starts to create, rename and remove files, cancels each, and then writes one.",
        run: |arguments| async move { cancel_files(&arguments).await }.boxed_local(),
    },
    Behaviour {
        name: "at_once",
        description: "Creates and removes 100 files at once, each by itself.",
        run: |_| async { at_once().await }.boxed_local(),
    },
    Behaviour {
        name: "request_and_leave",
        description: "Sends a GET request, and answers without its response.",
        run: |arguments| {
            async move {
                let url = string(&arguments, "url");
                let mut request = Box::pin(async move { tools::get(&url).await });
                start(request.as_mut());
                mem::forget(request);
                text("left")
            }
            .boxed_local()
        },
    },
    Behaviour {
        name: "requests_at_once",
        description: "Sends so many GET requests at once.",
        run: |arguments| {
            async move {
                let url = string(&arguments, "url");
                let count = arguments["count"].as_u64().unwrap_or(1);
                let bodies = join_all((0..count).map(|_| tools::get(&url))).await;
                let done = bodies.iter().filter(|body| body.is_ok()).count();
                text(format!("{done} done"))
            }
            .boxed_local()
        },
    },
];

/// Polls a future once, so that what it waits for has begun.
fn start<F: Future>(future: Pin<&mut F>) {
    let _ = future.poll(&mut Context::from_waker(Waker::noop()));
}

fn outlive() -> impl Future<Output = Answer> {
    wit_bindgen::spawn_local(async {
        wait_for(HOUR).await;
    });
    wit_bindgen::spawn_local(async {
        loop {
            wit_bindgen::yield_async().await;
            host::log(Level::Info, "late");
        }
    });
    async { text("answered") }
}

fn folder() -> Result<Descriptor, Error> {
    let mut folders = get_directories().into_iter();
    let (folder, _) = folders.next().ok_or_else(|| failed("no folder"))?;
    Ok(folder)
}

async fn open(folder: &Descriptor, name: &str, how: OpenFlags) -> Result<Descriptor, Error> {
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let opened = folder.open_at(PathFlags::empty(), name.to_owned(), how, flags);
    opened
        .await
        .map_err(|error| failed(format_args!("{error:?}")))
}

async fn pipe_without_end(arguments: &Value) -> Answer {
    let folder = folder()?;
    let from = open(&folder, &string(arguments, "from"), OpenFlags::empty()).await?;
    let to = open(&folder, "copy", OpenFlags::CREATE).await?;
    loop {
        let (data, _) = from.read_via_stream(0);
        drop(to.append_via_stream(data));
    }
}

async fn read_without_end(arguments: &Value) -> Answer {
    let folder = folder()?;
    let file = open(&folder, &string(arguments, "from"), OpenFlags::empty()).await?;
    let mut streams = Vec::new();
    loop {
        let (mut data, read) = file.read_via_stream(0);
        data.next().await;
        streams.push((data, read));
    }
}

async fn list_without_end() -> Answer {
    let folder = folder()?;
    let mut streams = Vec::new();
    loop {
        let (mut entries, listed) = folder.read_directory();
        entries.next().await;
        streams.push((entries, listed));
    }
}

fn list_unread() -> Answer {
    let folder = folder()?;
    let mut kept = Vec::new();
    for _ in 0..150 {
        let (mut entries, listed) = folder.read_directory();
        let mut next = Box::pin(async move {
            entries.next().await;
            entries
        });
        start(next.as_mut());
        kept.push((next, listed));
    }
    mem::forget(kept);
    text("listed")
}

async fn cancel_files(arguments: &Value) -> Answer {
    let folder = folder()?;
    for number in 0..1000 {
        let name = format!("f{}", number % 7);
        let how = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
        poll_immediate(pin!(folder.open_at(
            PathFlags::empty(),
            name.clone(),
            how,
            flags
        )))
        .await;
        poll_immediate(pin!(folder.rename_at(
            name.clone(),
            &folder,
            "g".to_owned()
        )))
        .await;
        poll_immediate(pin!(folder.unlink_file_at(name))).await;
    }
    tools::write_and_read(arguments).await
}

async fn at_once() -> Answer {
    let folder = &folder()?;
    let each = (0..100).map(|number| async move {
        let name = format!("n{number}");
        let file = open(folder, &name, OpenFlags::CREATE | OpenFlags::EXCLUSIVE).await?;
        drop(file);
        let removed = folder.unlink_file_at(name).await;
        removed.map_err(|error| failed(format_args!("{error:?}")))
    });
    let done = join_all(each).await;
    text(format!(
        "{} done",
        done.iter().filter(|it| it.is_ok()).count()
    ))
}
