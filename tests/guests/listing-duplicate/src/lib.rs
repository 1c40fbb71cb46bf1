//! Lists two tools with one name.
listing::plugin!(vec![
    listing::tool("twice", listing::ANYTHING),
    listing::tool("twice", listing::ANYTHING),
]);
