//! The expression that makes the request.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote_spanned};
use syn::LitStr;

use crate::args::{Args, Value};
use crate::key::Key;
use crate::scope::{Root, Scope};
use crate::value::{Pause, Time};

pub(super) fn request(args: &Args, root: &Root, scope: &Scope) -> TokenStream {
    let ours = Span::mixed_site();
    let private = root.at(ours);
    // Without a key there has been an error already.
    let (key, all) = match args.get("key") {
        Some(Value::Key(key)) => {
            let is_array = matches!(key, Key::Array(_));
            let all = is_array.then(|| LitStr::new(&key.name(), ours));
            (Some(key.expand(root, scope)), all)
        }
        _ => (None, None),
    };
    let locker = args.expr("locker").map(|locker| scope.borrow(locker));
    let mut request = match (locker, all) {
        (None, None) => quote_spanned!(ours=> #private::request(#key)),
        (Some(locker), None) => quote_spanned!(ours=> #private::request_on(#locker, #key)),
        (None, Some(name)) => quote_spanned!(ours=> #private::request_all(#key, #name)),
        (Some(locker), Some(name)) => {
            quote_spanned!(ours=> #private::request_all_on(#locker, #key, #name))
        }
    };
    for (name, value) in args.of_request() {
        let mut method = name;
        let value = match value {
            Value::Alone(name) => {
                method = name;
                None
            }
            Value::Time(time) | Value::Pause(Pause::Fixed(time)) => {
                Some(self::time(time, &private, scope))
            }
            Value::Pause(Pause::Exponential(from, cap)) => {
                let (from, cap) = (duration(*from, &private), duration(*cap, &private));
                Some(quote_spanned!(ours=> #private::Backoff::exponential(#from, #cap)))
            }
            Value::Variant(of, variant) => {
                let (of, variant) = (Ident::new(of, ours), Ident::new(variant, ours));
                Some(quote_spanned!(ours=> #private::#of::#variant))
            }
            Value::Text(text) => Some(text.to_token_stream()),
            Value::Expr(expr) => Some(scope.expr(expr)),
            Value::Key(_) | Value::Variable(_) | Value::Path(_) | Value::Unreadable => continue,
        };
        let method = Ident::new(method, ours);
        request.extend(quote_spanned!(ours=> .#method(#value)));
    }
    request
}

fn time(time: &Time, private: &TokenStream, scope: &Scope) -> TokenStream {
    match time {
        Time::Literal(literal, _) => duration(*literal, private),
        Time::Expr(expr) => scope.expr(expr),
    }
}

fn duration(duration: std::time::Duration, private: &TokenStream) -> TokenStream {
    let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
    quote_spanned!(Span::mixed_site()=> #private::Duration::new(#seconds, #nanoseconds))
}
