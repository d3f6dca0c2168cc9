//! `#[placeable]`: an `impl Actor` that a pool can start on a runner.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, ImplItem, ItemImpl, Result, Type};

use crate::travel::{Errors, Need, mentions, text};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let generated = describe(options, item.clone()).unwrap_or_else(Error::into_compile_error);
    // The `impl` stays whatever is wrong with it, so that its users do not add errors of their own.
    quote!(#item #generated)
}

fn describe(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let mut errors = Errors::default();
    if !options.is_empty() {
        errors.at(options, "`#[placeable]` takes no options: how a child is placed is said to `place_child`");
    }
    let Some(item) = errors.catch(parse(item)) else {
        return errors.result().map(|()| TokenStream::new());
    };
    check(&item, &mut errors);
    errors.result()?;

    let handler = &*item.self_ty;
    let name = text(handler);
    let cfgs = item.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
    let assertions = [
        associated(&item, "Arguments").map(|ty| Need::Travels(ty.clone())),
        associated(&item, "Msg").map(|ty| Need::Message(ty.clone())),
    ];
    let assertions = assertions.into_iter().flatten().map(|need| need.assertion());
    // Here, where the type is known, `cargo check` sees it too; inside a generic function only `cargo build` would.
    let encodable = quote_spanned! {handler.span()=>
        const _: () = ::core::assert!(
            ::core::mem::size_of::<#handler>() == 0 || ::flame_actors::__private::Handler::<#handler>::HAS_SERDE,
            "derive Serialize and Deserialize for this actor: its handler has fields and travels to the runner",
        );
    };
    Ok(quote! {
        #(#cfgs)*
        const _: () = {
            #[allow(unused_imports)]
            use ::flame_actors::__private::{NoSerde as _, NoSnapshot as _, ViaNothing as _, ViaSerde as _};

            #(#assertions)*
            #encodable

            #[automatically_derived]
            impl ::flame_actors::Placeable for #handler {
                const NAME: &'static str = ::core::concat!(::core::module_path!(), "::", #name);

                fn encode_handler(&self) -> ::core::result::Result<::std::vec::Vec<u8>, ::flame_actors::Error> {
                    (&::flame_actors::__private::Handler::<#handler>::new()).encode(self)
                }

                fn decode_handler(__bytes: &[u8]) -> ::core::result::Result<Self, ::flame_actors::Error> {
                    (&::flame_actors::__private::Handler::<#handler>::new()).decode(__bytes)
                }

                fn snapshots() -> ::core::option::Option<::flame_actors::__private::Snapshots<Self>> {
                    ::flame_actors::__private::Handler::<#handler>::SNAPSHOTS
                }
            }

            ::flame_actors::__private::inventory::submit! {
                ::flame_actors::__private::ActorEntry::of::<#handler>()
            }
        };
    })
}

fn parse(item: TokenStream) -> Result<ItemImpl> {
    let place = item.clone();
    syn::parse2(item).map_err(|error| {
        match place.into_iter().find(|token| token.to_string() == "impl") {
            // An `impl` with something wrong in it: the compiler says what.
            Some(_) => error,
            None => Error::new(error.span(), "`#[placeable]` describes an actor: put it on `impl Actor for ..`"),
        }
    })
}

fn check(item: &ItemImpl, errors: &mut Errors) {
    match &item.trait_ {
        Some((None, path, _)) if path.segments.last().is_some_and(|last| last.ident == "Actor") => {}
        Some((_, path, _)) => {
            errors.at(path, "a pool places actors: put `#[placeable]` on the `impl Actor for ..` of this type")
        }
        None => errors.at(
            &item.self_ty,
            "a pool places actors: put `#[placeable]` on the `impl Actor for ..`, not on the type's own `impl`",
        ),
    }
    if !item.generics.params.is_empty() {
        errors.at(
            &item.generics,
            format!(
                "the runner finds an actor by its name, not by its types: leave out the generics, \
                 and write `impl Actor for {}` with concrete types, once for each",
                text(&item.self_ty)
            ),
        );
    }
}

fn associated<'a>(item: &'a ItemImpl, name: &str) -> Option<&'a Type> {
    item.items.iter().find_map(|item| match item {
        // `Self` means nothing outside the `impl`: there the table's own bound has to do.
        ImplItem::Type(ty) if ty.ident == name && !mentions(&ty.ty, "Self") => Some(&ty.ty),
        _ => None,
    })
}
