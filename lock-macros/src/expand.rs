//! Arguments and a function become the function that locks.

mod async_trait;
mod scope;

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt, quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Error, Result, ReturnType, Signature, Token, Type, TypeInfer, Visibility};

use crate::args::{Args, Pause, Time};
pub(crate) use scope::{Root, Scope};

/// The function that locks; or the function as it came, so that an editor keeps working, and all errors.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Vec::new();
    let args = Args::parse(args, &mut errors);
    let locked = Function::parse(item.clone()).and_then(|function| function.locked(&args));
    match locked {
        Ok(locked) if errors.is_empty() => return locked,
        Ok(_) => {}
        Err(error) => errors.push(error),
    }
    let errors = errors.iter().map(Error::to_compile_error);
    quote!(#item #(#errors)*)
}

/// The head is kept as the tokens that it came in, and so is the body.
struct Function {
    head: TokenStream,
    signature: Signature,
    inner: Vec<Attribute>,
    body: Group,
}

impl Function {
    fn parse(item: TokenStream) -> Result<Self> {
        let mut head: Vec<TokenTree> = item.into_iter().collect();
        let body = head.pop();
        let head: TokenStream = head.into_iter().collect();
        let signature = signature.parse2(head.clone())?;
        let Some(TokenTree::Group(body)) = body else {
            let message =
                "this method has no body to lock: put `#[redis_locked]` where it is implemented";
            return Err(Error::new_spanned(signature, message));
        };
        if let ReturnType::Type(_, ret) = &signature.output
            && let Type::Never(never) = &**ret
        {
            let message = "a function that never returns can't say that it has not got the lock: return `Result<std::convert::Infallible, E>`";
            return Err(Error::new_spanned(never, message));
        }
        let split = |input: ParseStream<'_>| {
            Ok((
                Attribute::parse_inner(input)?,
                input.parse::<TokenStream>()?,
            ))
        };
        let (inner, statements) = split.parse2(body.stream())?;
        Ok(Self {
            head,
            signature,
            inner,
            body: regroup(&body, statements),
        })
    }

    fn locked(self, args: &Args) -> Result<TokenStream> {
        let signature = &self.signature;
        let ours = Span::mixed_site();
        let mut lock = Lock {
            args,
            root: Root(args.root.clone()),
            scope: Scope::of(signature),
            asynchronous: signature.fn_token.span,
        };
        let block = if let Some(asynchronous) = signature.asyncness {
            lock.asynchronous = asynchronous.span;
            let (ret, span) = match &signature.output {
                ReturnType::Default => {
                    let span = signature.ident.span();
                    (quote_spanned!(ours.located_at(span)=> ()), span)
                }
                ReturnType::Type(_, ret) => {
                    let mut ret = ret.clone();
                    ImplTraits.visit_type_mut(&mut ret);
                    let ret = ret.into_token_stream();
                    (ret.clone(), first_span(ret))
                }
            };
            lock.block(&ret, span, &self.body)
        } else if async_trait::is_made(signature) {
            if let Some(receiver) = signature.receiver() {
                lock.scope.receiver = Some(Ident::new("__self", receiver.self_token.span));
            }
            let fail = "the body of this method was not found in what `#[async_trait]` made of it: move it to a function of its own and lock that";
            async_trait::lock_inside(self.body.stream(), &lock)
                .ok_or_else(|| Error::new_spanned(&signature.ident, fail))?
        } else {
            let message = "this function is not async: write `async fn`; if you did, put `#[redis_locked]` above the attribute that changes it, such as `#[tokio::main]`";
            return Err(Error::new_spanned(signature.fn_token, message));
        };
        let (head, inner) = (self.head, self.inner);
        let block = regroup(&self.body, quote!(#(#inner)* #block));
        Ok(quote!(#head #block))
    }
}

fn signature(input: ParseStream<'_>) -> Result<Signature> {
    Attribute::parse_outer(input)?;
    input.parse::<Visibility>()?;
    let what = if input.peek(Token![impl]) || input.peek2(Token![impl]) {
        "an `impl` block does not run: put `#[redis_locked]` on its methods"
    } else if input.peek(Token![trait]) || input.peek2(Token![trait]) {
        "a trait does not run: put `#[redis_locked]` on its methods that have a body"
    } else {
        "`#[redis_locked]` goes on an `async fn`"
    };
    let start = input.span();
    let signature = input.parse();
    signature.map_err(|_| Error::new(start, what))
}

/// Where the pieces of one expansion come from.
struct Lock<'a> {
    args: &'a Args,
    root: Root,
    scope: Scope,
    /// The user's `async`, where rustc blames a future that is not `Send`.
    asynchronous: Span,
}

impl Lock<'_> {
    fn block(&self, ret: &TokenStream, ret_span: Span, body: &Group) -> TokenStream {
        let ours = Span::mixed_site();
        let root = self.root.at(ours);
        let request = self.request();
        let or_else = self.args.or_else.as_ref().map(|make| {
            let make = self.scope.expr(make);
            quote_spanned!(ours=> let or_else = #root::or_else::<#ret, _>(#make);)
        });
        let at = ours.located_at(ret_span);
        let outcome = self.root.at(at);
        let failed = if or_else.is_some() {
            quote_spanned!(ours=> or_else(error))
        } else if self.args.given("skip").is_some() {
            quote_spanned!(at=> <#ret as #outcome::FromSkipped>::from_skipped(error))
        } else {
            quote_spanned!(at=> <#ret as #outcome::FromLockError>::from_lock_error(error))
        };
        let bind = self
            .args
            .bind
            .as_ref()
            .map(|lease| quote_spanned!(ours=> let #lease = #root::current_lease();));
        let asynchronous = ours.located_at(self.asynchronous);
        let asynchronous = quote_spanned!(asynchronous=> async move);
        // Never taken, it tells the block its type, as a function's signature would.
        let edge = quote_spanned! {at=>
            if let #outcome::Option::Some(value) = #outcome::Option::None::<#ret> {
                return value;
            }
        };
        quote_spanned! {ours=>
            let request = #request;
            #or_else
            let body = #asynchronous {
                #edge
                #bind
                #body
            };
            match request.run(body).await {
                #root::Result::Ok(value) => value,
                #root::Result::Err(error) => #failed,
            }
        }
    }

    fn request(&self) -> TokenStream {
        let (args, ours) = (self.args, Span::mixed_site());
        let root = self.root.at(ours);
        // Without a key there has been an error already.
        let key = args
            .key
            .as_ref()
            .map(|key| key.expand(&self.root, &self.scope));
        let mut request = match &args.locker {
            None => quote_spanned!(ours=> #root::request(#key)),
            Some(locker) => {
                let locker = self.scope.borrow(locker);
                quote_spanned!(ours=> #root::request_on(#locker, #key))
            }
        };
        let mut set = |name: &str, value: Option<TokenStream>| {
            let name = Ident::new(name, ours);
            request.append_all(quote_spanned!(ours=> .#name(#value)));
        };
        let time = |time: &Time| Some(self.time(time));
        if let Some(ttl) = &args.ttl {
            set("ttl", time(ttl));
        }
        if let Some(retries) = &args.retries {
            set("retries", Some(self.scope.expr(retries)));
        }
        match &args.backoff {
            None => {}
            Some(Pause::Fixed(pause)) => set("backoff", time(pause)),
            Some(Pause::Exponential(from, cap)) => {
                let (from, cap) = (self.duration(*from), self.duration(*cap));
                let backoff = quote_spanned!(ours=> #root::Backoff::exponential(#from, #cap));
                set("backoff", Some(backoff));
            }
        }
        match (args.given("wait"), &args.wait) {
            (None, _) => {}
            (Some(_), None) => set("wait_forever", None),
            (Some(_), Some(limit)) => set("wait", time(limit)),
        }
        if args.given("renew").is_some() {
            set("renew", None);
        }
        if let Some(max_hold) = &args.max_hold {
            set("max_hold", time(max_hold));
        }
        if let Some(min_hold) = &args.min_hold {
            set("min_hold", time(min_hold));
        }
        if args.finish {
            set(
                "on_lost",
                Some(quote_spanned!(ours=> #root::OnLost::Finish)),
            );
        }
        if args.given("fenced").is_some() {
            set("fenced", None);
        }
        request
    }

    fn time(&self, time: &Time) -> TokenStream {
        match time {
            Time::Literal(duration, _) => self.duration(*duration),
            Time::Expr(expr) => self.scope.expr(expr),
        }
    }

    fn duration(&self, duration: std::time::Duration) -> TokenStream {
        let root = self.root.at(Span::mixed_site());
        let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
        quote_spanned!(Span::mixed_site()=> #root::Duration::new(#seconds, #nanoseconds))
    }
}

/// `impl Trait` is not a type that can be named: the compiler finds it.
struct ImplTraits;

impl VisitMut for ImplTraits {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        if let Type::ImplTrait(found) = ty {
            *ty = Type::Infer(TypeInfer {
                attrs: Vec::new(),
                underscore_token: Token![_](found.impl_token.span),
            });
        }
        visit_mut::visit_type_mut(self, ty);
    }
}

fn first_span(tokens: TokenStream) -> Span {
    let first = tokens.into_iter().next();
    first.map_or_else(Span::call_site, |token| token.span())
}

fn regroup(like: &Group, tokens: TokenStream) -> Group {
    let mut group = Group::new(like.delimiter(), tokens);
    group.set_span(like.span());
    group
}

#[cfg(test)]
mod tests;
