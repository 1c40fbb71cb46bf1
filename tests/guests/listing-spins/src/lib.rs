//! Never finishes its list of tools.
listing::plugin!(loop {
    std::hint::black_box(());
});
