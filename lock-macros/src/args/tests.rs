use std::time::Duration;

use quote::{ToTokens, quote};

use super::takes::Takes;
use super::*;
use crate::key::Key;
use crate::value::Pause;

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

#[track_caller]
fn literal(args: &Args, name: &str) -> Duration {
    args.literal(name).expect("a literal").0
}

#[test]
fn all_arguments_at_once() {
    let args = good(quote! {
        key = "k", ttl = "1m 30s", retries = 3, backoff = "50ms..2s", or_else = |a| (a, b::<C, D>()),
        renew, max_hold = "10m", min_hold = "5s", on_lost = finish, fenced, name = "n", bind = lease,
        locker = self.locker, crate = my::locks,
    });
    assert!(matches!(
        args.get("key"),
        Some(Value::Key(Key::Template(_)))
    ));
    assert_eq!(literal(&args, "ttl"), Duration::from_secs(90));
    assert_eq!(literal(&args, "max_hold"), Duration::from_secs(600));
    assert_eq!(literal(&args, "min_hold"), Duration::from_secs(5));
    let Some(Value::Pause(Pause::Exponential(from, cap))) = args.get("backoff") else {
        panic!("not exponential");
    };
    assert_eq!((from.as_millis(), cap.as_millis()), (50, 2000));
    let lost = args.get("on_lost");
    assert!(matches!(lost, Some(Value::Variant("OnLost", "Finish"))));
    assert!(matches!(args.get("renew"), Some(Value::Alone("renew"))));
    assert!(matches!(args.get("bind"), Some(Value::Variable(lease)) if lease == "lease"));
    assert!(args.expr("or_else").is_some() && args.expr("locker").is_some());
    assert!(matches!(args.get("crate"), Some(Value::Path(_))));
    assert!(args.has("fenced") && !args.has("skip"));
    let of_request: Vec<_> = args.of_request().map(|(name, _)| name).collect();
    assert!(matches!(args.get("name"), Some(Value::Text(name)) if name.value() == "n"));
    let names = "fenced ttl renew max_hold min_hold on_lost retries backoff name";
    assert_eq!(of_request.join(" "), names);
}

#[test]
fn expressions_are_taken_as_they_are() {
    let args = good(quote! {
        key = concat!("a", "b"), ttl = TTL, retries = N - 1, backoff = Backoff::fixed(TTL), skip
    });
    assert!(matches!(args.get("key"), Some(Value::Key(Key::Expr(_)))));
    assert!(matches!(args.get("ttl"), Some(Value::Time(Time::Expr(_)))));
    let backoff = args.get("backoff");
    assert!(matches!(
        backoff,
        Some(Value::Pause(Pause::Fixed(Time::Expr(_))))
    ));
    assert!(args.has("skip"));
}

#[test]
fn wait_may_be_bare() {
    let args = good(quote!(key = "k", wait));
    let wait = args.get("wait");
    assert!(matches!(wait, Some(Value::Alone("wait_forever"))));
    let args = good(quote!(key = "k", wait = "5s"));
    assert_eq!(literal(&args, "wait"), Duration::from_secs(5));
}

