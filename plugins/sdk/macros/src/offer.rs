//! Parses the input of `plugin!(…)`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, Path, Token, Type, bracketed};

/// What a plugin exports. Tools are always exported, even if there are none.
#[derive(Default)]
pub(crate) struct Offer {
    tools: Option<Paths>,
    resources: Option<Type>,
    prompts: Option<Paths>,
    completion: Option<Path>,
}

type Paths = Punctuated<Path, Token![,]>;

impl Offer {
    pub(crate) fn expand(self) -> TokenStream {
        let (tools, tool_names) = named(self.tools.unwrap_or_default(), "tool");
        let resources = self
            .resources
            .map(|ty| quote!(::toolhost_plugin::__plugin_resources!(#ty);));
        let prompts = self.prompts.map(|paths| {
            let (prompts, names) = named(paths, "prompt");
            quote!(#prompts ::toolhost_plugin::__plugin_prompts!(#(#names),*);)
        });
        let completion = self
            .completion
            .map(|path| quote!(::toolhost_plugin::__plugin_completion!(#path);));
        quote! {
            const _: () = {
                #tools
                ::toolhost_plugin::__plugin_tools!(#(#tool_names),*);
                #resources
                #prompts
                #completion
            };
        }
    }
}

/// Aliases of functions. If the attribute was forgotten, there is no type with the function's name, and the compiler's
/// error quotes the alias.
fn named(paths: Paths, attribute: &str) -> (TokenStream, Vec<Ident>) {
    let mut names: Vec<Ident> = Vec::new();
    let mut uses = TokenStream::new();
    for path in paths {
        let Some(last) = path.segments.last() else {
            continue;
        };
        let function = last.ident.to_string();
        let name = format!(
            "{}_lacks_the_attribute_{attribute}",
            function.trim_start_matches("r#")
        );
        let mut name = Ident::new(&name, last.ident.span());
        if names.contains(&name) {
            name = Ident::new(&format!("{name}_{}", names.len()), name.span());
        }
        uses.extend(quote!(use #path as #name;));
        names.push(name);
    }
    (uses, names)
}

impl Parse for Offer {
    fn parse(input: ParseStream) -> Result<Self, Error> {
        if input.is_empty() {
            return Err(input.error(
                "a plugin offers something: plugin!(tool, …), or plugin! { tools: […], resources: …, prompts: […], \
                 completion: … }",
            ));
        }
        // A single colon, not the `::` of a path.
        if !(input.peek(Ident) && input.peek2(Token![:]) && !input.peek2(Token![::])) {
            return Ok(Self {
                tools: Some(Paths::parse_terminated(input)?),
                ..Self::default()
            });
        }
        let mut offer = Self::default();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            input.parse::<Token![:]>()?;
            let twice = match key.to_string().as_str() {
                "tools" => offer.tools.replace(list(input)?).is_some(),
                "resources" => offer.resources.replace(input.parse()?).is_some(),
                "prompts" => offer.prompts.replace(list(input)?).is_some(),
                "completion" => offer.completion.replace(input.parse()?).is_some(),
                other => {
                    return Err(Error::new(
                        key.span(),
                        format!(
                            "a plugin has no `{other}`; there are tools: […], resources: …, prompts: […], completion: …"
                        ),
                    ));
                }
            };
            if twice {
                return Err(Error::new(key.span(), format!("`{key}` is there already")));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(offer)
    }
}

fn list(input: ParseStream) -> Result<Paths, Error> {
    let paths;
    bracketed!(paths in input);
    Paths::parse_terminated(&paths)
}
