//! Lists a tool whose input schema is JSON, and no JSON Schema.
listing::plugin!(vec![listing::tool("no_schema", r#"{"type":12}"#)]);
