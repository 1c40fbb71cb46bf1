//! A template of 10,000 bytes.

use toolhost_plugin::{Contents, Error, Resource, Resources, Template, plugin};

struct Templates;

impl Resources for Templates {
    fn list() -> Result<Vec<Resource>, Error> {
        Ok(Vec::new())
    }

    fn templates() -> Vec<Template> {
        vec![Template::new("x:".to_owned() + &"x".repeat(9_998), "dear")]
    }

    fn read(uri: &str) -> Result<Contents, Error> {
        Err(Error::not_found(uri))
    }
}

plugin! {
    resources: Templates,
}
