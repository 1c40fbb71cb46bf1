//! Tools that use WASI 0.3 as it is meant.

use futures::FutureExt;
use futures::future::join_all;
use serde_json::Value;
use wasip3::clocks::{monotonic_clock, system_clock};
use wasip3::filesystem::preopens::get_directories;
use wasip3::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasip3::http::{client, types::*};
use wasip3::{cli, random};

use crate::{Answer, Behaviour, failed, string, text};

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "answer",
        description: "Answers the text, without waiting.",
        run: |arguments| async move { text(string(&arguments, "text")) }.boxed_local(),
    },
    Behaviour {
        name: "upper",
        description: "Answers the text in upper case after a millisecond.",
        run: |arguments| {
            async move {
                monotonic_clock::wait_for(1_000_000).await;
                text(string(&arguments, "text").to_uppercase())
            }
            .boxed_local()
        },
    },
    Behaviour {
        name: "surroundings",
        description: "Answers the environment, whether a clock runs, and random bytes.",
        run: |_| async { surroundings().await }.boxed_local(),
    },
    Behaviour {
        name: "write_and_read",
        description: "Writes the text to a file of the folder, reads it and lists the folder.",
        run: |arguments| async move { write_and_read(&arguments).await }.boxed_local(),
    },
    Behaviour {
        name: "get_all",
        description: "Sends a GET request to each URL, all at once, and answers their bodies.",
        run: |arguments| async move { get_all(&arguments).await }.boxed_local(),
    },
    Behaviour {
        name: "print",
        description: "Writes the text to stdout.",
        run: |arguments| async move { print(string(&arguments, "text")).await }.boxed_local(),
    },
];

async fn surroundings() -> Answer {
    let environment = cli::environment::get_environment();
    let before = monotonic_clock::now();
    monotonic_clock::wait_for(1_000_000).await;
    let ran = monotonic_clock::now() > before;
    let year = 1970 + system_clock::now().seconds / 31_557_600;
    let bytes = random::random::get_random_bytes(8).len();
    text(format!("{environment:?} {ran} {} {bytes}", year > 2000))
}

pub async fn write_and_read(arguments: &Value) -> Answer {
    let (name, content) = (string(arguments, "name"), string(arguments, "text"));
    let (folder, _) = get_directories()
        .into_iter()
        .next()
        .ok_or_else(|| failed("no folder"))?;
    let done = async {
        let how = OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
        let file = folder.open_at(PathFlags::empty(), name, how, flags).await?;
        let (mut sender, data) = wasip3::wit_stream::new();
        let written = file.write_via_stream(data, 0);
        sender.write_all(content.into_bytes()).await;
        drop(sender);
        written.await?;
        let (data, read) = file.read_via_stream(0);
        let bytes = data.collect().await;
        read.await?;
        let (entries, listed) = folder.read_directory();
        let mut names: Vec<String> = entries
            .collect()
            .await
            .into_iter()
            .map(|it| it.name)
            .collect();
        listed.await?;
        names.sort();
        let size = file.stat().await?.size;
        Ok(format!(
            "{} {size} {}",
            String::from_utf8_lossy(&bytes),
            names.join(",")
        ))
    };
    let done: Result<String, ErrorCode> = done.await;
    text(done.map_err(|error| failed(format_args!("{error:?}")))?)
}

pub async fn get(url: &str) -> Result<Vec<u8>, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no URL")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (_, trailers) = wasip3::wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    let scheme = match scheme {
        "https" => Scheme::Https,
        _ => Scheme::Http,
    };
    request.set_scheme(Some(&scheme)).map_err(|()| "scheme")?;
    request
        .set_authority(Some(authority))
        .map_err(|()| "authority")?;
    request
        .set_path_with_query(Some(&format!("/{path}")))
        .map_err(|()| "path")?;
    let response = client::send(request)
        .await
        .map_err(|error| format!("{error:?}"))?;
    let (_, done) = wasip3::wit_future::new(|| Ok(()));
    let (body, trailers) = Response::consume_body(response, done);
    let bytes = body.collect().await;
    trailers.await.map_err(|error| format!("{error:?}"))?;
    Ok(bytes)
}

async fn get_all(arguments: &Value) -> Answer {
    let urls = arguments["urls"].as_array().into_iter().flatten();
    let urls: Vec<&str> = urls.filter_map(Value::as_str).collect();
    let bodies = join_all(urls.into_iter().map(get)).await;
    let bodies: Result<Vec<_>, _> = bodies.into_iter().collect();
    let bodies = bodies.map_err(failed)?;
    let texts: Vec<_> = bodies
        .iter()
        .map(|body| String::from_utf8_lossy(body))
        .collect();
    text(texts.join("\n"))
}

async fn print(what: String) -> Answer {
    let (mut sender, data) = wasip3::wit_stream::new();
    let written = cli::stdout::write_via_stream(data);
    sender.write_all(what.into_bytes()).await;
    drop(sender);
    written
        .await
        .map_err(|error| failed(format_args!("{error:?}")))?;
    text("printed")
}
