//! Parses the options of `#[tool(…)]` and `#[prompt(…)]`.

use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, Ident, LitBool, LitStr, Token};

/// The options as written; hints are `None` by default.
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
    /// The name of the tool or prompt. A tool's name must be valid in every model API.
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
    /// Parses the options of a tool.
    pub(crate) fn of_tool(input: ParseStream) -> Result<Self, Error> {
        Self::parse(input, |options, key, input| {
            match key.to_string().as_str() {
                "read_only" => once(&mut options.read_only, flag(input)?, key)?,
                "destructive" => once(&mut options.destructive, flag(input)?, key)?,
                "additive" => once(&mut options.destructive, !flag(input)?, key)?,
                "idempotent" => once(&mut options.idempotent, flag(input)?, key)?,
                "open_world" => once(&mut options.open_world, flag(input)?, key)?,
                "closed_world" => once(&mut options.open_world, !flag(input)?, key)?,
                "input_schema" => options.input_schema = Some(value(input)?),
                "output_schema" => options.output_schema = Some(value(input)?),
                _ => {
                    return Ok(Some(
                        ", read_only, destructive, additive, idempotent, open_world, closed_world, input_schema = …, \
                         output_schema = …",
                    ));
                }
            }
            if options.read_only == Some(true) && options.destructive.is_some() {
                return Err(Error::new(
                    key.span(),
                    "a tool that is `read_only` changes nothing: it is neither `destructive` nor `additive`",
                ));
            }
            Ok(None)
        })
    }

    /// Parses the options of a prompt.
    pub(crate) fn of_prompt(input: ParseStream) -> Result<Self, Error> {
        Self::parse(input, |_, _, _| Ok(Some("")))
    }

    /// `others` parses the options that only one of the attributes has, or returns their names.
    fn parse(
        input: ParseStream,
        others: fn(&mut Self, &Ident, ParseStream) -> Result<Option<&'static str>, Error>,
    ) -> Result<Self, Error> {
        let mut options = Self::default();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            match key.to_string().as_str() {
                "name" => options.name = Some(value(input)?),
                "title" => options.title = Some(value::<LitStr>(input)?.value()),
                "icon" => options.icons.push(value::<LitStr>(input)?.value()),
                other => {
                    if let Some(known) = others(&mut options, &key, input)? {
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

/// A hint with two options, of which at most one may be given.
fn once(hint: &mut Option<bool>, value: bool, key: &Ident) -> Result<(), Error> {
    match hint.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::new(
            key.span(),
            format!("`{key}`: another option says that already"),
        )),
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
