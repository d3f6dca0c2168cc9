//! How a type looks on the wire: an `ActorRef<M>` goes as the address of its actor.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, GenericArgument, Path, PathArguments, Result, Type, TypeReference};

/// A type of the user's, its form on the wire, and the way from one to the other.
pub(crate) struct Travel {
    wire: TokenStream,
    span: Span,
    form: Form,
}

enum Form {
    /// Goes as it is.
    Same(Type),
    /// `ActorRef<M>`, with its `M`.
    Ref(Type),
    Boxed(Box<Travel>),
    Option(Box<Travel>),
    Vec(Box<Travel>),
    Tuple(Vec<Travel>),
    /// `Result<T, E>`, or `Result<T>` where an alias names the error.
    Result(Box<Travel>, Option<Box<Travel>>),
}

/// What has to hold for a type to travel, said of the innermost type of the user's that it depends on.
#[derive(Clone)]
pub(crate) enum Need {
    Travels(Type),
    Message(Type),
}

impl Travel {
    /// The type of a field whose `serde` attribute does all the work.
    pub(crate) fn untouched(ty: &Type) -> Self {
        Self { wire: ty.to_token_stream(), span: ty.span(), form: Form::Same(ty.clone()) }
    }

    /// # Errors
    ///
    /// If something in `ty` is borrowed or has no name, or an `ActorRef` sits where it cannot be found on the wire.
    pub(crate) fn of(ty: &Type) -> Result<Self> {
        let form = match ty {
            Type::Group(group) => return Self::of(&group.elem),
            Type::Paren(paren) => return Self::of(&paren.elem),
            Type::Reference(reference) => return Err(borrowed(reference)),
            Type::Tuple(tuple) => Form::Tuple(tuple.elems.iter().map(Self::of).collect::<Result<_>>()?),
            Type::Path(path) if path.qself.is_none() => Self::of_path(ty, &path.path)?,
            _ => Self::plain(ty)?,
        };
        let span = ty.span();
        let inner = |travel: &Self| travel.wire.clone();
        let wire = match (&form, ty) {
            (Form::Same(ty), _) => ty.to_token_stream(),
            (Form::Ref(message), _) => quote_spanned!(span=> ::flame_actors::ActorAddr<#message>),
            (Form::Tuple(elements), _) => {
                let elements = elements.iter().map(inner);
                quote_spanned!(span=> (#(#elements,)*))
            }
            (Form::Boxed(one) | Form::Option(one) | Form::Vec(one), Type::Path(path)) => {
                with_arguments(&path.path, &[inner(one)])
            }
            (Form::Result(ok, error), Type::Path(path)) => {
                let arguments: Vec<_> = std::iter::once(ok).chain(error).map(|travel| inner(travel)).collect();
                with_arguments(&path.path, &arguments)
            }
            _ => unreachable!("only a path has these forms"),
        };
        Ok(Self { wire, span, form })
    }

    fn of_path(ty: &Type, path: &Path) -> Result<Form> {
        let Some(last) = path.segments.last() else {
            return Self::plain(ty);
        };
        let arguments = type_arguments(&last.arguments);
        let inner = |ty: &Type| Self::of(ty).map(Box::new);
        Ok(match (last.ident.to_string().as_str(), arguments.as_deref()) {
            ("ActorRef", Some([message])) => Form::Ref((*message).clone()),
            ("ActorRef", _) => {
                return Err(Error::new_spanned(
                    ty,
                    "which messages does this actor take? write `ActorRef<M>` with their type",
                ));
            }
            // `Box<str>` and `Box<[T]>` travel although `str` and `[T]` do not: take a box apart only for a reference.
            ("Box", Some([one])) if mentions(one, "ActorRef") => Form::Boxed(inner(one)?),
            ("Option", Some([one])) => Form::Option(inner(one)?),
            ("Vec", Some([one])) => Form::Vec(inner(one)?),
            ("Result", Some([ok, error])) => Form::Result(inner(ok)?, Some(inner(error)?)),
            ("Result", Some([ok])) if mentions(ok, "ActorRef") => Form::Result(inner(ok)?, None),
            _ => Self::plain(ty)?,
        })
    }

    fn plain(ty: &Type) -> Result<Form> {
        let mut errors = Errors::default();
        refuse(ty.to_token_stream(), &mut errors);
        errors.result()?;
        Ok(Form::Same(ty.clone()))
    }

    /// The type that is encoded.
    pub(crate) fn wire(&self) -> &TokenStream {
        &self.wire
    }

    /// Whether the value goes as it is.
    fn same(&self) -> bool {
        match &self.form {
            Form::Same(_) => true,
            Form::Ref(_) => false,
            Form::Boxed(one) | Form::Option(one) | Form::Vec(one) => one.same(),
            Form::Tuple(elements) => elements.iter().all(Self::same),
            Form::Result(ok, error) => ok.same() && error.as_ref().is_none_or(|error| error.same()),
        }
    }

    /// The expression that turns `value` into what is encoded.
    pub(crate) fn encode(&self, value: TokenStream) -> TokenStream {
        self.convert(value, &|value| quote!(::flame_actors::ActorAddr::from(#value)))
    }

    /// The expression that turns what was decoded into the user's value.
    pub(crate) fn decode(&self, value: TokenStream) -> TokenStream {
        self.convert(value, &|value| quote!(::flame_actors::ActorAddr::into_ref(#value)))
    }

    fn convert(&self, value: TokenStream, actor: &dyn Fn(TokenStream) -> TokenStream) -> TokenStream {
        if self.same() {
            return value;
        }
        let each = |travel: &Self| {
            let inner = travel.convert(quote!(__value), actor);
            quote!(|__value| #inner)
        };
        match &self.form {
            Form::Same(_) => value,
            Form::Ref(_) => actor(value),
            Form::Boxed(one) => {
                let inner = one.convert(quote!(*#value), actor);
                quote!(::std::boxed::Box::new(#inner))
            }
            Form::Option(one) => {
                let each = each(one);
                quote!(::core::option::Option::map(#value, #each))
            }
            Form::Vec(one) => {
                let each = each(one);
                quote! {
                    ::core::iter::Iterator::collect::<::std::vec::Vec<_>>(
                        ::core::iter::Iterator::map(::core::iter::IntoIterator::into_iter(#value), #each)
                    )
                }
            }
            Form::Tuple(elements) => {
                let names: Vec<_> = (0..elements.len()).map(|n| format_ident!("__{n}")).collect();
                let converted = elements.iter().zip(&names).map(|(travel, name)| travel.convert(quote!(#name), actor));
                quote!({ let (#(#names,)*) = #value; (#(#converted,)*) })
            }
            Form::Result(ok, error) => {
                let each_ok = each(ok);
                let value = quote!(::core::result::Result::map(#value, #each_ok));
                match error {
                    Some(error) if !error.same() => {
                        let each_error = each(error);
                        quote!(::core::result::Result::map_err(#value, #each_error))
                    }
                    _ => value,
                }
            }
        }
    }

    /// What has to hold for this type to travel.
    pub(crate) fn needs(&self) -> Vec<Need> {
        match &self.form {
            Form::Same(ty) => vec![Need::Travels(ty.clone())],
            Form::Ref(message) => vec![Need::Message(message.clone())],
            Form::Boxed(one) | Form::Option(one) | Form::Vec(one) => one.needs(),
            Form::Tuple(elements) => elements.iter().flat_map(Self::needs).collect(),
            Form::Result(ok, Some(error)) => [ok.needs(), error.needs()].concat(),
            // Only the alias knows the error: the whole has to travel.
            Form::Result(ok, None) => {
                let wire = Type::Verbatim(self.wire.clone());
                [ok.needs(), vec![Need::Travels(wire)]].concat()
            }
        }
    }

    pub(crate) fn span(&self) -> Span {
        self.span
    }
}

impl Need {
    pub(crate) fn ty(&self) -> &Type {
        match self {
            Need::Travels(ty) | Need::Message(ty) => ty,
        }
    }

    /// A constant that compiles if this holds, and whose error is about the user's type and nothing else.
    pub(crate) fn assertion(&self) -> TokenStream {
        let ty = self.ty();
        let span = ty.span();
        match self {
            Need::Travels(_) => {
                quote_spanned!(span=> const _: () = <#ty as ::flame_actors::__private::Travels>::ASSERT;)
            }
            Need::Message(_) => {
                quote_spanned!(span=> const _: () = <#ty as ::flame_actors::__private::Addressed>::ASSERT;)
            }
        }
    }
}

/// Several errors as one, so that a user sees all of them at once.
#[derive(Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    pub(crate) fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// An error at `place`; `help` says what to write instead.
    pub(crate) fn at(&mut self, place: impl ToTokens, help: impl std::fmt::Display) {
        self.push(Error::new_spanned(place, help));
    }

    pub(crate) fn catch<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    pub(crate) fn result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// The `T` of `Name<T>`, by the last segment of the path.
pub(crate) fn argument_of<'a>(ty: &'a Type, name: &str) -> Option<Option<&'a Type>> {
    match ty {
        Type::Group(group) => argument_of(&group.elem, name),
        Type::Paren(paren) => argument_of(&paren.elem, name),
        Type::Path(path) => {
            let last = path.path.segments.last().filter(|last| last.ident == name)?;
            let arguments = type_arguments(&last.arguments).unwrap_or_default();
            Some(arguments.first().copied())
        }
        _ => None,
    }
}

/// Whether `name` occurs anywhere in `tokens`.
pub(crate) fn mentions(tokens: impl ToTokens, name: &str) -> bool {
    !occurrences(tokens.to_token_stream(), name).is_empty()
}

fn occurrences(tokens: TokenStream, name: &str) -> Vec<Ident> {
    let mut found = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if ident == name => found.push(ident),
            TokenTree::Group(group) => found.extend(occurrences(group.stream(), name)),
            _ => {}
        }
    }
    found
}

/// Reports what does not travel inside a type that goes as it is.
fn refuse(tokens: TokenStream, errors: &mut Errors) {
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => refuse(group.stream(), errors),
            TokenTree::Ident(ident) if ident == "ActorRef" => errors.at(
                ident,
                "an `ActorRef` is not found on the wire inside this type: \
                 put an `ActorAddr<M>` there, which derefs to `ActorRef<M>`",
            ),
            TokenTree::Ident(ident) if ident == "RpcReplyPort" => {
                errors.at(ident, "a reply port is a field of a message, by itself: `RpcReplyPort<T>`");
            }
            TokenTree::Ident(ident) if ident == "impl" => {
                errors.at(ident, "the runner has to know this type: name it instead of `impl Trait`");
            }
            TokenTree::Punct(punct) if punct.as_char() == '&' => {
                errors.at(punct, "nothing borrowed travels: put an owned value there");
            }
            TokenTree::Punct(punct) if punct.as_char() == '\'' => match tokens.next() {
                Some(TokenTree::Ident(name)) if name != "static" => {
                    errors.at(name, "nothing borrowed travels: write `'static` or an owned type");
                }
                _ => {}
            },
            _ => {}
        }
    }
}

fn borrowed(reference: &TypeReference) -> Error {
    let owned = match &*reference.elem {
        Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
        Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Path") => "PathBuf".to_owned(),
        Type::Slice(slice) => format!("Vec<{}>", text(&slice.elem)),
        other => text(other),
    };
    Error::new_spanned(reference, format!("nothing borrowed travels: write an owned value, `{owned}`"))
}

/// A type as one would write it, as far as that can be told from its tokens.
pub(crate) fn text(ty: &Type) -> String {
    let text = ty.to_token_stream().to_string();
    let text = text.replace(" :: ", "::").replace(":: ", "::").replace(" <", "<").replace("< ", "<");
    text.replace(" >", ">").replace(" ,", ",").replace("& ", "&")
}

fn type_arguments(arguments: &PathArguments) -> Option<Vec<&Type>> {
    let PathArguments::AngleBracketed(arguments) = arguments else {
        return None;
    };
    let types = arguments.args.iter().map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect()
}

/// `path` with other type arguments.
fn with_arguments(path: &Path, arguments: &[TokenStream]) -> TokenStream {
    let mut path = path.clone();
    if let Some(last) = path.segments.last_mut() {
        last.arguments = PathArguments::None;
    }
    quote!(#path<#(#arguments),*>)
}
