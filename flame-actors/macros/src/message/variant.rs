//! A variant of a message, or the whole of a struct: its twin on the wire, and the way there and back.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, Fields, LitStr, Type, parse_quote};

use super::attributes::{CUSTOM, PARTIAL, only_serde, refuse_message_options, says};
use crate::travel::{Errors, Travel, argument_of, mentions};

pub(super) struct Variant {
    /// Of an enum.
    pub(super) ident: Option<Ident>,
    pub(super) serde: Vec<Attribute>,
    style: Style,
    fields: Vec<Field>,
    pub(super) reply: Option<Reply>,
}

pub(super) struct Reply {
    /// Where among the fields its port is.
    index: usize,
    ty: Type,
    pub(super) travel: Travel,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Style {
    Named,
    Tuple,
    Unit,
}

pub(super) struct Field {
    ident: Option<Ident>,
    serde: Vec<Attribute>,
    pub(super) travel: Travel,
    encoding: Encoding,
}

/// Who encodes a field.
#[derive(Clone, Copy, PartialEq)]
enum Encoding {
    /// Its type, wrapped so that the compiler complains about `Travels` and not about serde's traits.
    Type,
    /// Its type, as serde's attributes say; they have to see the type itself.
    TypeWithAttributes,
    /// An attribute alone.
    Attribute,
}

impl Variant {
    pub(super) fn read(
        ident: Option<Ident>,
        attrs: &[Attribute],
        fields: Fields,
        this: &TokenStream,
        errors: &mut Errors,
    ) -> Self {
        let style = match fields {
            Fields::Named(_) => Style::Named,
            Fields::Unnamed(_) => Style::Tuple,
            Fields::Unit => Style::Unit,
        };
        let serde = only_serde(attrs);
        let whole_is_custom = says(&serde, CUSTOM);
        let mut variant = Self { ident, serde, style, fields: Vec::new(), reply: None };
        for (index, field) in fields.into_iter().enumerate() {
            refuse_message_options(&field.attrs, errors);
            let ty = without_self(&field.ty, this);
            let serde = only_serde(&field.attrs);
            let custom = whole_is_custom || says(&serde, CUSTOM);
            let encoding = match () {
                () if custom || says(&serde, PARTIAL) => Encoding::Attribute,
                () if serde.is_empty() => Encoding::Type,
                () => Encoding::TypeWithAttributes,
            };
            let travel = match argument_of(&ty, "RpcReplyPort") {
                Some(reply) => {
                    variant.add_reply(index, &field.ty, reply, errors);
                    Travel::untouched(&ty)
                }
                None if custom => Travel::untouched(&ty),
                None => errors.catch(Travel::of(&ty)).unwrap_or_else(|| Travel::untouched(&ty)),
            };
            variant.fields.push(Field { ident: field.ident, serde, travel, encoding });
        }
        variant
    }

    fn add_reply(&mut self, index: usize, port: &Type, reply: Option<&Type>, errors: &mut Errors) {
        let Some(reply) = reply else {
            return errors.at(port, "what is the reply? write `RpcReplyPort<T>` with its type");
        };
        if self.reply.is_some() {
            return errors.at(
                port,
                "a call has one reply: put both values into it, `RpcReplyPort<(A, B)>`, \
                 or take an `ActorRef<M>` to answer to",
            );
        }
        if let Some(travel) = errors.catch(Travel::of(reply)) {
            self.reply = Some(Reply { index, ty: reply.clone(), travel });
        }
    }

    fn is_reply(&self, index: usize) -> bool {
        self.reply.as_ref().is_some_and(|reply| reply.index == index)
    }

    /// The fields that are sent: all but the reply port.
    pub(super) fn sent(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().enumerate().filter(|(index, _)| !self.is_reply(*index)).map(|(_, field)| field)
    }

    pub(super) fn wire_style(&self) -> Style {
        match self.style {
            Style::Tuple if self.sent().next().is_none() => Style::Unit,
            style => style,
        }
    }

