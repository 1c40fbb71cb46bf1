//! Lists a tool whose input schema is to be fetched from the web.
listing::plugin!(vec![listing::tool(
    "remote_ref",
    r#"{"type":"object","$ref":"https://example.com/schema.json"}"#,
)]);
