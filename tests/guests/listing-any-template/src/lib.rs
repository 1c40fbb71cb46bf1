//! A template of every scheme, and one of its own.

use toolhost_plugin::{Contents, Error, Resource, Resources, Template, plugin};

struct Templates;

impl Resources for Templates {
    fn list() -> Result<Vec<Resource>, Error> {
        Ok(Vec::new())
    }

    fn templates() -> Vec<Template> {
        vec![
            Template::new("{+x}", "any"),
            Template::new("mine:{+x}", "own"),
        ]
    }

    fn read(uri: &str) -> Result<Contents, Error> {
        Err(Error::not_found(uri))
    }
}

plugin! {
    resources: Templates,
}
