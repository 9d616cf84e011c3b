mod fuzz;

use super::*;

fn squeezed(tokens: &TokenStream) -> String {
    tokens.to_string().split_whitespace().collect()
}

fn tokens(text: &str) -> TokenStream {
    text.parse().unwrap()
}

#[track_caller]
fn expanded(args: &str, item: &str) -> String {
    let text = squeezed(&expand(tokens(args), &tokens(item)));
    assert!(!text.contains("compile_error"), "{text}");
    text
}

#[track_caller]
fn has(text: &str, part: &str) {
    let part = squeezed(&tokens(part));
    assert!(text.contains(&part), "{text}\nhas no\n{part}");
}

#[track_caller]
fn refused(item: &str, part: &str) {
    let item = tokens(item);
    let text = expand(quote!(key = "k"), &item).to_string();
    assert!(text.starts_with(&item.to_string()), "no item: {text}");
    assert!(text.contains(part), "{text}");
    assert_eq!(text.matches("compile_error").count(), 1, "{text}");
}

#[test]
fn the_head_stays_and_the_body_appears_once() {
    let head = "
        #[doc = \"Docs.\"]
        #[must_use]
        pub(crate) async fn f<'a, T: Copy, const N: usize>(
            mut a: [T; N],
            (b, _): (u8, &'a u8),
        ) -> Result<T, E>
        where
            T: Send,
        {
            #![allow(unused)]
        ";
    let text = expanded("key = \"k\"", &format!("{head} only_once(a, b).await }}"));
    let head: String = head.split_whitespace().collect();
    assert!(text.starts_with(&format!("{head}letrequest=")), "{text}");
    assert_eq!(text.matches("only_once").count(), 1);
    assert_eq!(text.matches("asyncmove").count(), 1);
}

#[test]
fn half_typed_bodies_are_kept() {
    let text = expanded("key = \"k\"", "async fn f() -> R { let x = ; foo. }");
    has(&text, "{ let x = ; foo. }");
}

#[test]
fn impl_trait_is_left_to_inference() {
    let ret = "Result<(impl A, Box<dyn B<C = impl D>>), impl Fn(u8) -> u8>";
    let text = expanded("key = \"k\"", &format!("async fn f() -> {ret} {{}}"));
    has(&text, "None::<Result<(_, Box<dyn B<C = _>>), _>>");
    has(&text, "Returned<Result<(_, Box<dyn B<C = _>>), _>>");
    has(&text, "<Result<(_, Box<dyn B<C = _>>), _> as");
}

#[test]
fn the_request_is_built_in_order() {
    let args = "
        key = \"k\", ttl = \"5s\", retries = N, backoff = \"1s..2s\", renew, max_hold = \"1500ms\",
        min_hold = M, on_lost = finish, fenced, locker = a + b";
    let text = expanded(args, "async fn f() -> R {}");
    let text = text.replace("::redis_locked::__private", "p");
    let request = "
        let request = p::request_on(&(a + b), p::Key::fixed(\"k\"))
            .fenced()
            .ttl(p::Duration::new(5u64, 0u32))
            .renew()
            .max_hold(p::Duration::new(1u64, 500000000u32))
            .min_hold(M)
            .on_lost(p::OnLost::Finish)
            .retries(N)
            .backoff(p::Backoff::exponential(
                p::Duration::new(1u64, 0u32),
                p::Duration::new(2u64, 0u32)
            ));";
    has(&text, request);
    let text = expanded("key = \"k\", wait", "async fn f() -> R {}");
    has(&text, ".wait_forever()");
    let text = expanded("key = \"k\", coalesce, wait", "async fn f() -> R {}");
    has(&text, ".wait_forever().coalesce()");
}

#[test]
fn the_root_can_be_replaced() {
    let args = "key = \"{id}\", crate = crate::locks";
    let text = expanded(args, "async fn f() -> R {}");
    has(&text, "crate::locks::__private::request");
    assert!(!text.contains("redis_locked"), "{text}");
}

#[test]
fn only_the_block_inside_of_async_trait_is_wrapped() {
    let item = "
        fn f<'life0, 'async_trait>(
            &'life0 self,
            __arg1: (u8, u8),
        ) -> Pin<Box<dyn Future<Output = R<u8>>>> {
            Box::pin(async move {
                let __self = self;
                let (a, b) = { let __arg1 = __arg1; __arg1 };
                let c: u8 = { 1 };
                let __ret: R<u8> = { body(a) };
                __ret
            })
        }";
    let text = expanded("key = \"{self.id}\", locker = self.locker", item);
    assert!(text.contains("let__ret:R<u8>={letrequest="), "{text}");
    has(&text, "None::<R<u8>>");
    has(&text, "&__self.id");
    has(&text, "&__self.locker");
    has(&text, "let _ = &a;");
    assert_eq!(text.matches("body(a)").count(), 1);
}

#[test]
fn items_that_do_not_run_are_refused_and_kept() {
    refused("fn f() -> R {}", "not async");
    refused("fn f() -> Pin<Box<dyn Future<Output = R>>> {}", "not async");
    refused("async fn f() -> ! {}", "never returns");
    refused("async fn f(&self) -> R;", "no body");
    refused("impl A { async fn f() -> R {} }", "on its methods");
    refused("unsafe impl A for B {}", "on its methods");
    refused("pub trait A {}", "on its methods");
    refused("pub(crate) struct A;", "goes on an `async fn`");
    refused("fn f<'async_trait>() -> R { other() }", "not found");
}

#[test]
fn bad_arguments_leave_the_function_as_it_was() {
    let item = tokens("async fn f() -> R { body() }");
    let text = expand(quote!(key = "", tll = "5s"), &item).to_string();
    assert!(text.starts_with(&item.to_string()));
    assert_eq!(text.matches("compile_error").count(), 2);
}

/// From `let body` on: before it, the docs make the request without what is private.
#[test]
fn the_docs_show_the_expansion() {
    let docs = include_str!("../lib.rs");
    let (_, shown) = docs.split_once("By hand, the function would be:").unwrap();
    let shown = shown.split("```").nth(1).unwrap();
    let lines = shown.lines().filter_map(|line| line.strip_prefix("/// "));
    let code: Vec<&str> = lines.filter(|line| !line.starts_with('#')).collect();
    let shown = squeezed(&tokens(&code.join("\n")));

    let (_, annotated) = docs.split_once("/// #[redis_locked(").unwrap();
    let (args, rest) = annotated.split_once(")]\n").unwrap();
    let (function, _) = rest.split_once("\n///\n").unwrap();
    let expanded = expanded(args, &function.replace("///", ""));
    let outcome = "Result<String,LockError>";
    let expanded = expanded
        .replace("::redis_locked::__private::", "")
        .replace("Option::", "")
        .replace("Result::", "")
        .replace(&format!("Returned<{outcome}>"), outcome)
        .replace(
            &format!("<{outcome}asFromLockError>::from_lock_error(error)"),
            "Err(error.into())",
        );
    let body = |text: &str| text.split_once("letbody=").unwrap().1.to_owned();
    assert_eq!(body(&shown), body(&expanded));
    let (made, _) = expanded.split_once("letbody=").unwrap();
    assert!(
        made.ends_with(".ttl(Duration::new(5u64,0u32)).retries(3);"),
        "{made}"
    );
}

/// What stands between the edge and the body.
#[track_caller]
fn owned(args: &str, parameters: &str, body: &str) -> String {
    let text = expanded(args, &format!("async fn f({parameters}) -> R {{ {body} }}"));
    let (_, after) = text.split_once("returnvalue;}").unwrap();
    let (owned, _) = after.split_once("letvalue:").unwrap();
    owned.to_owned()
}

#[test]
fn parameters_are_taken_whole_and_the_last_one_first() {
    let parameters = "self, a: A, (b, [c, ..]): B, C { d, e: f }: C, unused: D";
    let text = owned("key = \"k\"", parameters, "self.x(a, b, c, d, f)");
    assert_eq!(text, "let_=&f;let_=&d;let_=&c;let_=&b;let_=&a;let_=&self;");
    let text = owned("key = \"k\"", "#[cfg(unix)] #[allow(x)] a: A", "a");
    assert_eq!(text, "#[cfg(unix)]let_=&a;");
}

#[test]
fn parameters_are_variables_of_the_body_from_the_first_mutable_on() {
    let allow = "#[allow(clippy::shadow_same)]";
    let text = owned(
        "key = \"k\"",
        "a: A, #[allow(x)] mut b: B, ref mut c: C",
        "a; b; c",
    );
    let expected = "let_=&c;let_=&mutb;let_=&a;#[allow(x)]ALLOWletmutb=b;ALLOWletc=c;";
    assert_eq!(text, expected.replace("ALLOW", allow));
}

#[test]
fn only_what_is_named_is_taken() {
    let body = "x.a; x.b(); C { c: 1 }; d::e(); ..f; format!(\"{g:>h$} {}\", \"i\")";
    let parameters = "a: u8, b: u8, c: u8, d: u8, f: u8, g: u8, h: u8, i: u8";
    assert_eq!(
        owned("key = \"k\"", parameters, body),
        "let_=&h;let_=&g;let_=&f;"
    );
    let args = "key = \"{a.x}\", ttl = b, or_else = |_| (a, b, c), locker = d";
    assert_eq!(owned(args, "a: A, b: B, c: C, d: D", ""), "let_=&d;");
    assert_eq!(
        owned(args, "a: A, b: B, c: C, d: D", "a; c"),
        "let_=&d;let_=&c;let_=&a;"
    );
    let text = owned("key = \"k\"", "_: A, _b: B", "");
    assert_eq!(
        text,
        "#[allow(clippy::no_effect_underscore_binding,clippy::used_underscore_binding)]let_=&_b;"
    );
}

#[test]
fn what_only_the_key_names_is_taken() {
    let parameters = "a: A, b: B, c: C, d: D";
    for (key, taken) in [
        ("\"{a}:{b.id}\"", "let_=&b;let_=&a;"),
        ("c.id", "let_=&c;"),
        ("[\"{a}\", d]", "let_=&d;let_=&a;"),
    ] {
        assert_eq!(owned(&format!("key = {key}"), parameters, ""), taken);
    }
}

#[test]
fn a_run_that_is_recorded_is_judged() {
    for (args, is_judged) in [
        ("key = \"k\"", false),
        ("key = \"k\", once_per = \"1d\"", true),
        ("key = \"k\", record", true),
        ("key = \"k\", once_per = \"1d\", record", true),
    ] {
        let text = expanded(args, "async fn f() -> R {}");
        assert_eq!(text.contains("run_judged("), is_judged, "{text}");
        assert_eq!(text.contains("request.run("), !is_judged, "{text}");
    }
}

#[test]
fn a_mutable_self_has_another_name_in_the_body() {
    let body = "
        self.a = m!(self);
        self::f();
        if c { self.c }
        impl A for B { fn g(&self) { self.x } }
        trait C { fn g(&self) { self.x } }
        || self.b";
    let text = expanded(
        "key = \"{self.a}\"",
        &format!("async fn f(mut self) -> R {{ {body} }}"),
    );
    let renamed = "
        => {
            __self.a = m!(__self);
            self::f();
            if c { __self.c }
            impl A for B { fn g(&self) { self.x } }
            trait C { fn g(&self) { self.x } }
            || __self.b
        }";
    has(&text, renamed);
    has(&text, "let mut __self = self;");
    has(&text, "&self.a");
    let text = expanded(
        "key = \"k\"",
        "async fn f(mut self) -> R { self.a = 1; m!(\"{self}\") }",
    );
    has(&text, "=> { self.a = 1; m!(\"{self}\") }");
    has(&text, "let _ = &mut self;");
}

#[test]
fn blocks_and_types_of_macros_wear_groups() {
    let group = |tokens| proc_macro2::Group::new(Delimiter::None, tokens);
    let block = group(group(quote!({ body() })).into_token_stream());
    let text = squeezed(&expand(
        quote!(key = "k"),
        &quote!(async fn f() -> R #block),
    ));
    has(&text, "=> { body() }");
    let never = group(quote!(!));
    let text = expand(quote!(key = "k"), &quote!(async fn f() -> #never {})).to_string();
    assert!(text.contains("never returns"), "{text}");
}
