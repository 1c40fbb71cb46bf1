//! What stands in the parentheses of `#[tool(…)]`.

use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitBool, LitStr, Token};

/// The options as written; a hint that is not given stays unset.
#[derive(Default)]
pub(crate) struct Options {
    name: Option<LitStr>,
    pub(crate) title: Option<String>,
    pub(crate) read_only: Option<bool>,
    pub(crate) destructive: Option<bool>,
    pub(crate) idempotent: Option<bool>,
    pub(crate) open_world: Option<bool>,
}

impl Options {
    /// The tool's name, which must be what every model API takes.
    pub(crate) fn checked_name(&self, function: &Ident) -> Result<String, Error> {
        let (name, span) = match &self.name {
            Some(name) => (name.value(), name.span()),
            None => (
                function.to_string().trim_start_matches("r#").to_owned(),
                function.span(),
            ),
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(legal) {
            return Err(Error::new(
                span,
                format!("`{name}` cannot name a tool: 1 to 64 letters, digits, `_` and `-`"),
            ));
        }
        Ok(name)
    }
}

impl Parse for Options {
    fn parse(input: ParseStream) -> Result<Self, Error> {
        let mut options = Self::default();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            match key.to_string().as_str() {
                "name" => options.name = Some(value(input)?),
                "title" => options.title = Some(value::<LitStr>(input)?.value()),
                "read_only" => options.read_only = Some(flag(input)?),
                "destructive" => options.destructive = Some(flag(input)?),
                "additive" => options.destructive = Some(!flag(input)?),
                "idempotent" => options.idempotent = Some(flag(input)?),
                "open_world" => options.open_world = Some(flag(input)?),
                "closed_world" => options.open_world = Some(!flag(input)?),
                other => {
                    return Err(Error::new(
                        key.span(),
                        format!(
                            "unknown option `{other}`; there are name = \"…\", title = \"…\", read_only, \
                             destructive, additive, idempotent, open_world, closed_world"
                        ),
                    ));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

fn value<T: Parse>(input: ParseStream) -> Result<T, Error> {
    input.parse::<Token![=]>()?;
    input.parse()
}

/// `read_only` and `read_only = true` mean the same.
fn flag(input: ParseStream) -> Result<bool, Error> {
    if input.peek(Token![=]) {
        return Ok(value::<LitBool>(input)?.value);
    }
    Ok(true)
}
