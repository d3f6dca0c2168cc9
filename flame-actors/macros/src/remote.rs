//! `#[remote]`: an `async fn`, or a `fn` that returns a stream, becomes the description of its call.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{
    Attribute, FnArg, GenericArgument, Ident, Pat, PathArguments, Result, ReturnType, Signature, Type, TypeGroup,
    TypeImplTrait, TypeParamBound, TypeParen, Visibility,
};

use crate::travel::{Errors, Travel};

/// As many elements as serde gives a tuple.
const MAX_ARGUMENTS: usize = 16;

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let original = item.clone();
    let mut errors = Errors::default();
    if !options.is_empty() {
        errors.at(options, "`#[remote]` takes no options: time limits are given to the call");
    }
    let expanded = syn::parse2::<Item>(item).and_then(|item| item.expand(&mut errors));
    let expanded = errors.catch(expanded);
    match (errors.result(), expanded) {
        (Ok(()), Some(expanded)) => expanded,
        (Err(error), _) => {
            // The function stays, so that its callers do not add errors of their own.
            let error = error.into_compile_error();
            quote!(#error #[allow(warnings)] #original)
        }
        (Ok(()), None) => original,
    }
}

/// A function whose body is left to the compiler: only the signature matters here.
struct Item {
    attrs: Vec<Attribute>,
    vis: Visibility,
    sig: Signature,
    body: TokenStream,
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let sig = input
            .parse()
            .map_err(|error| syn::Error::new(error.span(), "`#[remote]` describes an `async fn`: put it on one"))?;
        if !input.peek(syn::token::Brace) {
            return Err(input.error("`#[remote]` describes a function with a body: `async fn name(..) -> R { .. }`"));
        }
        Ok(Self { attrs, vis, sig, body: input.parse()? })
    }
}

impl Item {
    fn expand(self, errors: &mut Errors) -> Result<TokenStream> {
        let Self { attrs, vis, sig, body } = self;
        let items = items(&sig.output)?;
        check(&sig, items.is_some(), errors);

        let mut params = Vec::new();
        for input in &sig.inputs {
            match input {
                FnArg::Receiver(receiver) => errors.at(
                    receiver,
                    "no `self` travels: take what the function needs of it as arguments, or place an actor",
                ),
                FnArg::Typed(typed) => {
                    if let Some(travel) = errors.catch(Travel::in_function(&typed.ty)) {
                        params.push(Param {
                            attrs: typed.attrs.clone(),
                            pattern: (*typed.pat).clone(),
                            ty: (*typed.ty).clone(),
                            travel,
                        });
                    }
                }
            }
        }
        let (output, stream) = match (items, &sig.output) {
            (Some((item, stream)), _) => (item, Some(stream)),
            (None, ReturnType::Default) => (unit(sig.ident.span()), None),
            (None, ReturnType::Type(_, ty)) => ((**ty).clone(), None),
        };
        let Some(result) = errors.catch(Travel::in_function(&output)) else {
            return Ok(TokenStream::new());
        };

        let names = outer_names(&params);
        let types: Vec<_> = params.iter().map(|param| param.ty.clone()).collect();
        let name = &sig.ident;
        let (outer, inner) = split(attrs);
        let function = Function { attrs: inner, name: name.clone(), params, output, result, stream, body };
        let description = function.describe();
        let output = &function.output;
        let task = match function.stream {
            None => quote_spanned!(output.span()=> ::flame_actors::Task<#output>),
            Some(_) => quote_spanned!(output.span()=> ::flame_actors::Yields<#output>),
        };
        Ok(quote! {
            #(#outer)*
            #[allow(clippy::too_many_arguments)]
            #vis fn #name(#(#names: #types),*) -> #task {
                #description
                <#task>::of::<__Flame>((#(#names,)*))
            }
        })
    }
}

/// The items of `impl Stream<Item = T>`, and that type; `None` for a function that returns once.
fn items(output: &ReturnType) -> Result<Option<(Type, Type)>> {
    let ReturnType::Type(_, ty) = output else { return Ok(None) };
    let mut stripped = &**ty;
    while let Type::Group(TypeGroup { elem, .. }) | Type::Paren(TypeParen { elem, .. }) = stripped {
        stripped = elem;
    }
    let Type::ImplTrait(TypeImplTrait { bounds, .. }) = stripped else { return Ok(None) };
    let stream = bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last().filter(|last| last.ident == "Stream"),
        _ => None,
    });
    let Some(stream) = stream else { return Ok(None) };
    let arguments = match &stream.arguments {
        PathArguments::AngleBracketed(arguments) => Some(&arguments.args),
        _ => None,
    };
    let item = arguments.into_iter().flatten().find_map(|argument| match argument {
        GenericArgument::AssocType(item) if item.ident == "Item" => Some(item.ty.clone()),
        _ => None,
    });
    let none =
        || syn::Error::new_spanned(ty, "which items does it yield? write `impl Stream<Item = T>` with their type");
    item.ok_or_else(none).map(|item| Some((item, (**ty).clone())))
}

