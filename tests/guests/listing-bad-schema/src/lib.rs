//! Lists a tool whose input schema is not JSON.
listing::plugin!(vec![listing::tool("bad_schema", "not json {")]);
