//! Async tools of the SDK.

use std::time::{Duration, Instant};

use toolhost_plugin::{Error, arguments, http, plugin, task, tool};

#[arguments]
struct Get {
    /// Where to get something from.
    urls: Vec<String>,
}

/// Sends a GET request to each URL, all at once, and answers their bodies.
#[tool]
async fn get_all(args: Get) -> Result<String, Error> {
    let requests: Vec<_> = args.urls.into_iter().map(http::get).collect();
    let mut texts = Vec::new();
    for response in task::join_all(requests.iter().map(http::Request::send_async)).await {
        texts.push(response?.successful()?.text()?);
    }
    Ok(texts.join("\n"))
}

/// Sleeps ten times for 50 ms at once, and answers whether that took less than one after the other.
#[tool]
async fn sleep() -> String {
    let start = Instant::now();
    task::join_all((0..10).map(|_| task::sleep(Duration::from_millis(50)))).await;
    let took = start.elapsed();
    (took >= Duration::from_millis(50) && took < Duration::from_millis(400)).to_string()
}

plugin!(get_all, sleep);
