//! Arguments and a function become the function that locks.

use std::collections::HashSet;

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt, quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Error, Expr, ExprReference, FnArg, GenericParam, Path, Result, ReturnType,
    Signature, Token, Type, TypeInfer, Visibility,
};

use crate::args::{Args, Pause, Time};

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
        let mut lock = Lock {
            args,
            root: Root(args.root.clone()),
            scope: Scope::of(signature),
            asynchronous: signature.fn_token.span,
        };
        let block = if let Some(asynchronous) = signature.asyncness {
            lock.asynchronous = asynchronous.span;
            let (ret, span) = match &signature.output {
                ReturnType::Default => (quote!(()), signature.ident.span()),
                ReturnType::Type(_, ret) => {
                    let mut ret = ret.clone();
                    ImplTraits.visit_type_mut(&mut ret);
                    let ret = ret.into_token_stream();
                    (ret.clone(), first_span(ret))
                }
            };
            lock.block(&ret, span, &self.body)
        } else if is_async_trait(signature) {
            if let Some(receiver) = signature.receiver() {
                lock.scope.receiver = Some(Ident::new("__self", receiver.self_token.span));
            }
            let fail = "the body of this method was not found in what `#[async_trait]` made of it: move it to a function of its own and lock that";
            in_async_trait(self.body.stream(), &lock)
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

/// What the expressions in the arguments may refer to.
pub(crate) struct Scope {
    /// Names that the function surely has: its arguments and const generics.
    pub(crate) known: HashSet<String>,
    /// What `self` is called, where it is not `self`.
    pub(crate) receiver: Option<Ident>,
}

impl Scope {
    fn of(signature: &Signature) -> Self {
        let mut known = HashSet::new();
        for argument in &signature.inputs {
            if let FnArg::Typed(argument) = argument {
                names(argument.pat.to_token_stream(), &mut known);
            }
        }
        for parameter in &signature.generics.params {
            if let GenericParam::Const(parameter) = parameter {
                known.insert(parameter.ident.to_string());
            }
        }
        Self {
            known,
            receiver: None,
        }
    }

    pub(crate) fn expr(&self, expr: &Expr) -> TokenStream {
        match &self.receiver {
            Some(receiver) => renamed(expr.to_token_stream(), receiver),
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

fn names(pattern: TokenStream, known: &mut HashSet<String>) {
    for token in pattern {
        match token {
            TokenTree::Ident(name) => {
                known.insert(name.to_string());
            }
            TokenTree::Group(group) => names(group.stream(), known),
            _ => {}
        }
    }
}

fn renamed(tokens: TokenStream, receiver: &Ident) -> TokenStream {
    let rename = |token| match token {
        TokenTree::Ident(name) if name == "self" => {
            let span = receiver.span().located_at(name.span());
            Ident::new(&receiver.to_string(), span).into()
        }
        TokenTree::Group(group) => regroup(&group, renamed(group.stream(), receiver)).into(),
        token => token,
    };
    tokens.into_iter().map(rename).collect()
}

fn is_async_trait(signature: &Signature) -> bool {
    let mut lifetimes = signature.generics.lifetimes();
    lifetimes.any(|parameter| parameter.lifetime.ident == "async_trait")
}

/// Locks the block of `let __ret: T = { … };` (`let _: () = { … };` without a return type): the user's,
/// with the arguments destructured before it.
fn in_async_trait(tokens: TokenStream, lock: &Lock<'_>) -> Option<TokenStream> {
    let mut tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for at in 0..tokens.len() {
        let (place, block) = if let Some((ret, end)) = assignment(&tokens[at..]) {
            let TokenTree::Group(body) = &tokens[at + end] else {
                continue;
            };
            let span = first_span(ret.clone());
            (at + end, regroup(body, lock.block(&ret, span, body)))
        } else if let TokenTree::Group(group) = &tokens[at] {
            let Some(inside) = in_async_trait(group.stream(), lock) else {
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
