//! Lists no tools.
listing::plugin!(vec![]);
