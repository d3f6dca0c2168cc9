//! `task!`: a block with named captures becomes the description of a call.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Ident, Pat, PatIdent, Result, Token, Type, bracketed, token};

use crate::remote::{Function, Param, unit};
use crate::travel::{Errors, Travel};

const FORM: &str = "write `task!([a: A, b: B] -> R { .. })`";

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    syn::parse2::<Task>(input).and_then(Task::expand).unwrap_or_else(|error| {
        let errors = error.into_compile_error();
        quote!({ #errors ::core::unreachable!() })
    })
}

struct Task {
    captures: Punctuated<Capture, Token![,]>,
    output: Option<Type>,
    body: TokenStream,
}

/// `a: A`, `mut a: A`, `a: A = expression`.
struct Capture {
    mutability: Option<Token![mut]>,
    name: Ident,
    ty: Type,
    value: Option<Expr>,
}

impl Parse for Task {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if !input.peek(token::Bracket) {
            return Err(input.error(format!("a task opens with what it takes along: {FORM}")));
        }
        let captures;
        bracketed!(captures in input);
        let captures = Punctuated::parse_terminated(&captures)?;
        let output = match input.parse::<Option<Token![->]>>()? {
            Some(_) => Some(input.parse()?),
            None => None,
        };
        if !input.peek(token::Brace) {
            return Err(input.error(format!("the block of the task is missing here: {FORM}")));
        }
        let body = input.parse::<proc_macro2::Group>()?.into_token_stream();
        if !input.is_empty() {
            return Err(input.error("a task ends with its block: nothing follows it"));
        }
        Ok(Self { captures, output, body })
    }
}

impl Parse for Capture {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(Token![&]) {
            return Err(input.error("nothing borrowed travels: capture the value itself, `name: Type`"));
        }
        let mutability = input.parse()?;
        let name: Ident = input
            .parse()
            .map_err(|error| Error::new(error.span(), "a capture is a variable with its type: `name: Type`"))?;
        if !input.peek(Token![:]) {
            return Err(Error::new(
                name.span(),
                format!("the runner decodes `{name}` by its type: write `{name}: Type`"),
            ));
        }
        input.parse::<Token![:]>()?;
        let ty = input.parse()?;
        let value = match input.parse::<Option<Token![=]>>()? {
            Some(_) => Some(input.parse()?),
            None => None,
        };
        Ok(Self { mutability, name, ty, value })
    }
}

impl Task {
    fn expand(self) -> Result<TokenStream> {
        let mut errors = Errors::default();
        let (mut params, mut values) = (Vec::new(), Vec::new());
        for Capture { mutability, name, ty, value } in self.captures {
            values.push(value.map_or_else(|| name.to_token_stream(), Expr::into_token_stream));
            if let Some(travel) = errors.catch(Travel::in_function(&ty)) {
                let pattern =
                    Pat::Ident(PatIdent { attrs: Vec::new(), by_ref: None, mutability, ident: name, subpat: None });
                params.push(Param { attrs: Vec::new(), pattern, ty, travel });
            }
        }
        let output = self.output.unwrap_or_else(|| unit(Span::call_site()));
        let result = errors.catch(Travel::in_function(&output));
        errors.result()?;
        let Some(result) = result else {
            return Ok(TokenStream::new());
        };
        let function = Function {
            attrs: Vec::new(),
            name: Ident::new("task", Span::call_site()),
            params,
            output,
            result,
            stream: None,
            body: self.body,
        };
        let description = function.describe();
        Ok(quote!({
            #description
            ::flame_actors::Task::of::<__Flame>((#(#values,)*))
        }))
    }
}