#[test]
fn literals_from_macro_rules_wear_groups() {
    let group = |tokens| proc_macro2::Group::new(proc_macro2::Delimiter::None, tokens);
    let (key, ttl) = (group(quote!("k")), group(quote!("5s")));
    let twice = group(group(quote!("1s..2s")).into_token_stream());
    let args = good(quote!(key = #key, ttl = #ttl, retries = 1, backoff = #twice));
    let (key, backoff) = (args.get("key"), args.get("backoff"));
    assert!(matches!(key, Some(Value::Key(Key::Template(_)))));
    assert_eq!(literal(&args, "ttl"), Duration::from_secs(5));
    assert!(matches!(
        backoff,
        Some(Value::Pause(Pause::Exponential(..)))
    ));
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
fn a_name_is_known_when_compiling() {
    let why = "takes a string literal";
    refused(quote!(key = "k", name = NAME), &[why]);
    refused(quote!(key = "k", name = format!("{tenant}")), &[why]);
    refused(quote!(key = "k", name = 3), &[why]);
    refused(quote!(key = "k", name = " "), &["is empty"]);
    refused(quote!(key = "k", name), &["needs a value"]);
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
fn the_nearest_name_is_offered_or_ours_for_that_of_another_library() {
    for (text, name) in [
        ("tll", "ttl"),
        ("TTL", "there are"),
        ("dealy", "did you mean `backoff`"),
        ("timeot", "did you mean `ttl`"),
        ("tlt", "ttl"),
        ("retrys", "retries"),
        ("retry", "retries"),
        ("maxhold", "max_hold"),
        ("onlost", "on_lost"),
        ("lockers", "locker"),
        ("lock_at_most_for", "here it is `ttl`"),
        ("lease", "here it is `ttl`"),
        ("timeout", "here it is `ttl`"),
        ("EXPIRE", "here it is `ttl`"),
        ("blocking_timeout", "here it is `wait`"),
        ("retry_count", "here it is `retries`"),
        ("watchdog", "here it is `renew`"),
        // `cron` is too short to be recognised by three of its letters.
        ("crop", "there are"),
    ] {
        let ident = Ident::new(text, Span::call_site());
        refused(quote!(key = "k", #ident = 1), &[name]);
    }
    refused(
        quote!(key = "k", tll = 1),
        &["did you mean `ttl`, as in `ttl = \"5s\"`?"],
    );
    // A name alone stands for one that needs no value.
    for (text, name) in [
        ("renw", "did you mean `renew`?"),
        ("wiat", "`wait`"),
        ("tll", "value of the key"),
    ] {
        let ident = Ident::new(text, Span::call_site());
        refused(quote!(key = "k", #ident), &[name]);
    }
}

#[test]
fn numbers_that_can_not_be_meant() {
    for number in [quote!(-1), quote!(4294967296), quote!("3"), quote!(2.5)] {
        refused(quote!(key = "k", retries = #number), &["from 0 up"]);
    }
    good(quote!(key = "k", retries = -offset));
}

#[test]
fn what_is_surely_no_closure_of_one_argument_is_refused() {
    for closure in [quote!("busy"), quote!(|| 1), quote!(|a, b| 1)] {
        refused(
            quote!(key = "k", or_else = #closure),
            &["takes a closure with one argument"],
        );
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
    for several in [quote!(permits = 3), quote!(shared)] {
        for recorded in [quote!(once_per = "1d"), quote!(record)] {
            refused(
                quote!(key = "k", #several, #recorded),
                &["one run at a time"],
            );
        }
    }
}

/// One of two that exclude each other has to go anyway, maybe the one that excludes the third.
#[test]
fn of_three_that_exclude_each_other_one_is_refused() {
    refused(
        quote!(key = "k", wait, retries = 3, backoff = "5s"),
        &["`retries` and `wait` exclude each other"],
    );
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

#[test]
fn durations_have_bounds_and_units_of_one_length() {
    good(quote!(key = "k", ttl = "3650days"));
    refused(quote!(key = "k", ttl = "3651days"), &["over ten years"]);
    refused(quote!(key = "k", wait = "99999d"), &["over ten years"]);
    refused(
        quote!(key = "k", ttl = "5M"),
        &["counts in months or years, which differ in length: write \"5m\" for minutes"],
    );
    refused(quote!(key = "k", ttl = "1m 2months"), &["count in days"]);
    refused(quote!(key = "k", ttl = "1y"), &["count in days"]);
    refused(
        quote!(key = "k", retries = 1, backoff = "1s..1M"),
        &["\"1m\" for minutes"],
    );
    good(quote!(key = "k", ttl = "1m", wait = "90minutes"));
    good(quote!(key = "k", record = "1s"));
    refused(quote!(key = "k", record = "999ms"), &["at least 1 s"]);
    good(quote!(key = "k", retries = 1, backoff = "1s..1s"));
    good(quote!(key = "k", once_per = "1s"));
    good(quote!(key = "k", once_per = "366days"));
    for period in ["999ms", "367days"] {
        refused(
            quote!(key = "k", once_per = #period),
            &["from 1 s to 366 days"],
        );
    }
}

#[test]
fn what_was_meant_is_said() {
    for text in ["forever", "none", "∞"] {
        let why = "has no limit when it stands alone: write `wait`";
        refused(quote!(key = "k", wait = #text), &[why]);
    }
    refused(
        quote!(key = "k", record = "forever"),
        &["is for 30 days when it stands alone: write `record`"],
    );
    for (name, units) in [
        ("ttl", "\"500ms\", \"5s\""),
        ("once_per", "\"1h\", \"1d\""),
        ("record", "\"1h\", \"1d\""),
    ] {
        let name = Ident::new(name, Span::call_site());
        refused(quote!(key = "k", #name = "5 blinks"), &[units]);
    }
    refused(quote!(key = "k", ttl = "forever"), &["not a duration"]);
    for text in [
        "50ms-2s",
        "50ms - 2s",
        "50ms...2s",
        "50ms..=2s",
        "50ms to 2s",
        "50ms,2s",
    ] {
        refused(
            quote!(key = "k", retries = 1, backoff = #text),
            &["two dots between its pauses: `backoff = \"50ms..2s\"`"],
        );
    }
    for text in ["fast-slow", "50ms-slow", "fast-2s"] {
        refused(
            quote!(key = "k", retries = 1, backoff = #text),
            &["not a duration"],
        );
    }
    refused(
        quote!(key = "a:{}", id),
        &["names no value", "`key = \"report:{id}\"`"],
    );
}

/// What the docs say of the values.
fn documented(takes: &Takes) -> &'static str {
    match takes {
        Takes::Nothing => "",
        Takes::Key => "template, expression, or array of these",
        Takes::Time => "duration",
        Takes::TimeOr(_) => "duration, or nothing",
        Takes::Number(..) => "`u32`",
        Takes::Pause => "duration, `\"50ms..2s\"`, or a `Backoff`",
        Takes::Closure => "`FnOnce(LockError) -> R`",
        Takes::Word(..) => "`cancel` or `finish`",
        Takes::Variable => "a name",
        Takes::Expr => "`Locker`, `&Locker`, `Arc<Locker>`, `LazyLock<Locker>`",
        Takes::Path => "path",
        Takes::Text => "string literal",
    }
}

#[test]
fn the_docs_have_the_table() {
    let docs = include_str!("../lib.rs").lines();
    let rows = docs.filter_map(|line| line.strip_prefix("/// | `"));
    let rows: Vec<_> = rows
        .map(|row| {
            let mut cells = row.split('|').map(str::trim);
            (cells.next().unwrap(), cells.next().unwrap())
        })
        .collect();
    let name = |row: &Argument| format!("{}`", row.name);
    let names: Vec<_> = ARGUMENTS.iter().map(name).collect();
    let expected: Vec<_> = names
        .iter()
        .zip(ARGUMENTS)
        .map(|(name, row)| (name.as_str(), documented(&row.takes)))
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_table_is_sound() {
    let names: Vec<_> = ARGUMENTS.iter().map(|row| row.name).collect();
    for (at, row) in ARGUMENTS.iter().enumerate() {
        assert!(!names[..at].contains(&row.name), "{} twice", row.name);
        assert!(row.example.starts_with(row.name), "{}", row.example);
        for rule in row.rules {
            let (other, message) = match rule {
                Rule::Excludes(other, message) | Rule::Needs(other, message) => (other, message),
                Rule::OneKey(message) => (&row.name, message),
            };
            assert!(names.contains(other), "{other} is no argument");
            assert!(message.contains(&format!("`{other}")), "{message}");
        }
        for name in row.elsewhere.split_whitespace() {
            assert!(!names.contains(&name), "{name} is ours");
            let rows = ARGUMENTS
                .iter()
                .filter(|row| row.elsewhere.split(' ').any(|other| other == name));
            assert_eq!(rows.count(), 1, "{name} has two meanings");
        }
        let example = row.example.replace('…', "error");
        let mut examples = vec![example.clone()];
        if row.name != "key" {
            examples.push("key = \"k\"".to_owned());
        }
        for rule in row.rules {
            if let Rule::Needs(other, _) = rule {
                let other = ARGUMENTS.iter().find(|row| row.name == *other);
                examples.push(other.unwrap().example.to_owned());
            }
        }
        good(examples.join(", ").parse().unwrap());
    }
}

#[test]
fn an_array_is_of_keys() {
    let args = good(quote!(key = ["a:{b}", c.d, "e"], wait));
    let Some(Value::Key(Key::Array(keys))) = args.get("key") else {
        panic!("no array");
    };
    assert_eq!(keys.len(), 3);
    let Some(Value::Key(key)) = args.get("key") else {
        panic!("no key");
    };
    assert_eq!(key.name(), "a:{b},c . d,e");
    good(quote!(key = ["a"], permits = 3));
    let most: Vec<_> = (0..64).map(|number| number.to_string()).collect();
    good(quote!(key = [#(#most),*]));
    refused(
        quote!(key = [#(#most),*, "one more"]),
        &["these are 65 keys"],
    );
    refused(quote!(key = []), &["the array is empty"]);
    refused(quote!(key = ["a"; 2]), &["the same key again and again"]);
    refused(quote!(key = [["a"], "", ["b"; 2]]), &["no array in it"]);
}

#[test]
fn some_arguments_are_of_one_key() {
    for argument in [
        quote!(fenced),
        quote!(wait, coalesce),
        quote!(once_per = "1d"),
        quote!(record),
    ] {
        refused(quote!(key = ["a", "b"], #argument), &["lock one key"]);
        refused(quote!(#argument, key = ["a"]), &["lock one key"]);
        good(quote!(key = "a", #argument));
    }
}