    pub(super) fn wire_fields(&self) -> TokenStream {
        self.sent()
            .map(|field| {
                let Field { ident, serde, .. } = field;
                let colon = ident.as_ref().map(|ident| quote_spanned!(ident.span()=> :));
                let bound = field.bound();
                let wire = field.wire();
                quote!(#(#serde)* #bound #ident #colon #wire,)
            })
            .collect()
    }

    fn names(&self) -> Vec<Ident> {
        (0..self.fields.len()).map(|n| format_ident!("__{n}", span = Span::mixed_site())).collect()
    }

    /// `path { a: x, b: y }`, `path(x, y)` or `path`.
    fn filled<'a>(
        path: &TokenStream,
        style: Style,
        fields: impl Iterator<Item = (&'a Field, TokenStream)>,
    ) -> TokenStream {
        let (idents, values): (Vec<_>, Vec<_>) = fields.map(|(field, value)| (&field.ident, value)).unzip();
        match style {
            Style::Named => quote!(#path { #(#idents: #values),* }),
            Style::Tuple => quote!(#path(#(#values),*)),
            Style::Unit => quote!(#path),
        }
    }

    pub(super) fn encode_arm(
        &self,
        this: &TokenStream,
        wire: &TokenStream,
        wire_type: &TokenStream,
        codec: Codec,
    ) -> TokenStream {
        let names = self.names();
        let all = self.fields.iter().zip(&names).map(|(field, name)| (field, name.to_token_stream()));
        let pattern = Self::filled(this, self.style, all);
        let sent = self.fields.iter().zip(&names).enumerate().filter(|(index, _)| !self.is_reply(*index));
        let sent = sent.map(|(_, (field, name))| (field, field.encode(name)));
        let value = Self::filled(wire, self.wire_style(), sent);
        let body = codec.encode(wire_type, value);
        let encoded = match &self.reply {
            None => quote!(::flame_actors::__private::Encoded::cast(#body?)),
            Some(Reply { index, travel, .. }) => {
                let port = &names[*index];
                let decoded = codec.decode(&in_field(travel), quote!(__bytes));
                let value = travel.decode(quote!(__reply));
                quote! {
                    ::flame_actors::__private::Encoded::call(#body?, #port, |__bytes: &[u8]| {
                        let ::flame_actors::__private::Field(__reply) = #decoded?;
                        ::core::result::Result::Ok(#value)
                    })
                }
            }
        };
        quote!(#pattern => ::core::result::Result::Ok(#encoded),)
    }

    pub(super) fn decode_arm(&self, this: &TokenStream, wire: &TokenStream, codec: Codec) -> TokenStream {
        let names = self.names();
        let fields = self.fields.iter().zip(&names).enumerate();
        let sent = fields.clone().filter(|(index, _)| !self.is_reply(*index));
        let pattern =
            Self::filled(wire, self.wire_style(), sent.map(|(_, (field, name))| (field, field.pattern(name))));
        let all = fields.map(|(index, (field, name))| match &self.reply {
            Some(Reply { index: port, ty, travel }) if *port == index => {
                let value = travel.encode(quote!(__value));
                let value = quote!(::flame_actors::__private::Field(#value));
                let encoded = codec.encode(&in_field(travel), value);
                let port = quote! {
                    ::flame_actors::__private::reply_port(__reply, |__value: #ty| {
                        #encoded
                    })?
                };
                (field, port)
            }
            _ => (field, field.travel.decode(quote!(#name))),
        });
        let value = Self::filled(this, self.style, all);
        quote!(#pattern => ::core::result::Result::Ok(#value),)
    }
}

impl Field {
    /// What serde's traits need for this field, if it is not for serde to find out.
    pub(super) fn predicate(&self) -> Option<TokenStream> {
        let wire = self.travel.wire();
        match self.encoding {
            Encoding::Type => Some(travels(wire)),
            Encoding::TypeWithAttributes => Some(quote! {
                #wire: ::flame_actors::__private::serde::Serialize
                    + ::flame_actors::__private::serde::de::DeserializeOwned
                    + ::core::marker::Send
                    + 'static
            }),
            Encoding::Attribute => None,
        }
    }

    fn wire(&self) -> TokenStream {
        let wire = self.travel.wire();
        match self.encoding {
            Encoding::Type => quote!(::flame_actors::__private::Field<#wire>),
            _ => wire.clone(),
        }
    }

    /// The same predicate as an attribute: in the wire type's `where` clauses the compiler complains about it once,
    /// at the user's type.
    fn bound(&self) -> Option<TokenStream> {
        // `$crate` cannot be written in the string that serde takes.
        let predicate = self.predicate().filter(|predicate| !mentions(predicate, "$crate"))?;
        let bound = LitStr::new(&predicate.to_string(), self.travel.span());
        Some(quote!(#[serde(bound(serialize = #bound, deserialize = #bound))]))
    }

    fn encode(&self, value: &Ident) -> TokenStream {
        let value = self.travel.encode(quote!(#value));
        match self.encoding {
            Encoding::Type => quote!(::flame_actors::__private::Field(#value)),
            _ => value,
        }
    }

    /// The pattern that takes the field out of the wire type.
    fn pattern(&self, name: &Ident) -> TokenStream {
        match self.encoding {
            Encoding::Type => quote!(::flame_actors::__private::Field(#name)),
            _ => quote!(#name),
        }
    }
}

/// How generated code encodes a value of a type on the wire.
#[derive(Clone, Copy)]
pub(super) struct Codec {
    pub(super) generic: bool,
}

impl Codec {
    fn encode(self, wire: &TokenStream, value: TokenStream) -> TokenStream {
        if self.generic {
            // `Codec` would find out only where the message is used that something is missing.
            quote!(::flame_actors::__private::to_bytes::<#wire>(&#value))
        } else {
            quote!((&::flame_actors::__private::Codec::<#wire>::new()).encode(&#value))
        }
    }

    pub(super) fn decode(self, wire: &TokenStream, bytes: TokenStream) -> TokenStream {
        if self.generic {
            quote!(::flame_actors::__private::from_bytes::<#wire>(#bytes))
        } else {
            quote!((&::flame_actors::__private::Codec::<#wire>::new()).decode(#bytes))
        }
    }
}

/// In a generic message only `Travels` is known of a reply: `Field` makes serde's traits of it.
fn in_field(reply: &Travel) -> TokenStream {
    let wire = reply.wire();
    quote!(::flame_actors::__private::Field<#wire>)
}

pub(super) fn travels(wire: &TokenStream) -> TokenStream {
    quote!(#wire: ::flame_actors::__private::Travels)
}

/// `Self` would be the wire type there.
fn without_self(ty: &Type, this: &TokenStream) -> Type {
    fn replace(tokens: TokenStream, this: &TokenStream) -> TokenStream {
        let replace_one = |token| match token {
            TokenTree::Ident(ident) if ident == "Self" => this.clone(),
            TokenTree::Group(group) => {
                let mut new = Group::new(group.delimiter(), replace(group.stream(), this));
                new.set_span(group.span());
                TokenTree::Group(new).into()
            }
            other => other.into(),
        };
        tokens.into_iter().map(replace_one).collect::<TokenStream>()
    }
    if !mentions(ty, "Self") {
        return ty.clone();
    }
    let ty = replace(ty.to_token_stream(), this);
    parse_quote!(#ty)
}
