//! Lists a tool whose input schema is 4 MiB long, and good otherwise.
listing::plugin!(vec![listing::tool(
    "huge_schema",
    format!(
        r#"{{"type":"object","description":"{}"}}"#,
        "x".repeat(4 << 20)
    ),
)]);
