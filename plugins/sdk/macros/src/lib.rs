//! The attributes `#[tool]`, `#[arguments]` and `#[structured]`. Use them through `toolhost-plugin`, which documents them.

mod options;

use options::Options;
use proc_macro::TokenStream;
use proc_macro2::TokenStream as TokenStream2;
use quote::quote;
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, ItemFn, Lit, Meta, ReturnType, spanned::Spanned,
};

/// Makes a tool of a documented function: see the documentation of `toolhost-plugin`.
#[proc_macro_attribute]
pub fn tool(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = syn::parse_macro_input!(options as Options);
    let function = syn::parse_macro_input!(item as ItemFn);
    expand(options, &function)
        .unwrap_or_else(|error| {
            // The function stays, so that the only error shown is the one that matters.
            let error = error.into_compile_error();
            quote!(#function #error)
        })
        .into()
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

fn expand(options: Options, function: &ItemFn) -> Result<TokenStream2, Error> {
    let signature = &function.sig;
    let ident = &signature.ident;
    if let Some(asyncness) = &signature.asyncness {
        return Err(Error::new(
            asyncness.span(),
            "a tool is not async: its instance serves one call",
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(
            signature.generics.span(),
            "a tool cannot be generic",
        ));
    }
    let description = documentation(&function.attrs);
    if description.trim().is_empty() {
        return Err(Error::new(
            ident.span(),
            "a tool needs a doc comment (`/// …`): it is the description that the model reads",
        ));
    }
    let name = options.checked_name(ident)?;

    let mut inputs = signature.inputs.iter();
    let (schema, call) = match (inputs.next(), inputs.next()) {
        (None, _) => (
            quote!(::toolhost_plugin::__private::no_arguments()),
            quote! {
                let _ = arguments;
                ::toolhost_plugin::IntoResult::into_result(#ident())
            },
        ),
        (Some(FnArg::Typed(argument)), None) => {
            let ty = &argument.ty;
            (
                quote!(::toolhost_plugin::__private::schema_of_arguments::<#ty>()),
                quote! {
                    let arguments: #ty = ::toolhost_plugin::__private::parse(arguments)?;
                    ::toolhost_plugin::IntoResult::into_result(#ident(arguments))
                },
            )
        }
        (Some(argument), _) => {
            return Err(Error::new(
                argument.span(),
                "a tool takes one argument, a struct with a field for each argument of the tool, or none",
            ));
        }
    };
    let output = match &signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    let visibility = &function.vis;
    let title = option(
        options
            .title
            .map(|title| quote!(::std::string::String::from(#title))),
    );
    let [read_only, destructive, idempotent, open_world] = [
        options.read_only,
        options.destructive,
        options.idempotent,
        options.open_world,
    ]
    .map(|hint| option(hint.map(|hint| quote!(#hint))));

    // A type of the function's name: `use` of the function brings both, so `plugin!` needs the name alone.
    Ok(quote! {
        #function

        #[doc(hidden)]
        #[allow(non_camel_case_types)]
        #visibility enum #ident {}

        impl ::toolhost_plugin::__private::Tool for #ident {
            const NAME: &'static str = #name;

            fn describe() -> ::toolhost_plugin::__private::Description {
                ::toolhost_plugin::__private::Description {
                    name: ::std::string::String::from(#name),
                    title: #title,
                    description: ::toolhost_plugin::__private::paragraphs(#description),
                    input_schema: #schema,
                    output_schema: ::toolhost_plugin::__private::schema_of_output::<#output>(),
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
