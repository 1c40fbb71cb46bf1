//! The tools of the plugin `{{name}}`: documented functions.

use toolhost_plugin::{Error, arguments, log, plugin, tool};

#[arguments]
struct Greet {
    /// Name of the person.
    name: String,
}

/// Greets a person.
#[tool(read_only, idempotent, closed_world)]
fn greet(args: Greet) -> Result<String, Error> {
    let name = args.name.trim();
    if name.is_empty() {
        return Err(Error::invalid_arguments("`name` is empty"));
    }
    log::info(format!("greeting {name}"));
    Ok(format!("Hello, {name}!"))
}

plugin!(greet);

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(name: &str) -> Result<String, Error> {
        greet(Greet { name: name.to_owned() })
    }

    #[test]
    fn it_greets() {
        assert_eq!(greeting("Ada").unwrap(), "Hello, Ada!");
    }

    #[test]
    fn a_greeting_needs_a_name() {
        let error = greeting(" ").unwrap_err();
        assert_eq!(error.to_string(), "`name` is empty");
    }
}
