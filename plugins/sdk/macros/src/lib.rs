//! The attributes `#[tool]`, `#[prompt]`, `#[arguments]` and `#[structured]`, and `plugin!`. Use them through
//! `toolhost-plugin`, which documents them.

mod offer;
mod options;

use offer::Offer;
use options::Options;
use proc_macro::TokenStream;
use proc_macro2::TokenStream as TokenStream2;
use quote::quote;
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, Ident, ItemFn, Lit, Meta, ReturnType, Type, Visibility,
    spanned::Spanned,
};

/// Makes a tool of a documented function: see the documentation of `toolhost-plugin`.
#[proc_macro_attribute]
pub fn tool(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = syn::parse_macro_input!(options with Options::of_tool);
    let function = syn::parse_macro_input!(item as ItemFn);
    expanded(&function, tool_of(options, &function))
}

/// Makes a prompt of a documented function: see the documentation of `toolhost-plugin`.
#[proc_macro_attribute]
pub fn prompt(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = syn::parse_macro_input!(options with Options::of_prompt);
    let function = syn::parse_macro_input!(item as ItemFn);
    expanded(&function, prompt_of(options, &function))
}

/// Makes the crate a plugin: see the documentation of `toolhost-plugin`.
#[proc_macro]
pub fn plugin(input: TokenStream) -> TokenStream {
    syn::parse_macro_input!(input as Offer).expand().into()
}

