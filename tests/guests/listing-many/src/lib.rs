//! Lists 10,000 tools, each good for itself.
listing::plugin!(
    (0..10_000)
        .map(|number| listing::tool(format!("tool_{number}"), listing::ANYTHING))
        .collect()
);
