//! What stands in the parentheses of `#[tool(…)]` and `#[prompt(…)]`.

use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, Ident, LitBool, LitStr, Token};

/// The options as written; a hint that is not given stays unset.
#[derive(Default)]
pub(crate) struct Options {
    name: Option<LitStr>,
    pub(crate) title: Option<String>,
    pub(crate) icons: Vec<String>,
    pub(crate) input_schema: Option<Expr>,
    pub(crate) output_schema: Option<Expr>,
    pub(crate) read_only: Option<bool>,
    pub(crate) destructive: Option<bool>,
    pub(crate) idempotent: Option<bool>,
    pub(crate) open_world: Option<bool>,
}

impl Options {
    /// The tool's or prompt's name; a tool's must be what every model API takes.
    pub(crate) fn checked_name(&self, function: &Ident, kind: &str) -> Result<String, Error> {
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
                format!("`{name}` cannot name a {kind}: 1 to 64 letters, digits, `_` and `-`"),
            ));
        }
        Ok(name)
    }
}

impl Options {
    /// Those of a tool.
    pub(crate) fn of_tool(input: ParseStream) -> Result<Self, Error> {
        Self::parse(input, |options, key, input| {
            match key {
                "read_only" => options.read_only = Some(flag(input)?),
                "destructive" => options.destructive = Some(flag(input)?),
                "additive" => options.destructive = Some(!flag(input)?),
                "idempotent" => options.idempotent = Some(flag(input)?),
                "open_world" => options.open_world = Some(flag(input)?),
                "closed_world" => options.open_world = Some(!flag(input)?),
                "input_schema" => options.input_schema = Some(value(input)?),
                "output_schema" => options.output_schema = Some(value(input)?),
                _ => {
                    return Ok(Some(
                        ", read_only, destructive, additive, idempotent, open_world, closed_world, input_schema = …, \
                         output_schema = …",
                    ));
                }
            }
            Ok(None)
        })
    }

    /// Those of a prompt.
    pub(crate) fn of_prompt(input: ParseStream) -> Result<Self, Error> {
        Self::parse(input, |_, _, _| Ok(Some("")))
    }

    /// `others` takes an option that not all attributes have, or says which there are.
    fn parse(
        input: ParseStream,
        others: fn(&mut Self, &str, ParseStream) -> Result<Option<&'static str>, Error>,
    ) -> Result<Self, Error> {
        let mut options = Self::default();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            match key.to_string().as_str() {
                "name" => options.name = Some(value(input)?),
                "title" => options.title = Some(value::<LitStr>(input)?.value()),
                "icon" => options.icons.push(value::<LitStr>(input)?.value()),
                other => {
                    if let Some(known) = others(&mut options, other, input)? {
                        return Err(Error::new(
                            key.span(),
                            format!(
                                "unknown option `{other}`; there are name = \"…\", title = \"…\", icon = \"…\"{known}"
                            ),
                        ));
                    }
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
