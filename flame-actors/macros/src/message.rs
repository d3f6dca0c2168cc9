//! `#[derive(Message)]` and `#[derive(LocalMessage)]`.
//!
//! A message has a twin, its *wire type*, that derives serde's traits: without the reply port, and with an address for
//! every reference to an actor.

mod attributes;
mod variant;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::{Attribute, Data, DeriveInput, Error, GenericParam, Generics, Result, Token, WherePredicate, parse_quote};

use crate::travel::{Errors, mentions};
use attributes::{cluster, only_serde, refuse_message_options, refuse_other_forms, says};
use variant::{Codec, Field, Reply, Style, Variant, travels};

pub(crate) fn expand(item: TokenStream) -> TokenStream {
    syn::parse2(item).and_then(Message::read).map_or_else(Error::into_compile_error, |message| message.expand())
}

pub(crate) fn expand_local(item: TokenStream) -> TokenStream {
    let local = |DeriveInput { ident, generics, .. }: DeriveInput| {
        let generics = owned(&ident, generics)?;
        let (impl_generics, type_generics, clause) = generics.split_for_impl();
        Ok(quote! {
            #[automatically_derived]
            impl #impl_generics ::flame_actors::__private::ractor::Message for #ident #type_generics #clause {}
        })
    };
    syn::parse2(item).and_then(local).unwrap_or_else(Error::into_compile_error)
}

struct Message {
    ident: Ident,
    /// With `Send + 'static` for every type parameter.
    generics: Generics,
    serde: Vec<Attribute>,
    cluster: bool,
    is_enum: bool,
    /// A struct is one variant without a name.
    variants: Vec<Variant>,
}

