use std::time::Duration;

use quote::{ToTokens, quote};

use super::*;

fn parsed(tokens: TokenStream) -> (Args, Vec<String>) {
    let mut errors = Vec::new();
    let args = Args::parse(tokens, &mut errors);
    (args, errors.iter().map(Error::to_string).collect())
}

#[track_caller]
fn good(tokens: TokenStream) -> Args {
    let (args, errors) = parsed(tokens);
    assert_eq!(errors, [""; 0]);
    args
}

#[track_caller]
fn refused(tokens: TokenStream, parts: &[&str]) {
    let (_, errors) = parsed(tokens);
    assert_eq!(errors.len(), parts.len(), "{errors:#?}");
    for (error, part) in errors.iter().zip(parts) {
        assert!(error.contains(part), "{error} does not say {part}");
    }
}

fn literal(time: Option<&Time>) -> Duration {
    match time {
        Some(Time::Literal(duration, _)) => *duration,
        _ => panic!("not a literal"),
    }
}

#[test]
fn all_arguments_at_once() {
    let args = good(quote! {
        key = "k", ttl = "1m 30s", retries = 3, backoff = "50ms..2s", or_else = |a| (a, b::<C, D>()),
        renew, max_hold = "10m", min_hold = "5s", on_lost = finish, fenced, bind = lease,
        locker = self.locker, crate = my::locks,
    });
    assert!(matches!(args.key, Some(Key::Template(_))));
    assert_eq!(literal(args.ttl.as_ref()), Duration::from_secs(90));
    assert_eq!(literal(args.max_hold.as_ref()), Duration::from_secs(600));
    assert_eq!(literal(args.min_hold.as_ref()), Duration::from_secs(5));
    let Some(Pause::Exponential(from, cap)) = args.backoff else {
        panic!("not exponential");
    };
    assert_eq!((from.as_millis(), cap.as_millis()), (50, 2000));
    assert!(args.finish && args.given("renew").is_some() && args.given("fenced").is_some());
    assert_eq!(args.bind.as_ref().unwrap(), "lease");
    assert!(args.or_else.is_some() && args.locker.is_some() && args.root.is_some());
    assert!(args.given("skip").is_none());
}

#[test]
fn expressions_are_taken_as_they_are() {
    let args = good(quote! {
        key = concat!("a", "b"), ttl = TTL, retries = N - 1, backoff = Backoff::fixed(TTL), skip
    });
    assert!(matches!(args.key, Some(Key::Expr(_))));
    assert!(matches!(args.ttl, Some(Time::Expr(_))));
    assert!(matches!(args.backoff, Some(Pause::Fixed(Time::Expr(_)))));
    assert!(args.given("skip").is_some());
}

#[test]
fn wait_may_be_bare() {
    let args = good(quote!(key = "k", wait));
    assert!(args.given("wait").is_some() && args.wait.is_none());
    let args = good(quote!(key = "k", wait = "5s"));
    assert_eq!(literal(args.wait.as_ref()), Duration::from_secs(5));
}

#[test]
fn literals_from_macro_rules_wear_groups() {
    let group = |tokens| proc_macro2::Group::new(proc_macro2::Delimiter::None, tokens);
    let (key, ttl) = (group(quote!("k")), group(quote!("5s")));
    let twice = group(group(quote!("1s..2s")).into_token_stream());
    let args = good(quote!(key = #key, ttl = #ttl, retries = 1, backoff = #twice));
    assert!(matches!(args.key, Some(Key::Template(_))));
    assert_eq!(literal(args.ttl.as_ref()), Duration::from_secs(5));
    assert!(matches!(args.backoff, Some(Pause::Exponential(..))));
}

#[test]
fn every_error_is_told_at_once() {
    refused(
        quote!(
            key = "",
            tll = "5s",
            ttl = 5,
            retries = "3",
            backoff = "x",
            renew = true
        ),
        &[
            "the key is empty",
            "did you mean `ttl`",
            "needs a unit",
            "how many attempts",
            "not a duration",
            "is a flag",
        ],
    );
}

#[test]
fn what_was_meant_is_not_missed_too() {
    refused(quote!(kee = "k"), &["did you mean `key`"]);
    refused(quote!("k"), &["name this argument"]);
    refused(quote!(ttl = "5s"), &["`key` is missing"]);
    refused(quote!(), &["`key` is missing"]);
    refused(
        quote!(key = "k", retry = 3, backoff = "5s"),
        &["did you mean `retries`"],
    );
}

#[test]
fn an_argument_does_not_swallow_the_next() {
    refused(
        quote!(key = "k" tll = "5s", retries = , renew),
        &["comma is missing", "did you mean `ttl`", "needs a value"],
    );
    refused(
        quote!(key = "k", colour = a::<B, C>(1), ttl = 5),
        &["there are key", "unit"],
    );
    refused(
        quote!(key("k"), ttl: "5s", renew),
        &["needs a value", "needs a value"],
    );
}

#[test]
fn only_the_nearest_name_is_offered() {
    for (text, name) in [
        ("tll", "ttl"),
        ("TTL", "there are"),
        ("dealy", "there are"),
        ("tlt", "ttl"),
        ("retrys", "retries"),
        ("retry", "retries"),
        ("maxhold", "max_hold"),
        ("onlost", "on_lost"),
        ("lockers", "locker"),
        ("timeout", "there are"),
    ] {
        let ident = Ident::new(text, Span::call_site());
        refused(quote!(key = "k", #ident = 1), &[name]);
    }
}

#[test]
fn arguments_that_exclude_each_other() {
    refused(
        quote!(key = "k", wait, retries = 3),
        &["exclude each other"],
    );
    refused(
        quote!(key = "k", skip, or_else = f),
        &["exclude each other"],
    );
    refused(quote!(key = "k", backoff = "5s"), &["add `retries = 3`"]);
    refused(
        quote!(key = "k", backoff = "5s", wait),
        &["remove `backoff`"],
    );
    refused(quote!(key = "k", max_hold = "5s"), &["add `renew`"]);
    refused(
        quote!(key = "k", ttl = "5s", min_hold = "5001ms"),
        &["longer than `ttl`"],
    );
    good(quote!(key = "k", ttl = "5s", min_hold = "6s", renew));
    good(quote!(key = "k", ttl = TTL, min_hold = "6s"));
    good(quote!(key = "k", ttl = "5s", min_hold = "5s"));
    refused(quote!(key = "k", skip, skip), &["given twice"]);
}

#[test]
fn durations_that_can_not_be_meant() {
    refused(quote!(key = "k", ttl = "0s"), &["can't be zero"]);
    refused(quote!(key = "k", ttl = "9ms"), &["at least 10 ms"]);
    good(quote!(key = "k", ttl = "10ms", min_hold = "1ms"));
    refused(quote!(key = "k", wait = "5"), &["number and a unit"]);
    refused(
        quote!(key = "k", retries = 1, backoff = "2s..1s"),
        &["grows"],
    );
    refused(
        quote!(key = "k", retries = 1, backoff = "1s".."2s"),
        &["one string"],
    );
    refused(
        quote!(key = "k", retries = 1, backoff = "..2s"),
        &["\"\" is not a duration"],
    );
    refused(
        quote!(key = "k", retries = 4294967296),
        &["how many attempts"],
    );
}
