//! The functions of `wit/world.wit`, which become the tools of the plugin `{{name}}`.

wit_bindgen::generate!({ world: "tools" });

struct Tools;

impl Guest for Tools {
    fn greet(name: String) -> Result<String, String> {
        let name = name.trim();
        match name.is_empty() {
            true => Err("`name` is empty".to_owned()),
            false => Ok(format!("Hello, {name}!")),
        }
    }
}

export!(Tools);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_greets() {
        assert_eq!(Tools::greet("Ada".to_owned()).unwrap(), "Hello, Ada!");
    }

    #[test]
    fn a_greeting_needs_a_name() {
        assert_eq!(Tools::greet(" ".to_owned()).unwrap_err(), "`name` is empty");
    }
}
