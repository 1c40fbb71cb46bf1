//! Two prompts of one name.

use toolhost_plugin::plugin;

mod one {
    use toolhost_plugin::prompt;

    /// One
    #[prompt]
    pub fn twice() -> &'static str {
        "one"
    }
}

mod other {
    use toolhost_plugin::prompt;

    /// Other
    #[prompt]
    pub fn twice() -> &'static str {
        "other"
    }
}

plugin! {
    prompts: [one::twice, other::twice],
}
