//! The names that an expansion refers to: ours, and those of the function.

use std::collections::HashSet;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::ext::IdentExt;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Expr, ExprReference, FnArg, GenericParam, Pat, PatIdent, Path, Signature, Token,
};

/// The way to the hidden module of the facade.
pub(crate) struct Root(pub(crate) Option<Path>);

impl Root {
    /// With the location of its tokens moved, or the path would drag every caret to the attribute.
    pub(crate) fn at(&self, span: Span) -> TokenStream {
        let Some(path) = &self.0 else {
            return quote_spanned!(span=> ::redis_locked::__private);
        };
        let moved = path.to_token_stream().into_iter().map(|mut token| {
            token.set_span(token.span().located_at(span));
            token
        });
        let path: TokenStream = moved.collect();
        quote_spanned!(span=> #path::__private)
    }
}

/// A variable that a parameter of the function binds.
#[derive(Clone)]
pub(crate) struct Parameter {
    /// Those that say whether it exists, and which lints it is held to.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) mutable: Option<Token![mut]>,
    pub(crate) name: Ident,
}

/// What the expressions in the arguments may refer to.
pub(crate) struct Scope {
    pub(crate) parameters: Vec<Parameter>,
    /// Const generics.
    constants: HashSet<String>,
    /// What `self` is called, where it is not `self`.
    pub(crate) receiver: Option<Ident>,
}

impl Scope {
    pub(crate) fn of(signature: &Signature) -> Self {
        let mut parameters = Vec::new();
        for input in &signature.inputs {
            match input {
                FnArg::Receiver(receiver) => parameters.push(Parameter {
                    attributes: carried(&receiver.attrs),
                    mutable: receiver.mutability,
                    name: Ident::from(receiver.self_token),
                }),
                FnArg::Typed(typed) => bind(&typed.pat, &typed.attrs, &mut parameters),
            }
        }
        let constants = signature.generics.params.iter().filter_map(|parameter| {
            let GenericParam::Const(constant) = parameter else {
                return None;
            };
            Some(constant.ident.unraw().to_string())
        });
        Self {
            parameters,
            constants: constants.collect(),
            receiver: None,
        }
    }

    /// Whether a parameter has this name, which is written without `r#`.
    pub(crate) fn has_parameter(&self, name: &str) -> bool {
        let mut parameters = self.parameters.iter();
        parameters.any(|parameter| parameter.name.unraw() == name)
    }

    /// Whether the function surely has a value of this name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.has_parameter(name) || self.constants.contains(name)
    }

    pub(crate) fn expr(&self, expr: &Expr) -> TokenStream {
        match &self.receiver {
            Some(receiver) => with_receiver(expr.to_token_stream(), receiver),
            None => expr.to_token_stream(),
        }
    }

    pub(crate) fn borrow(&self, expr: &Expr) -> TokenStream {
        let start = first_span(expr.to_token_stream());
        // Printed by syn, which puts parentheses where they are needed, and only there.
        self.expr(&Expr::Reference(ExprReference {
            attrs: Vec::new(),
            and_token: Token![&](Span::mixed_site().located_at(start)),
            mutability: None,
            expr: Box::new(expr.clone()),
        }))
    }
}

/// Adds the variables of a pattern, in the order of the source.
pub(crate) fn bind(pattern: &Pat, attributes: &[Attribute], parameters: &mut Vec<Parameter>) {
    struct Bindings<'a>(&'a [Attribute], &'a mut Vec<Parameter>);

    impl VisitMut for Bindings<'_> {
        fn visit_pat_ident_mut(&mut self, found: &mut PatIdent) {
            // Both sides of `A(x) | B(x)` bind it.
            if !self.1.iter().any(|known| known.name == found.ident) {
                self.1.push(Parameter {
                    attributes: carried(self.0),
                    mutable: found.mutability.filter(|_| found.by_ref.is_none()),
                    name: found.ident.clone(),
                });
            }
            visit_mut::visit_pat_ident_mut(self, found);
        }
    }

    Bindings(attributes, parameters).visit_pat_mut(&mut pattern.clone());
}

fn carried(attributes: &[Attribute]) -> Vec<Attribute> {
    const CARRIED: [&str; 7] = [
        "cfg", "cfg_attr", "allow", "expect", "warn", "deny", "forbid",
    ];
    let carried = attributes.iter().filter(|attribute| {
        let mut names = CARRIED.iter();
        names.any(|name| attribute.path().is_ident(name))
    });
    carried.cloned().collect()
}

/// The tokens with another name for `self`, but for paths and for items that have a `self` of their own.
pub(crate) fn with_receiver(tokens: TokenStream, receiver: &Ident) -> TokenStream {
    let mut tokens = tokens.into_iter().peekable();
    let mut renamed = TokenStream::new();
    let mut in_item = false;
    while let Some(token) = tokens.next() {
        let token: TokenTree = match token {
            TokenTree::Ident(name) if name == "self" && !is_colon(tokens.peek()) => {
                let span = receiver.span().located_at(name.span());
                Ident::new(&receiver.to_string(), span).into()
            }
            TokenTree::Ident(keyword) if keyword == "impl" || keyword == "trait" => {
                in_item = true;
                keyword.into()
            }
            TokenTree::Group(block) if in_item && block.delimiter() == Delimiter::Brace => {
                in_item = false;
                block.into()
            }
            TokenTree::Group(group) => {
                regroup(&group, with_receiver(group.stream(), receiver)).into()
            }
            token => token,
        };
        renamed.extend([token]);
    }
    renamed
}

pub(crate) fn is_colon(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':')
}

pub(crate) fn first_span(tokens: TokenStream) -> Span {
    let first = tokens.into_iter().next();
    first.map_or_else(Span::call_site, |token| token.span())
}

pub(crate) fn regroup(like: &Group, tokens: TokenStream) -> Group {
    let mut group = Group::new(like.delimiter(), tokens);
    group.set_span(like.span());
    group
}