fn check(sig: &Signature, yields: bool, errors: &mut Errors) {
    let name = &sig.ident;
    match (&sig.asyncness, yields) {
        (None, false) => errors.at(
            sig.fn_token,
            format!(
                "a task is asynchronous: write `async fn {name}`, or `-> impl Stream<Item = T>` for one that yields"
            ),
        ),
        (Some(asyncness), true) => errors.at(
            asyncness,
            format!("what a task that yields awaits, it awaits in its stream: write `fn {name}`, without `async`"),
        ),
        _ => {}
    }
    if let Some(unsafety) = &sig.unsafety {
        errors.at(unsafety, "a task is called by the runner, which can promise nothing: write a safe `async fn`");
    }
    if let Some(constness) = &sig.constness {
        errors.at(constness, "a task runs on a runner, not in the compiler: leave out `const`");
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, "a task is called by Rust: leave out `extern`");
    }
    if let Some(variadic) = &sig.variadic {
        errors.at(variadic, "the number of arguments is fixed: take a `Vec<T>`");
    }
    if !sig.generics.params.is_empty() {
        errors.at(
            &sig.generics,
            format!(
                "the runner finds a task by its name, not by its types: leave out the generics of `{name}`, \
                 and write one function for each type"
            ),
        );
    } else if let Some(clause) = &sig.generics.where_clause {
        errors.at(clause, "without generics there is nothing to bound: leave out the `where` clause");
    }
    if sig.inputs.len() > MAX_ARGUMENTS {
        errors.at(&sig.inputs, format!("at most {MAX_ARGUMENTS} arguments travel: put them into a struct of your own"));
    }
}

/// The function that runs on the runner, of `#[remote]` and `task!` alike.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) name: Ident,
    pub(crate) params: Vec<Param>,
    pub(crate) output: Type,
    pub(crate) result: Travel,
    /// What it returns if it yields; `output` is an item then.
    pub(crate) stream: Option<Type>,
    pub(crate) body: TokenStream,
}

pub(crate) struct Param {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) pattern: Pat,
    pub(crate) ty: Type,
    pub(crate) travel: Travel,
}

