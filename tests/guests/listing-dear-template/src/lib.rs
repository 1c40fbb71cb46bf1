//! A template of 500 variables.

use toolhost_plugin::{Contents, Error, Resource, Resources, Template, plugin};

struct Templates;

impl Resources for Templates {
    fn list() -> Result<Vec<Resource>, Error> {
        Ok(Vec::new())
    }

    fn templates() -> Vec<Template> {
        vec![Template::new("x:".to_owned() + &"{+x}".repeat(500), "dear")]
    }

    fn read(uri: &str) -> Result<Contents, Error> {
        Err(Error::not_found(uri))
    }
}

plugin! {
    resources: Templates,
}
