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
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, Fields, FnArg, Ident, ItemFn, Lit, Meta,
    ReturnType, Type, parse::Parser, parse_quote, spanned::Spanned,
};

/// Makes a documented function a tool: see the documentation of `toolhost-plugin`.
#[proc_macro_attribute]
pub fn tool(options: TokenStream, item: TokenStream) -> TokenStream {
    let function = syn::parse_macro_input!(item as ItemFn);
    let made = Options::of_tool
        .parse(options)
        .and_then(|options| tool_of(options, &function));
    expanded("tool", &function, made)
}

/// Makes a documented function a prompt: see the documentation of `toolhost-plugin`.
#[proc_macro_attribute]
pub fn prompt(options: TokenStream, item: TokenStream) -> TokenStream {
    let function = syn::parse_macro_input!(item as ItemFn);
    let made = Options::of_prompt
        .parse(options)
        .and_then(|options| prompt_of(&options, &function));
    expanded("prompt", &function, made)
}

/// Makes the crate a plugin: see the documentation of `toolhost-plugin`.
#[proc_macro]
pub fn plugin(input: TokenStream) -> TokenStream {
    syn::parse_macro_input!(input as Offer).expand().into()
}

/// After an error, keeps the function and stubs for `plugin!`, so that no further errors follow.
fn expanded(kind: &str, function: &ItemFn, made: Result<TokenStream2, Error>) -> TokenStream {
    let marker = marker(function);
    let made = made.unwrap_or_else(|error| {
        let (error, nothing) = (error.into_compile_error(), nothing_of(kind, function));
        quote!(#error #nothing)
    });
    quote!(#function #marker #made).into()
}

/// Derives the traits of a tool's arguments: see the documentation of `toolhost-plugin`.
#[proc_macro_attribute]
pub fn arguments(options: TokenStream, item: TokenStream) -> TokenStream {
    let object = syn::parse(item.clone()).ok().and_then(as_arguments);
    derive(&options.into(), &item.into(), &quote!(Deserialize), object)
}

/// Derives the traits of a structured result: see the documentation of `toolhost-plugin`.
#[proc_macro_attribute]
pub fn structured(options: TokenStream, item: TokenStream) -> TokenStream {
    derive(&options.into(), &item.into(), &quote!(Serialize), None)
}

/// The derives, with paths to the serde and schemars of this SDK.
fn derive(
    options: &TokenStream2,
    item: &TokenStream2,
    direction: &TokenStream2,
    more: Option<TokenStream2>,
) -> TokenStream {
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
        #more
    }
    .into()
}

/// Implements `Arguments` for a type whose JSON is an object: a struct with named fields, or an enum whose variants are
/// objects.
fn as_arguments(item: DeriveInput) -> Option<TokenStream2> {
    let is_object = match &item.data {
        Data::Struct(it) => !matches!(it.fields, Fields::Unnamed(_)),
        Data::Enum(it) => it.variants.iter().any(|it| !it.fields.is_empty()),
        Data::Union(_) => false,
    };
    // Arguments must be owned: their JSON is dropped before the tool runs.
    if !is_object || item.generics.lifetimes().next().is_some() {
        return None;
    }
    let (ident, mut generics) = (item.ident, item.generics);
    if generics.type_params().next().is_some() {
        let (_, of, _) = generics.split_for_impl();
        let is: syn::WherePredicate = parse_quote! {
            #ident #of: ::toolhost_plugin::serde::de::DeserializeOwned + ::toolhost_plugin::schemars::JsonSchema
        };
        generics.make_where_clause().predicates.push(is);
    }
    let (params, of, bounds) = generics.split_for_impl();
    Some(quote!(impl #params ::toolhost_plugin::Arguments for #ident #of #bounds {}))
}

/// A function with `#[tool]` or `#[prompt]`.
struct Documented<'a> {
    name: String,
    description: String,
    title: TokenStream2,
    icons: TokenStream2,
    /// The type of its parameter, if it has one.
    argument: Option<&'a Type>,
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
        if let Some(asyncness) = &signature.asyncness
            && kind != "tool"
        {
            let message = format!("a {kind} is not async; a tool may be");
            return Err(Error::new(asyncness.span(), message));
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
            (Some(FnArg::Receiver(receiver)), _) => {
                return Err(Error::new(
                    receiver.span(),
                    format!("a {kind} is a function of its own: it has no `self`"),
                ));
            }
            (Some(_), Some(second)) => {
                return Err(Error::new(
                    second.span(),
                    format!(
                        "a {kind} takes one struct with a field for each argument, or nothing: write\n\n{}\n\nand take \
                         `args: Arguments`",
                        struct_of(function)
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
            ident,
        })
    }
}

/// The struct of arguments that the author should write.
fn struct_of(function: &ItemFn) -> String {
    let inputs = function.sig.inputs.iter().filter_map(|it| match it {
        FnArg::Typed(it) => Some(it),
        FnArg::Receiver(_) => None,
    });
    let fields = inputs.map(|it| {
        let (name, ty) = (&it.pat, &it.ty);
        let name = quote!(#name).to_string();
        let ty = quote!(#ty).to_string().replace(' ', "");
        format!("    /// What the model is to give here.\n    {name}: {ty},\n")
    });
    let fields: String = fields.collect();
    format!("#[arguments]\nstruct Arguments {{\n{fields}}}")
}

fn tool_of(options: Options, function: &ItemFn) -> Result<TokenStream2, Error> {
    let Documented {
        name,
        description,
        title,
        icons,
        argument,
        ident,
    } = Documented::new(&options, function, "tool", "model")?;
    let output = match &function.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    // Report unsuitable types once, where they are written.
    let block_on = quote!(::toolhost_plugin::__private::block_on);
    let run = match (function.sig.asyncness, argument) {
        (None, _) => quote!(#ident),
        (Some(_), None) => quote!(|| #block_on(#ident())),
        (Some(_), Some(_)) => quote!(|arguments| #block_on(#ident(arguments))),
    };
    let made = match argument {
        None => quote!(::toolhost_plugin::__private::tool::<#output>(#run)),
        Some(ty) => quote!(::toolhost_plugin::__private::tool_of::<#ty, #output>(#run)),
    };
    let written =
        |schema: Option<Expr>| option(schema.map(|it| quote!(::std::string::String::from(#it))));
    let input_schema = written(options.input_schema);
    let output_schema = written(options.output_schema);
    let [read_only, destructive, idempotent, open_world] = [
        options.read_only,
        options.destructive,
        options.idempotent,
        options.open_world,
    ]
    .map(|hint| option(hint.map(|hint| quote!(#hint))));

    Ok(quote! {
        impl ::toolhost_plugin::__private::Tool for #ident {
            const NAME: &'static str = #name;

            fn describe() -> ::toolhost_plugin::__private::Description {
                let made = Self::made();
                let input_schema: ::std::option::Option<::std::string::String> = #input_schema;
                let output_schema: ::std::option::Option<::std::string::String> = #output_schema;
                ::toolhost_plugin::__private::Description {
                    name: ::std::string::String::from(#name),
                    title: #title,
                    description: ::toolhost_plugin::__private::paragraphs(#description),
                    icons: #icons,
                    input_schema: input_schema.unwrap_or_else(made.input_schema),
                    output_schema: output_schema.or_else(made.output_schema),
                    annotations: ::toolhost_plugin::__private::Annotations {
                        read_only: #read_only,
                        destructive: #destructive,
                        idempotent: #idempotent,
                        open_world: #open_world,
                    },
                }
            }

            fn made() -> ::toolhost_plugin::__private::Made {
                #made
            }
        }
    })
}

fn prompt_of(options: &Options, function: &ItemFn) -> Result<TokenStream2, Error> {
    let Documented {
        name,
        description,
        title,
        icons,
        argument,
        ident,
    } = Documented::new(options, function, "prompt", "user")?;
    let output = match &function.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    let made = match argument {
        None => quote!(::toolhost_plugin::__private::prompt::<#output>(#ident)),
        Some(ty) => quote!(::toolhost_plugin::__private::prompt_of::<#ty, #output>(#ident)),
    };

    Ok(quote! {
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
                    arguments: Self::made().arguments(),
                }
            }

            fn made() -> ::toolhost_plugin::__private::MadePrompt {
                #made
            }
        }
    })
}

/// A type with the function's name: `use` imports both, so `plugin!` needs only the name.
fn marker(function: &ItemFn) -> TokenStream2 {
    let (visibility, ident) = (&function.vis, &function.sig.ident);
    quote! {
        #[doc(hidden)]
        #[allow(non_camel_case_types)]
        #visibility enum #ident {}
    }
}

/// A stub for an invalid tool or prompt, so that `plugin!` reports no further errors.
fn nothing_of(kind: &str, function: &ItemFn) -> TokenStream2 {
    let ident = &function.sig.ident;
    let private = quote!(::toolhost_plugin::__private);
    let (of, description, made) = match kind {
        "tool" => (quote!(Tool), quote!(Description), quote!(Made)),
        _ => (
            quote!(Prompt),
            quote!(PromptDescription),
            quote!(MadePrompt),
        ),
    };
    quote! {
        impl #private::#of for #ident {
            const NAME: &'static str = "";
            fn describe() -> #private::#description { ::std::unreachable!() }
            fn made() -> #private::#made { ::std::unreachable!() }
        }
    }
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
