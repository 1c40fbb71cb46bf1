//! Lists a tool whose name no model API takes.
listing::plugin!(vec![listing::tool("bad name!", listing::ANYTHING)]);
