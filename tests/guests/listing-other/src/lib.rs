//! Lists a good tool, with the name that the guest `echo` gives its own.
listing::plugin!(vec![listing::tool(
    "echo",
    r#"{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}"#,
)]);