/// The function stays in any case, so that the only error shown is the one that matters.
fn expanded(function: &ItemFn, made: Result<TokenStream2, Error>) -> TokenStream {
    let made = made.unwrap_or_else(Error::into_compile_error);
    quote!(#function #made).into()
}

/// Derives what a tool's arguments need: see the documentation of `toolhost-plugin`.
#[proc_macro_attribute]
pub fn arguments(options: TokenStream, item: TokenStream) -> TokenStream {
    derive(&options.into(), &item.into(), &quote!(Deserialize))
}

/// Derives what a structured result needs: see the documentation of `toolhost-plugin`.
#[proc_macro_attribute]
pub fn structured(options: TokenStream, item: TokenStream) -> TokenStream {
    derive(&options.into(), &item.into(), &quote!(Serialize))
}

/// The derives, told where the author's crate finds serde and schemars without depending on them.
fn derive(options: &TokenStream2, item: &TokenStream2, direction: &TokenStream2) -> TokenStream {
    if !options.is_empty() {
        let error = Error::new(
            options.span(),
            "no options here; use #[serde(…)] and #[schemars(…)]",
        )
        .into_compile_error();
        return quote!(#item #error).into();
    }
    quote! {
        #[derive(::toolhost_plugin::serde::#direction, ::toolhost_plugin::schemars::JsonSchema)]
        #[serde(crate = "::toolhost_plugin::serde")]
        #[schemars(crate = "::toolhost_plugin::schemars")]
        #item
    }
    .into()
}

/// What tools and prompts have in common.
struct Documented<'a> {
    name: String,
    description: String,
    title: TokenStream2,
    icons: TokenStream2,
    /// The type of the one argument, if there is one.
    argument: Option<&'a Type>,
    visibility: &'a Visibility,
    ident: &'a Ident,
}

impl<'a> Documented<'a> {
    fn new(
        options: &Options,
        function: &'a ItemFn,
        kind: &str,
        reader: &str,
    ) -> Result<Self, Error> {
        let signature = &function.sig;
        let ident = &signature.ident;
        if let Some(asyncness) = &signature.asyncness {
            return Err(Error::new(
                asyncness.span(),
                format!("a {kind} is not async: its instance serves one call"),
            ));
        }
        if !signature.generics.params.is_empty() {
            return Err(Error::new(
                signature.generics.span(),
                format!("a {kind} cannot be generic"),
            ));
        }
        let description = documentation(&function.attrs);
        if description.trim().is_empty() {
            return Err(Error::new(
                ident.span(),
                format!(
                    "a {kind} needs a doc comment (`/// …`): it is the description that the {reader} reads"
                ),
            ));
        }
        let mut inputs = signature.inputs.iter();
        let argument = match (inputs.next(), inputs.next()) {
            (None, _) => None,
            (Some(FnArg::Typed(argument)), None) => Some(&*argument.ty),
            (Some(argument), _) => {
                return Err(Error::new(
                    argument.span(),
                    format!(
                        "a {kind} takes one argument, a struct with a field for each argument of the {kind}, or none"
                    ),
                ));
            }
        };
        let icons = &options.icons;
        Ok(Self {
            name: options.checked_name(ident, kind)?,
            description,
            title: option(
                options
                    .title
                    .as_ref()
                    .map(|title| quote!(::std::string::String::from(#title))),
            ),
            icons: quote!(::std::vec![#(::toolhost_plugin::__private::Icon::from(#icons)),*]),
            argument,
            visibility: &function.vis,
            ident,
        })
    }

    /// A type of the function's name: `use` of the function brings both, so `plugin!` needs the name alone.
    fn marker(&self) -> TokenStream2 {
        let Self {
            visibility, ident, ..
        } = self;
        quote! {
            #[doc(hidden)]
            #[allow(non_camel_case_types)]
            #visibility enum #ident {}
        }
    }
}

fn tool_of(options: Options, function: &ItemFn) -> Result<TokenStream2, Error> {
    let documented = Documented::new(&options, function, "tool", "model")?;
    let marker = documented.marker();
    let Documented {
        name,
        description,
        title,
        icons,
        argument,
        ident,
        ..
    } = documented;
    let (schema, call) = match argument {
        None => (
            quote!(::toolhost_plugin::__private::no_arguments()),
            quote! {
                let _ = arguments;
                ::toolhost_plugin::IntoResult::into_result(#ident())
            },
        ),
        Some(ty) => (
            quote!(::toolhost_plugin::__private::schema_of_arguments::<#ty>()),
            quote! {
                let arguments: #ty = ::toolhost_plugin::__private::parse(arguments)?;
                ::toolhost_plugin::IntoResult::into_result(#ident(arguments))
            },
        ),
    };
    let schema = match options.input_schema {
        Some(written) => quote!(::std::string::String::from(#written)),
        None => schema,
    };
    let output = match &function.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    let output_schema = match options.output_schema {
        Some(written) => option(Some(quote!(::std::string::String::from(#written)))),
        None => quote!(::toolhost_plugin::__private::schema_of_output::<#output>()),
    };
    let [read_only, destructive, idempotent, open_world] = [
        options.read_only,
        options.destructive,
        options.idempotent,
        options.open_world,
    ]
    .map(|hint| option(hint.map(|hint| quote!(#hint))));

    Ok(quote! {
        #marker

        impl ::toolhost_plugin::__private::Tool for #ident {
            const NAME: &'static str = #name;

            fn describe() -> ::toolhost_plugin::__private::Description {
                ::toolhost_plugin::__private::Description {
                    name: ::std::string::String::from(#name),
                    title: #title,
                    description: ::toolhost_plugin::__private::paragraphs(#description),
                    icons: #icons,
                    input_schema: #schema,
                    output_schema: #output_schema,
                    annotations: ::toolhost_plugin::__private::Annotations {
                        read_only: #read_only,
                        destructive: #destructive,
                        idempotent: #idempotent,
                        open_world: #open_world,
                    },
                }
            }

            fn call(
                arguments: &str,
            ) -> ::std::result::Result<::toolhost_plugin::Output, ::toolhost_plugin::Error> {
                #call
            }
        }
    })
}

fn prompt_of(options: Options, function: &ItemFn) -> Result<TokenStream2, Error> {
    let documented = Documented::new(&options, function, "prompt", "user")?;
    let marker = documented.marker();
    let Documented {
        name,
        description,
        title,
        icons,
        argument,
        ident,
        ..
    } = documented;
    let (arguments, get) = match argument {
        None => (
            quote!(::std::vec::Vec::new()),
            quote! {
                let _ = arguments;
                ::toolhost_plugin::IntoConversation::into_conversation(#ident())
            },
        ),
        Some(ty) => (
            quote!(::toolhost_plugin::__private::arguments_of::<#ty>()),
            quote! {
                let arguments: #ty = ::toolhost_plugin::__private::parse_texts(arguments)?;
                ::toolhost_plugin::IntoConversation::into_conversation(#ident(arguments))
            },
        ),
    };

    Ok(quote! {
        #marker

        impl ::toolhost_plugin::__private::Prompt for #ident {
            const NAME: &'static str = #name;

            fn describe() -> ::toolhost_plugin::__private::PromptDescription {
                ::toolhost_plugin::__private::PromptDescription {
                    name: ::std::string::String::from(#name),
                    title: #title,
                    description: ::std::option::Option::Some(
                        ::toolhost_plugin::__private::paragraphs(#description),
                    ),
                    icons: #icons,
                    arguments: #arguments,
                }
            }

            fn get(
                arguments: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
            ) -> ::std::result::Result<::toolhost_plugin::Conversation, ::toolhost_plugin::Error> {
                #get
            }
        }
    })
}

fn option(value: Option<TokenStream2>) -> TokenStream2 {
    match value {
        Some(value) => quote!(::std::option::Option::Some(#value)),
        None => quote!(::std::option::Option::None),
    }
}

fn documentation(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes {
        let Meta::NameValue(pair) = &attribute.meta else {
            continue;
        };
        if !pair.path.is_ident("doc") {
            continue;
        }
        if let Expr::Lit(ExprLit {
            lit: Lit::Str(line),
            ..
        }) = &pair.value
        {
            let line = line.value();
            text.push_str(line.strip_prefix(' ').unwrap_or(&line));
            text.push('\n');
        }
    }
    text
}