impl Function {
    /// `struct __Flame` with the function as it was, its `Remote`, and its entry in the table of tasks.
    pub(crate) fn describe(&self) -> TokenStream {
        let Self { attrs, name, params, output, result, stream, body } = self;
        let text = name.unraw().to_string();
        let args: Vec<_> = (0..params.len()).map(|n| format_ident!("__{n}", span = Span::mixed_site())).collect();
        let types: Vec<_> = params.iter().map(|param| &param.ty).collect();
        let signature = params.iter().map(|Param { attrs, pattern, ty, .. }| quote!(#(#attrs)* #pattern: #ty));
        let to_wire = params.iter().zip(&args).map(|(param, arg)| param.travel.encode(quote!(#arg)));
        let to_wire = quote!((#(#to_wire,)*));
        let from_wire = params.iter().zip(&args).map(|(param, arg)| param.travel.decode(quote!(#arg)));
        let result_to_wire = result.encode(quote!(__output));
        let result_from_wire = result.decode(quote!(__output));
        let assertions = params.iter().map(|param| &param.travel).chain([result]).flat_map(Travel::needs);
        let assertions = assertions.map(|need| need.assertion());
        // Spanned at the function's name: there the compiler says that its future is not `Send`.
        let run = match stream {
            None => quote_spanned! {name.span()=>
                impl ::flame_actors::__private::Returns for __Flame {
                    fn run((#(#args,)*): Self::Args)
                        -> impl ::core::future::Future<Output = Self::Output> + ::core::marker::Send + 'static
                    {
                        __Flame::#name(#(#args),*)
                    }
                }
            },
            Some(_) => quote_spanned! {name.span()=>
                impl ::flame_actors::__private::YieldsItems for __Flame {
                    fn run((#(#args,)*): Self::Args)
                        -> impl ::flame_actors::__private::Stream<Item = Self::Output> + ::core::marker::Send + 'static
                    {
                        __Flame::#name(#(#args),*)
                    }
                }
            },
        };
        let function = match stream {
            None => quote!(#[allow(clippy::unused_async)] async fn #name(#(#signature),*) -> #output #body),
            Some(stream) => quote!(fn #name(#(#signature),*) -> #stream #body),
        };
        let entry = if stream.is_some() { quote!(of_stream) } else { quote!(of) };
        quote! {
            struct __Flame;

            impl __Flame {
                #(#attrs)*
                #function
            }

            const _: () = {
                #[allow(unused_imports)]
                use ::flame_actors::__private::{AsItIs as _, ByCodec as _, NoCodec as _, ViaText as _};

                #(#assertions)*

                impl ::flame_actors::__private::Remote for __Flame {
                    const NAME: &'static str = ::core::concat!(::core::module_path!(), "::", #text);
                    const LOCATION: &'static str =
                        ::core::concat!(::core::file!(), ":", ::core::line!(), ":", ::core::column!());
                    type Args = (#(#types,)*);
                    type Output = #output;

                    fn encode_args(
                        (#(#args,)*): Self::Args,
                    ) -> ::core::result::Result<::std::vec::Vec<u8>, ::flame_actors::Error> {
                        let __args = #to_wire;
                        (&::flame_actors::__private::Codec::of(&__args)).encode(&__args)
                    }

                    fn decode_args(
                        __bytes: &[u8],
                    ) -> ::core::result::Result<Self::Args, ::flame_actors::Error> {
                        let __codec =
                            ::flame_actors::__private::Codec::after(|(#(#args,)*): Self::Args| #to_wire);
                        let (#(#args,)*) = (&__codec).decode(__bytes)?;
                        ::core::result::Result::Ok((#(#from_wire,)*))
                    }

                    fn encode_output(
                        __output: Self::Output,
                    ) -> ::core::result::Result<::std::vec::Vec<u8>, ::flame_actors::Error> {
                        let __output = #result_to_wire;
                        (&::flame_actors::__private::Codec::of(&__output)).encode(&__output)
                    }

                    fn decode_output(
                        __bytes: &[u8],
                    ) -> ::core::result::Result<Self::Output, ::flame_actors::Error> {
                        let __codec = ::flame_actors::__private::Codec::after(|__output: Self::Output| #result_to_wire);
                        let __output = (&__codec).decode(__bytes)?;
                        ::core::result::Result::Ok(#result_from_wire)
                    }
                }

                #run

                ::flame_actors::__private::inventory::submit! {
                    ::flame_actors::__private::TaskEntry::#entry::<__Flame>()
                }
            };
        }
    }
}

/// The result type of a function that names none.
pub(crate) fn unit(span: Span) -> Type {
    Type::Verbatim(quote_spanned!(span=> ()))
}

/// The arguments' names in the signature that callers see: those of the user where they are plain.
fn outer_names(params: &[Param]) -> Vec<Ident> {
    let plain = |pattern: &Pat| match pattern {
        Pat::Ident(name) if name.subpat.is_none() && !name.ident.to_string().starts_with('_') => {
            Some(name.ident.clone())
        }
        _ => None,
    };
    let taken: Vec<_> = params.iter().filter_map(|param| plain(&param.pattern)).collect();
    let invented = |n: usize| {
        let mut name = format_ident!("arg{n}");
        while taken.contains(&name) {
            name = format_ident!("{name}_");
        }
        name
    };
    params.iter().enumerate().map(|(n, param)| plain(&param.pattern).unwrap_or_else(|| invented(n))).collect()
}

/// What describes the function goes to the outer one, what works on its body to the inner one, lint levels to both.
fn split(attrs: Vec<Attribute>) -> (Vec<Attribute>, Vec<Attribute>) {
    let (mut outer, mut inner) = (Vec::new(), Vec::new());
    for attr in attrs {
        match attr.path().get_ident().map(ToString::to_string).as_deref() {
            Some("doc" | "cfg" | "deprecated") => outer.push(attr),
            Some("allow" | "warn" | "deny" | "forbid") => {
                outer.push(attr.clone());
                inner.push(attr);
            }
            // `Task` is `must_use` already.
            Some("must_use") => {}
            _ => inner.push(attr),
        }
    }
    (outer, inner)
}
