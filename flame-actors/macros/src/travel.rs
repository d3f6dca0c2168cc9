//! How a type looks on the wire: an `ActorRef<M>` goes as the address of its actor, an error of `anyhow` as its texts.

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
    /// Goes as it is unless it turns out to be an error of `anyhow`: which it is, only the compiler knows.
    Open(Type),
    /// `ActorRef<M>`, with its `M`.
    Ref(Type),
    Boxed(Box<Travel>),
    Option(Box<Travel>),
    Vec(Box<Travel>),
    Tuple(Vec<Travel>),
    Result(Box<Travel>, Box<Travel>),
    /// `Result<T>`, where an alias names the error; in functions with the type itself, whose error may be of `anyhow`.
    Alias(Box<Travel>, Option<Box<Type>>),
}

/// Where a type stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// In a message, whose form on the wire is a type of its own and has to be named.
    Message,
    /// In the signature of a function, where the compiler can be left to find it.
    Function,
    /// The same in a `Vec`, where nothing is to be done for each element without need.
    Each,
    /// In the signature, as the error of a `Result`.
    Error,
}

#[derive(Clone, Copy)]
enum Direction {
    Encode,
    Decode,
}

/// What has to hold for a type to travel, said of the innermost type of the user's that it depends on.
#[derive(Clone)]
pub(crate) enum Need {
    Travels(Type),
    /// By itself, or as an error of `anyhow`.
    Open(Type),
    Message(Type),
}

impl Travel {
    /// The type of a field whose `serde` attribute does all the work.
    pub(crate) fn untouched(ty: &Type) -> Self {
        Self { wire: ty.to_token_stream(), span: ty.span(), form: Form::Same(ty.clone()) }
    }

    /// The type of a field or a reply.
    ///
    /// # Errors
    ///
    /// If something in `ty` is borrowed or has no name, or an `ActorRef` sits where it cannot be found on the wire.
    pub(crate) fn of(ty: &Type) -> Result<Self> {
        Self::at(ty, Place::Message)
    }

    /// The type of an argument or a result, which may have errors of `anyhow` in it.
    ///
    /// # Errors
    ///
    /// As [`Travel::of`].
    pub(crate) fn in_function(ty: &Type) -> Result<Self> {
        Self::at(ty, Place::Function)
    }

