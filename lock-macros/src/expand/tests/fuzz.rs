//! Whatever is written in the attribute, it answers: with a function, or with errors and the function as
//! it came. (tests/templates has what templates mean.)

use proc_macro2::TokenStream;
use proptest::prelude::*;
use proptest::sample::select;
use quote::quote;
use syn::{File, LitStr};

use crate::expand::expand;

/// Pieces of templates, so that about every other is one.
const IN_TEMPLATES: &[&str] = &[
    "{",
    "}",
    "{{",
    "}}",
    "{id}",
    "{id",
    "id}",
    ":",
    "::",
    ".",
    ".0",
    "()",
    "r#",
    "self",
    "id",
    "é",
    " ",
    "$",
    "*",
    ">8",
    "0w$",
    "#x",
    "?",
    "!",
    "{}",
    "{0}",
    "{0:1$}",
    "{id:.*}",
    "{a.b().1:>w$.p$}",
    "\n",
    "\"",
    "\\",
    "🔒",
    "\u{301}",
];

/// Arguments that are right where they may stand.
const ARGUMENTS: &[&str] = &[
    "key = \"k\"",
    "key = \"{id}\"",
    "key = id",
    "ttl = \"5s\"",
    "ttl = TTL",
    "renew",
    "max_hold = \"1h\"",
    "min_hold = \"1s\"",
    "on_lost = finish",
    "retries = 3",
    "retries = id.into()",
    "backoff = \"50ms..2s\"",
    "wait",
    "wait = \"10s\"",
    "coalesce",
    "skip",
    "or_else = |e| e.into()",
    "fenced",
    "bind = lease",
    "locker = self.locker",
    "crate = my::locks",
];

/// Pieces of arguments that are not.
const IN_ARGUMENTS: &[&str] = &[
    "key",
    "ttl",
    "renew",
    "on_lost",
    "retries",
    "backoff",
    "wait",
    "bind",
    "crate",
    "expires",
    "=",
    "=",
    ",",
    "=>",
    "::",
    ".",
    "|e|",
    "self",
    "cancel",
    "\"{\"",
    "\"0s\"",
    "\"1M\"",
    "\"..\"",
    "3",
    "-1",
    "3.5",
    "4294967296",
    "'a'",
    "b\"5s\"",
    "true",
    "(id)",
    "[id]",
    "{ id }",
    "#",
    "r#key",
    "id.await",
    "return",
    "?",
    "<T>",
];

const FUNCTIONS: &[&str] = &[
    "async fn f(id: u8) -> Result<u8, E> { Ok(id) }",
    "async fn f<'a, T: Copy, const N: usize>(mut id: [T; N], (a, _): (u8, &'a u8)) { loop {} }",
    "async fn f(&mut self, id: impl Into<u8>) -> impl Iterator<Item = u8> { todo!() }",
    "fn f(id: u8) {}",
    "async fn f(id: u8);",
    "fn f<'a>(id: u8) -> Pin<Box<dyn Future<Output = u8> + 'a>> { Box::pin(async move { let __ret: u8 = { id }; __ret }) }",
    "struct Id(u8);",
    "",
];

fn some_of(
    pieces: &'static [&'static str],
    between: &'static str,
) -> impl Strategy<Value = String> {
    prop::collection::vec(select(pieces), 0..12).prop_map(move |pieces| pieces.join(between))
}

/// Answers whether the attribute took it.
fn is_taken(arguments: TokenStream, function: &str) -> Result<bool, TestCaseError> {
    let function: TokenStream = function.parse().expect("tokens");
    let output = expand(arguments, &function);
    let text = output.to_string();
    let is_taken = !text.contains("compile_error");
    if is_taken {
        prop_assert!(syn::parse2::<File>(output).is_ok(), "no Rust: {text}");
    } else {
        prop_assert!(
            text.starts_with(&function.to_string()),
            "the function is gone: {text}"
        );
    }
    Ok(is_taken)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_template_is_answered(
        template in prop_oneof![some_of(IN_TEMPLATES, ""), any::<String>()],
        function in select(FUNCTIONS),
    ) {
        let literal = LitStr::new(&template, proc_macro2::Span::call_site());
        is_taken(quote!(key = #literal), function)?;
    }

    #[test]
    fn any_arguments_are_answered(
        arguments in prop::collection::vec(
            prop_oneof![9 => select(ARGUMENTS).prop_map(str::to_owned), 1 => some_of(IN_ARGUMENTS, " ")],
            0..6,
        ),
        function in select(FUNCTIONS),
    ) {
        is_taken(arguments.join(",").parse().expect("tokens"), function)?;
    }
}
