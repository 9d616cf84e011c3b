//! Methods that `#[async_trait]` has expanded before: functions that return `Box::pin(async move { … })`.

use proc_macro2::{TokenStream, TokenTree};
use syn::Signature;

use super::{Lock, first_span, regroup};

pub(super) fn is_made(signature: &Signature) -> bool {
    let mut lifetimes = signature.generics.lifetimes();
    lifetimes.any(|parameter| parameter.lifetime.ident == "async_trait")
}

/// Locks the block of `let __ret: T = { … };` (`let _: () = { … };` without a return type): the user's,
/// with the arguments destructured before it.
pub(super) fn lock_inside(tokens: TokenStream, lock: &Lock<'_>) -> Option<TokenStream> {
    let mut tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for at in 0..tokens.len() {
        let (place, block) = if let Some((ret, end)) = assignment(&tokens[at..]) {
            let TokenTree::Group(body) = &tokens[at + end] else {
                continue;
            };
            let span = first_span(ret.clone());
            (at + end, regroup(body, lock.block(&ret, span, body)))
        } else if let TokenTree::Group(group) = &tokens[at] {
            let Some(inside) = lock_inside(group.stream(), lock) else {
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