    fn at(ty: &Type, place: Place) -> Result<Self> {
        let form = match ty {
            Type::Group(group) => return Self::at(&group.elem, place),
            Type::Paren(paren) => return Self::at(&paren.elem, place),
            Type::Reference(reference) => return Err(borrowed(reference)),
            Type::Tuple(tuple) => {
                Form::Tuple(tuple.elems.iter().map(|ty| Self::at(ty, place.inside())).collect::<Result<_>>()?)
            }
            Type::Path(path) if path.qself.is_none() => Self::of_path(ty, &path.path, place)?,
            _ => Self::plain(ty)?,
        };
        let span = ty.span();
        let inner = |travel: &Self| travel.wire.clone();
        let wire = match (&form, ty) {
            (Form::Same(ty) | Form::Open(ty), _) => ty.to_token_stream(),
            (Form::Ref(message), _) => quote_spanned!(span=> ::flame_actors::ActorAddr<#message>),
            (Form::Tuple(elements), _) => {
                let elements = elements.iter().map(inner);
                quote_spanned!(span=> (#(#elements,)*))
            }
            (Form::Boxed(one) | Form::Option(one) | Form::Vec(one) | Form::Alias(one, ..), Type::Path(path)) => {
                with_arguments(&path.path, &[inner(one)])
            }
            (Form::Result(ok, error), Type::Path(path)) => with_arguments(&path.path, &[inner(ok), inner(error)]),
            _ => unreachable!("only a path has these forms"),
        };
        Ok(Self { wire, span, form })
    }

    fn of_path(ty: &Type, path: &Path, place: Place) -> Result<Form> {
        let Some(last) = path.segments.last() else {
            return Self::plain(ty);
        };
        let name = last.ident.to_string();
        let arguments = type_arguments(&last.arguments);
        let inner = |ty: &Type| Self::at(ty, place.inside()).map(Box::new);
        Ok(match (name.as_str(), arguments.as_deref()) {
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
            ("Vec", Some([one])) => Form::Vec(Box::new(Self::at(one, place.of_element())?)),
            ("Result", Some([ok, error])) => Form::Result(inner(ok)?, Box::new(Self::at(error, place.of_error())?)),
            ("Result", Some([ok])) if place != Place::Message => Form::Alias(inner(ok)?, Some(Box::new(ty.clone()))),
            ("Result", Some([ok])) if mentions(ok, "ActorRef") => Form::Alias(inner(ok)?, None),
            _ if place.may_hide_an_error(&name) => {
                Self::plain(ty)?;
                Form::Open(ty.clone())
            }
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
            Form::Open(_) | Form::Ref(_) => false,
            Form::Boxed(one) | Form::Option(one) | Form::Vec(one) => one.same(),
            Form::Tuple(elements) => elements.iter().all(Self::same),
            Form::Result(ok, error) => ok.same() && error.same(),
            Form::Alias(ok, open) => ok.same() && open.is_none(),
        }
    }

    /// The expression that turns `value` into what is encoded.
    pub(crate) fn encode(&self, value: TokenStream) -> TokenStream {
        self.convert(value, Direction::Encode)
    }

    /// The expression that turns what was decoded into the user's value.
    pub(crate) fn decode(&self, value: TokenStream) -> TokenStream {
        self.convert(value, Direction::Decode)
    }

    fn convert(&self, value: TokenStream, direction: Direction) -> TokenStream {
        if self.same() {
            return value;
        }
        let each = |travel: &Self| {
            let inner = travel.convert(quote!(__value), direction);
            quote!(|__value| #inner)
        };
        match &self.form {
            Form::Same(_) => value,
            Form::Open(ty) => direction.open(ty, value),
            Form::Ref(_) => direction.actor(value),
            Form::Boxed(one) => {
                let inner = one.convert(quote!(*#value), direction);
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
                let converted =
                    elements.iter().zip(&names).map(|(travel, name)| travel.convert(quote!(#name), direction));
                quote!({ let (#(#names,)*) = #value; (#(#converted,)*) })
            }
            Form::Result(ok, error) => {
                let value = direction.map_ok(ok, value);
                if error.same() {
                    return value;
                }
                let each_error = each(error);
                quote!(::core::result::Result::map_err(#value, #each_error))
            }
            // The way goes by the user's type: it is the first step there and the last one back.
            Form::Alias(ok, Some(ty)) => match direction {
                Direction::Encode => direction.map_ok(ok, direction.open(ty, value)),
                Direction::Decode => direction.open(ty, direction.map_ok(ok, value)),
            },
            Form::Alias(ok, None) => direction.map_ok(ok, value),
        }
    }

    /// What has to hold for this type to travel.
    pub(crate) fn needs(&self) -> Vec<Need> {
        match &self.form {
            Form::Same(ty) => vec![Need::Travels(ty.clone())],
            Form::Open(ty) => vec![Need::Open(ty.clone())],
            Form::Ref(message) => vec![Need::Message(message.clone())],
            Form::Boxed(one) | Form::Option(one) | Form::Vec(one) => one.needs(),
            Form::Tuple(elements) => elements.iter().flat_map(Self::needs).collect(),
            Form::Result(ok, error) => [ok.needs(), error.needs()].concat(),
            // Only the alias knows the error: the whole has to travel, here with something else for what `ok` says.
            Form::Alias(ok, Some(ty)) => [ok.needs(), vec![Need::Open(of_unit(ty))]].concat(),
            Form::Alias(ok, None) => {
                let wire = Type::Verbatim(self.wire.clone());
                [ok.needs(), vec![Need::Travels(wire)]].concat()
            }
        }
    }

    pub(crate) fn span(&self) -> Span {
        self.span
    }
}

impl Place {
    /// Inside another type.
    fn inside(self) -> Self {
        if self == Self::Error { Self::Function } else { self }
    }

    /// Inside a `Vec`.
    fn of_element(self) -> Self {
        if self == Self::Message { Self::Message } else { Self::Each }
    }

    /// Inside a `Result`, as its error.
    fn of_error(self) -> Self {
        if self == Self::Message { Self::Message } else { Self::Error }
    }

    /// Whether a type of this name may be an error of `anyhow`, or a result with one, by some alias.
    fn may_hide_an_error(self, name: &str) -> bool {
        match self {
            Self::Message => false,
            Self::Function => name != "String" && name.starts_with(char::is_uppercase),
            Self::Each => name.ends_with("Result") || name.ends_with("Error"),
            Self::Error => true,
        }
    }
}

impl Direction {
    fn actor(self, value: TokenStream) -> TokenStream {
        match self {
            Self::Encode => quote!(::flame_actors::ActorAddr::from(#value)),
            Self::Decode => quote!(::flame_actors::ActorAddr::into_ref(#value)),
        }
    }

    fn open(self, ty: &Type, value: TokenStream) -> TokenStream {
        let way = quote!((&::flame_actors::__private::Open::<#ty>::new()));
        match self {
            Self::Encode => quote!(#way.pack(#value)),
            Self::Decode => quote!(#way.unpack(#value)),
        }
    }

    fn map_ok(self, ok: &Travel, value: TokenStream) -> TokenStream {
        if ok.same() {
            return value;
        }
        let inner = ok.convert(quote!(__value), self);
        quote!(::core::result::Result::map(#value, |__value| #inner))
    }
}

impl Need {
    pub(crate) fn ty(&self) -> &Type {
        match self {
            Need::Travels(ty) | Need::Open(ty) | Need::Message(ty) => ty,
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
            Need::Open(_) => {
                quote_spanned!(span=> const _: () = <#ty as ::flame_actors::__private::TravelsBy<_>>::ASSERT;)
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

/// `Result<()>` for `Result<T>`.
fn of_unit(alias: &Type) -> Type {
    match alias {
        Type::Path(path) => {
            // The last token's, so that an error is about all of the user's type.
            let span = path.to_token_stream().into_iter().last().map_or_else(Span::call_site, |token| token.span());
            let mut path = path.path.clone();
            if let Some(last) = path.segments.last_mut() {
                last.arguments = PathArguments::None;
            }
            Type::Verbatim(quote_spanned!(span=> #path<()>))
        }
        other => other.clone(),
    }
}

/// `path` with other type arguments.
fn with_arguments(path: &Path, arguments: &[TokenStream]) -> TokenStream {
    let mut path = path.clone();
    if let Some(last) = path.segments.last_mut() {
        last.arguments = PathArguments::None;
    }
    quote!(#path<#(#arguments),*>)
}
