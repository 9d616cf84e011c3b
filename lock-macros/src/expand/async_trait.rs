//! Methods that `#[async_trait]` has expanded before: functions that return `Box::pin(async move { … })`.

use proc_macro2::{Group, TokenStream, TokenTree};
use syn::parse::Parser;
use syn::{Block, Signature, Stmt};

use crate::scope::{Parameter, bind, regroup};

pub(super) fn is_made(signature: &Signature) -> bool {
    let mut lifetimes = signature.generics.lifetimes();
    lifetimes.any(|parameter| parameter.lifetime.ident == "async_trait")
}

/// The method with another block for that of `let __ret: T = { … };` (`let _: () = { … };` without a return
/// type): the user's. `change` gets the variables that the statements before it have made of the parameters,
/// `T`, and the block.
pub(super) fn change_inside(
    tokens: TokenStream,
    change: &mut dyn FnMut(Vec<Parameter>, TokenStream, &Group) -> Group,
) -> Option<TokenStream> {
    let mut tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for at in 0..tokens.len() {
        let (place, block) = if let Some((ret, end)) = assignment(&tokens[at..]) {
            let TokenTree::Group(body) = &tokens[at + end] else {
                continue;
            };
            let before = tokens[..at].iter().cloned().collect();
            (at + end, change(variables(before), ret, body))
        } else if let TokenTree::Group(group) = &tokens[at] {
            let Some(inside) = change_inside(group.stream(), change) else {
                continue;
            };
            (at, regroup(group, inside))
        } else {
            continue;
        };
        tokens[place] = block.into();
        return Some(tokens.into_iter().collect());
    }
    None
}

/// `let __self = self; let mut count = count; let (a, b) = { let __arg2 = __arg2; __arg2 };`
fn variables(statements: TokenStream) -> Vec<Parameter> {
    let mut variables = Vec::new();
    for statement in Block::parse_within.parse2(statements).unwrap_or_default() {
        if let Stmt::Local(local) = statement {
            bind(&local.pat, &local.attrs, &mut variables);
        }
    }
    variables
}

/// The type of the assignment that begins here, and where its value stands.
fn assignment(tokens: &[TokenTree]) -> Option<(TokenStream, usize)> {
    let is = |at: usize, text| {
        tokens
            .get(at)
            .is_some_and(|token| token.to_string() == text)
    };
    if !(is(0, "let") && (is(1, "__ret") || is(1, "_")) && is(2, ":")) {
        return None;
    }
    let end = (3..tokens.len()).find(|at| is(*at, ";"))?;
    if !is(end - 2, "=") {
        return None;
    }
    let ret = tokens[3..end - 2].iter().cloned().collect();
    Some((ret, end - 1))
}