impl Message {
    fn read(input: DeriveInput) -> Result<Self> {
        let DeriveInput { attrs, ident, generics, data, .. } = input;
        let mut errors = Errors::default();
        let cluster = cluster(&attrs, &mut errors);
        let serde = only_serde(&attrs);
        refuse_other_forms(&serde, &mut errors);
        let generics = errors.catch(owned(&ident, generics));
        let this = generics.as_ref().map(|generics| {
            let (_, type_generics, _) = generics.split_for_impl();
            quote!(#ident #type_generics)
        });
        let this = this.unwrap_or_else(|| ident.to_token_stream());

        let is_enum = matches!(data, Data::Enum(_));
        let mut variants = Vec::new();
        match data {
            Data::Struct(data) => variants.push(Variant::read(None, &[], data.fields, &this, &mut errors)),
            Data::Enum(data) => {
                for variant in data.variants {
                    refuse_message_options(&variant.attrs, &mut errors);
                    let ident = Some(variant.ident);
                    variants.push(Variant::read(ident, &variant.attrs, variant.fields, &this, &mut errors));
                }
            }
            Data::Union(data) => {
                errors
                    .at(data.union_token, "nobody knows which field of a union is set: write an `enum` or a `struct`");
            }
        }
        errors.result()?;
        let generics = generics.unwrap_or_default();
        Ok(Self { ident, generics, serde, cluster, is_enum, variants })
    }

    fn expand(&self) -> TokenStream {
        let Self { ident, .. } = self;
        let wire = format_ident!("__{}Wire", ident.unraw(), span = Span::mixed_site());
        let wire_generics = self.wire_generics();
        let (_, wire_arguments, _) = wire_generics.split_for_impl();
        let wire_type = quote!(#wire #wire_arguments);
        let wire_item = self.wire_item(&wire, &wire_generics);

        let generics = self.message_generics();
        let (impl_generics, type_generics, clause) = generics.split_for_impl();
        let construct = wire_arguments.as_turbofish();
        let construct = quote!(#wire #construct);
        let codec = Codec { generic: !generics.params.is_empty() };
        let decoded = codec.decode(&wire_type, quote!(__body));
        let (encode, decode) = self.arms(&construct, &wire_type, codec);
        let reply =
            if self.variants.iter().any(|variant| variant.reply.is_some()) { quote!(__reply) } else { quote!(_) };
        let assertions = self.reply_assertions();
        let cluster = self.cluster.then(cluster_methods);

        quote! {
            const _: () = {
                #[allow(unused_imports)]
                use ::flame_actors::__private::{ByCodec as _, NoCodec as _};

                #(#assertions)*

                #wire_item

                #[automatically_derived]
                impl #impl_generics ::flame_actors::__private::ractor::Message for #ident #type_generics #clause {
                    fn box_message(
                        self,
                        __pid: &::flame_actors::__private::ractor::ActorId,
                    ) -> ::core::result::Result<
                        ::flame_actors::__private::ractor::message::BoxedMessage,
                        ::flame_actors::__private::ractor::message::BoxedDowncastErr,
                    > {
                        ::flame_actors::__private::box_message(self, __pid)
                    }

                    fn from_boxed(
                        __boxed: ::flame_actors::__private::ractor::message::BoxedMessage,
                    ) -> ::core::result::Result<Self, ::flame_actors::__private::ractor::message::BoxedDowncastErr> {
                        ::flame_actors::__private::from_boxed(__boxed)
                    }

                    #cluster
                }

                #[automatically_derived]
                impl #impl_generics ::flame_actors::Message for #ident #type_generics #clause {
                    fn encode(
                        self,
                    ) -> ::core::result::Result<::flame_actors::__private::Encoded, ::flame_actors::Error> {
                        match self { #(#encode)* }
                    }

                    fn decode(
                        __body: &[u8],
                        #reply: ::core::option::Option<::flame_actors::__private::ReplyTo>,
                    ) -> ::core::result::Result<Self, ::flame_actors::Error> {
                        match #decoded? { #(#decode)* }
                    }
                }
            };
        }
    }

    /// Only the parameters that the wire type mentions: one that occurs in a reply alone would be unused there.
    fn wire_generics(&self) -> Generics {
        let fields: TokenStream =
            self.variants.iter().flat_map(Variant::sent).map(|field| field.travel.wire().clone()).collect();
        let (kept, dropped): (Vec<_>, Vec<_>) =
            self.generics.params.iter().cloned().partition(|param| mentions(&fields, &name_of(param)));
        let mut generics = Generics { params: kept.into_iter().collect(), ..Generics::default() };
        if !generics.params.is_empty() {
            generics.lt_token = Some(Token![<](Span::mixed_site()));
            generics.gt_token = Some(Token![>](Span::mixed_site()));
        }
        if let Some(clause) = &self.generics.where_clause {
            let about_dropped =
                |predicate: &WherePredicate| dropped.iter().any(|param| mentions(predicate, &name_of(param)));
            let kept: Vec<_> = clause.predicates.iter().filter(|predicate| !about_dropped(predicate)).collect();
            generics.where_clause = Some(parse_quote!(where #(#kept),*));
        }
        for param in &mut generics.params {
            match param {
                GenericParam::Type(param) => param.default = None,
                GenericParam::Const(param) => param.default = None,
                GenericParam::Lifetime(_) => {}
            }
        }
        generics
    }

    /// The user's generics, with what encoding needs of the types that mention a parameter.
    fn message_generics(&self) -> Generics {
        let fields = self.variants.iter().flat_map(Variant::sent).filter(|field| self.is_generic(field.travel.wire()));
        let replies = self.replies().filter(|reply| self.is_generic(reply.travel.wire()));
        // A message that carries references to its own kind would wait for itself here.
        let own = |wire: &TokenStream| mentions(wire, &self.ident.to_string());
        let fields = fields.filter(|field| !own(field.travel.wire())).filter_map(Field::predicate);
        let replies = replies.filter(|reply| !own(reply.travel.wire())).map(|reply| travels(reply.travel.wire()));
        let predicates: Vec<_> = fields.chain(replies).collect();
        let mut generics = self.generics.clone();
        if !predicates.is_empty() {
            let clause = generics.make_where_clause();
            clause.predicates.extend(predicates.iter().map(|predicate| -> WherePredicate { parse_quote!(#predicate) }));
        }
        generics
    }

    fn is_generic(&self, tokens: impl ToTokens) -> bool {
        let tokens = tokens.to_token_stream();
        self.generics.params.iter().any(|param| mentions(&tokens, &name_of(param)))
    }

    fn replies(&self) -> impl Iterator<Item = &Reply> {
        self.variants.iter().filter_map(|variant| variant.reply.as_ref())
    }

    /// Fields need no assertions: their bounds on the wire type say the same.
    fn reply_assertions(&self) -> Vec<TokenStream> {
        let needs = self.replies().flat_map(|reply| reply.travel.needs());
        needs.filter(|need| !self.is_generic(need.ty())).map(|need| need.assertion()).collect()
    }

    fn wire_item(&self, wire: &Ident, generics: &Generics) -> TokenStream {
        let clause = &generics.where_clause;
        let serde = &self.serde;
        // The user never wrote the wire type's name: errors of decoding should not say it.
        let expecting = (!says(serde, &["expecting"])).then(|| {
            let expecting = format!("message {}", self.ident);
            quote!(#[serde(expecting = #expecting)])
        });
        let variants = self.variants.iter().map(|variant| {
            let Variant { ident, serde, .. } = variant;
            let fields = variant.wire_fields();
            let body = match variant.wire_style() {
                Style::Named => quote!({ #fields }),
                Style::Tuple => quote!((#fields)),
                Style::Unit => TokenStream::new(),
            };
            (quote!(#(#serde)* #ident), body, variant.wire_style())
        });
        let body = if self.is_enum {
            let variants = variants.map(|(name, body, _)| quote!(#name #body,));
            quote!(enum #wire #generics #clause { #(#variants)* })
        } else {
            let structs = variants.map(|(_, body, style)| match style {
                Style::Named => quote!(struct #wire #generics #clause #body),
                Style::Tuple | Style::Unit => quote!(struct #wire #generics #body #clause;),
            });
            structs.collect()
        };
        quote! {
            #[derive(
                ::flame_actors::__private::serde::Serialize,
                ::flame_actors::__private::serde::Deserialize,
            )]
            #[serde(crate = "::flame_actors::__private::serde")]
            #expecting
            #(#serde)*
            #body
        }
    }

    /// The arms that make the wire type of the message, and the message of the wire type.
    fn arms(&self, wire: &TokenStream, wire_type: &TokenStream, codec: Codec) -> (Vec<TokenStream>, Vec<TokenStream>) {
        let arms = self.variants.iter().map(|variant| {
            let (this, wire) = match &variant.ident {
                Some(ident) => (quote!(Self::#ident), quote!(#wire::#ident)),
                None => (quote!(Self), wire.clone()),
            };
            (variant.encode_arm(&this, &wire, wire_type, codec), variant.decode_arm(&this, &wire, codec))
        });
        arms.unzip()
    }
}

fn name_of(param: &GenericParam) -> String {
    match param {
        GenericParam::Type(param) => param.ident.to_string(),
        GenericParam::Const(param) => param.ident.to_string(),
        GenericParam::Lifetime(param) => param.lifetime.ident.to_string(),
    }
}

/// The generics of a message, which owns what it carries.
fn owned(ident: &Ident, mut generics: Generics) -> Result<Generics> {
    if let Some(lifetime) = generics.lifetimes().next() {
        return Err(Error::new_spanned(
            lifetime,
            format!("a message owns what it carries: leave out the lifetime of `{ident}` and take owned fields"),
        ));
    }
    for param in generics.type_params_mut() {
        param.bounds.push(parse_quote!(::core::marker::Send));
        param.bounds.push(parse_quote!('static));
    }
    Ok(generics)
}

/// With `#[message(cluster)]`: ractor's own remoting, in the same encoding.
fn cluster_methods() -> TokenStream {
    quote! {
        fn serializable() -> bool {
            true
        }

        fn serialize(
            self,
        ) -> ::core::result::Result<
            ::flame_actors::__private::ractor::message::SerializedMessage,
            ::flame_actors::__private::ractor::message::BoxedDowncastErr,
        > {
            ::flame_actors::__private::cluster::serialize(self)
        }

        fn deserialize(
            __message: ::flame_actors::__private::ractor::message::SerializedMessage,
        ) -> ::core::result::Result<Self, ::flame_actors::__private::ractor::message::BoxedDowncastErr> {
            ::flame_actors::__private::cluster::deserialize(__message)
        }
    }
}
