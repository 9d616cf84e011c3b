//! Arguments and a function become the function that locks.

mod async_trait;
mod owned;
mod request;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Error, Result, ReturnType, Signature, Token, Type, TypeInfer, Visibility};

use crate::args::{Args, Value};
use crate::scope::{Root, Scope, first_span, regroup};

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
        let Some(body) = body.and_then(block) else {
            let message =
                "this method has no body to lock: put `#[redis_locked]` where it is implemented";
            return Err(Error::new_spanned(signature, message));
        };
        if let ReturnType::Type(_, ret) = &signature.output
            && let Type::Never(never) = bare(ret)
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
            root: Root(match args.get("crate") {
                Some(Value::Path(path)) => Some(path.clone()),
                _ => None,
            }),
            scope: Scope::of(signature),
            asynchronous: signature.fn_token.span,
        };
        let block = if let Some(asynchronous) = signature.asyncness {
            lock.asynchronous = asynchronous.span;
            let (ret, span) = match &signature.output {
                ReturnType::Default => {
                    let span = signature.ident.span();
                    (
                        quote_spanned!(Span::mixed_site().located_at(span)=> ()),
                        span,
                    )
                }
                ReturnType::Type(_, ret) => {
                    let mut ret = ret.clone();
                    ImplTraits.visit_type_mut(&mut ret);
                    let ret = ret.into_token_stream();
                    (ret.clone(), first_span(ret))
                }
            };
            let exit = quote_spanned!(Span::mixed_site()=> return);
            let block = lock.block(Some(&exit), &ret, span, &self.body);
            quote_spanned!(Span::mixed_site()=> #block;)
        } else if async_trait::is_made(signature) {
            if let Some(receiver) = signature.receiver() {
                lock.scope.receiver = Some(Ident::new("__self", receiver.self_token.span));
            }
            let inside =
                async_trait::change_inside(self.body.stream(), &mut |variables, ret, body| {
                    lock.scope.parameters = variables;
                    regroup(body, lock.block(None, &ret, first_span(ret.clone()), body))
                });
            let fail = "the body of this method was not found in what `#[async_trait]` made of it: move it to a function of its own and lock that";
            inside.ok_or_else(|| Error::new_spanned(&signature.ident, fail))?
        } else {
            let message = "this function is not async: write `async fn`; if you did, put `#[redis_locked]` above the attribute that changes it, such as `#[tokio::main]`";
            return Err(Error::new_spanned(signature.fn_token, message));
        };
        let (head, inner) = (self.head, self.inner);
        let block = regroup(&self.body, quote!(#(#inner)* #block));
        Ok(quote!(#head #block))
    }
}

/// A block that comes through `macro_rules!` as `$body:block` wears an invisible group.
fn block(token: TokenTree) -> Option<Group> {
    let TokenTree::Group(group) = token else {
        return None;
    };
    match group.delimiter() {
        Delimiter::Brace => Some(group),
        Delimiter::None => {
            let mut inside = group.stream().into_iter();
            inside
                .next()
                .and_then(block)
                .filter(|_| inside.next().is_none())
        }
        _ => None,
    }
}

/// A type that comes through `macro_rules!` wears one, too.
fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        ty => ty,
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
    fn block(
        &self,
        exit: Option<&TokenStream>,
        ret: &TokenStream,
        ret_span: Span,
        body: &Group,
    ) -> TokenStream {
        let ours = Span::mixed_site();
        let root = self.root.at(ours);
        let request = request::request(self.args, &self.root, &self.scope);
        let or_else = self.args.expr("or_else").map(|make| {
            let make = self.scope.expr(make);
            // Its type is the function's, of which clippy has spoken there.
            quote_spanned!(ours=> #[allow(clippy::result_large_err)] let or_else = #root::or_else::<#ret, _>(#make);)
        });
        let at = ours.located_at(ret_span);
        let outcome = self.root.at(at);
        let failed = if or_else.is_some() {
            quote_spanned!(ours=> or_else(error))
        } else if self.args.has("skip") {
            quote_spanned!(at=> <#ret as #outcome::FromSkipped>::from_skipped(error))
        } else {
            quote_spanned!(at=> <#ret as #outcome::FromLockError>::from_lock_error(error))
        };
        let bind = match self.args.get("bind") {
            Some(Value::Variable(lease)) => {
                Some(quote_spanned!(ours=> let #lease = #root::current_lease();))
            }
            _ => None,
        };
        let (own, body) = self.own(body);
        let asynchronous = ours.located_at(self.asynchronous);
        let asynchronous = quote_spanned!(asynchronous=> async move);
        // Never taken, it tells each `return` its type, as a function's signature would.
        let edge = quote_spanned! {at=>
            if let #outcome::Option::Some(value) = #outcome::Option::None::<#ret> {
                return value;
            }
        };
        // Where rustc blames a result that is not `Send`: it waits here for the release.
        let run = if self.args.has("once_per") || self.args.has("record") {
            // The closure's argument has the type of the body: written here, an `impl Trait` would be guessed
            // as a `Result`.
            let judge = quote_spanned! {ours=>
                |output| {
                    use #root::{ByDefault as _, ByResult as _};
                    (&#root::Judged(output)).outcome()
                }
            };
            quote_spanned!(at=> #outcome::run_judged(request, body, #judge).await)
        } else {
            quote_spanned!(at=> request.run(body).await)
        };
        // The second arm is never taken either: it keeps rustc from finding what stands behind a body that
        // does not come to its end, or the braces of a short one. `return` keeps clippy from finding that a
        // future is returned.
        quote_spanned! {ours=>
            let request = #request;
            #or_else
            let body = #asynchronous {
                #edge
                #own
                #bind
                let value: #root::Returned<#ret> = match #root::Option::None {
                    #root::Option::None => #body,
                    #root::Option::Some(value) => value,
                };
                return value;
            };
            let outcome = #run;
            #exit match outcome {
                #root::Result::Ok(value) => value,
                #root::Result::Err(error) => #failed,
            }
        }
    }

    /// The statements that take the function's parameters into the body, and the body.
    ///
    /// Those that nothing names are not taken, so that rustc says so; nor those that only `or_else` names,
    /// which may still have them borrowed.
    fn own(&self, body: &Group) -> (TokenStream, Group) {
        let in_body = owned::mentions(body.stream());
        let mut in_attribute = owned::Mentions::default();
        let values = self.args.values_but("or_else");
        values.for_each(|value| in_attribute.add(value.source()));
        let or_else = self.args.expr("or_else");
        let in_or_else = owned::mentions(
            or_else
                .map(|make| self.scope.expr(make))
                .into_token_stream(),
        );
        let taken = self.scope.parameters.iter().filter(|parameter| {
            let is_used =
                in_attribute.have(parameter) || parameter.name.to_string().starts_with('_');
            in_body.have(parameter) || is_used && !in_or_else.have(parameter)
        });
        let (own, statements) = owned::take(&taken.collect::<Vec<_>>(), body.stream());
        (own, regroup(body, statements))
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

#[cfg(test)]
mod tests;
