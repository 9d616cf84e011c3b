//! What a template consists of.

use syn::Ident;
use syn::ext::IdentExt;
use syn::parse::Parser;

#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Field(Field),
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Field {
    pub(super) source: String,
    pub(super) root: String,
    pub(super) rest: Vec<Access>,
    /// From the colon on.
    pub(super) spec: String,
    /// The names that the spec takes a width or a precision from.
    pub(super) counts: Vec<String>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Access {
    Field(String),
    Index(u32),
    Call(String),
}

impl Piece {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Field(_) => None,
        }
    }

    pub(super) fn field(&self) -> Option<&Field> {
        match self {
            Self::Text(_) => None,
            Self::Field(field) => Some(field),
        }
    }
}

#[derive(Debug, PartialEq)]
pub(super) enum Problem {
    Odd,
    Refused(String),
}

pub(super) fn scan(text: &str) -> std::result::Result<Vec<Piece>, Problem> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        plain += before;
        if brace.starts_with("{{") || brace.starts_with("}}") {
            plain += &brace[..1];
            rest = &brace[2..];
            continue;
        }
        let inside = brace.strip_prefix('{').ok_or(Problem::Odd)?;
        let end = inside.find(['{', '}']).ok_or(Problem::Odd)?;
        rest = inside[end..].strip_prefix('}').ok_or(Problem::Odd)?;
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Field(field(&inside[..end])?));
    }
    plain += rest;
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

fn field(inside: &str) -> std::result::Result<Field, Problem> {
    let refuse = |why: &str| Err(Problem::Refused(format!("`{{{inside}}}` {why}")));
    let (source, spec) = inside.split_at(inside.find(':').unwrap_or(inside.len()));
    if source.trim().bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse("names no value: write an argument, as in `{tenant}` or `{order.id}`");
    }
    // As `format!` has it: blanks are for the end.
    let is_blank = char::is_whitespace;
    if source.starts_with(is_blank) || !spec.is_empty() && source.ends_with(is_blank) {
        return refuse("has a blank beside the name: remove it, as in `{tenant}` and `{id:08x}`");
    }
    let source = source.trim_end();
    if source.starts_with("r#") && !source.contains('.') {
        return Err(Problem::Odd);
    }
    if spec.starts_with("::") && spec[2..].starts_with(|c: char| c.is_alphabetic() || c == '_') {
        return refuse(
            "is a path: import the name, or write the key as an expression, `key = format!(\"…\", …)`",
        );
    }
    let mut path = source.split('.').map(access);
    let (Some(Some(Access::Field(root))), Some(rest)) = (path.next(), path.collect()) else {
        return refuse(
            "is more than a template takes: write a name with its fields, `{order.id}`, `{pair.0}` or `{user.id()}`, or make the key an expression, `key = format!(\"…\", …)`",
        );
    };
    if spec.contains(".*") {
        return refuse("takes its precision by position: name it, as in `{id:.digits$}`");
    }
    let mut counts = Vec::new();
    for (at, _) in spec.match_indices('$') {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let name = spec[..at].rsplit(|c| !is_name(c)).next().unwrap_or("");
        // A zero in front is the flag that pads with zeros.
        match name.trim_start_matches(|c: char| c.is_ascii_digit()) {
            "" if name.is_empty() => {}
            "" => return refuse("takes its width by position: name it, as in `{id:>width$}`"),
            name => counts.push(name.to_owned()),
        }
    }
    Ok(Field {
        source: source.to_owned(),
        root,
        rest,
        spec: spec.to_owned(),
        counts,
    })
}

fn access(segment: &str) -> Option<Access> {
    // Nothing but the name: blanks and comments around it are parsed as well.
    let is_name = |name: &str| {
        let parsed = Ident::parse_any.parse_str(name);
        parsed.is_ok_and(|parsed| parsed == name)
    };
    if let Ok(index) = segment.parse() {
        return Some(Access::Index(index));
    }
    let segment = segment.strip_prefix("r#").unwrap_or(segment);
    match segment.strip_suffix("()") {
        Some(method) if is_name(method) => Some(Access::Call(method.to_owned())),
        None if is_name(segment) => Some(Access::Field(segment.to_owned())),
        _ => None,
    }
}
