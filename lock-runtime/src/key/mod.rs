//! The key of an attribute: its text, the template it came from, and whether a field was empty.

mod side;

use std::cell::Cell;
use std::fmt::{self, Arguments, Display, Write};

#[cfg(feature = "cluster")]
pub(crate) use side::tag;
pub use side::{SideKey, counter_key, is_side_key, line_keys, record_key};

/// A finished key. The attribute makes it before the arguments move into the body.
#[derive(Debug)]
pub struct Key {
    text: String,
    template: &'static str,
    empty: Option<&'static str>,
}

impl Key {
    /// A literal without fields.
    #[must_use]
    pub fn fixed(text: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            template: text,
            empty: None,
        }
    }

    /// The value of an expression; its source stands in for the template.
    #[must_use]
    pub fn display(value: &(impl Text + ?Sized), source: &'static str) -> Self {
        Self {
            text: Fields::new().field(source, value).to_string(),
            template: source,
            empty: None,
        }
    }

    pub(crate) fn template(&self) -> &'static str {
        self.template
    }

    /// The text, the template, and the first field whose text is empty or blank.
    pub(crate) fn into_parts(self) -> (String, &'static str, Option<&'static str>) {
        (self.text, self.template, self.empty)
    }
}

/// Watches the fields of one template while it is formatted.
///
/// Formatted arguments don't tell where a field begins and ends, so each is wrapped in a `Field`
/// that looks at how much the text has before and after it that is not blank. One field may stay
/// unwrapped: it has what the others and the literal text leave over. That one is a capture in the user's own literal,
/// where rustc can point at the name.
#[derive(Debug, Default)]
pub struct Fields {
    /// Bytes so far, without blanks.
    written: Cell<usize>,
    /// Those of them that are in wrapped fields.
    wrapped: Cell<usize>,
    empty: Cell<Option<&'static str>>,
}

impl Fields {
    /// No field has been seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wraps the value of the field `name`.
    pub fn field<'a, T: ?Sized>(&'a self, name: &'static str, value: &'a T) -> Field<'a, T> {
        Field {
            fields: self,
            name,
            value,
        }
    }

    /// Formats the key. `literal` is the [`solid`] length of the text outside of the fields,
    /// `capture` the field that is not wrapped.
    ///
    /// # Panics
    ///
    /// When a field panics or fails to format, as `to_string` does.
    #[must_use]
    pub fn key(
        &self,
        template: &'static str,
        text: Arguments<'_>,
        literal: usize,
        capture: Option<&'static str>,
    ) -> Key {
        let mut sink = Sink {
            text: String::new(),
            written: &self.written,
        };
        sink.write_fmt(text)
            .expect("a value in the key returned an error from its `fmt`");
        let text = sink.text;
        let capture = capture.filter(|_| self.written.get() == literal + self.wrapped.get());
        Key {
            text,
            template,
            empty: self.empty.get().or(capture),
        }
    }
}

/// How many bytes of a text are not blank: a field that has none is as good as empty.
fn solid(text: &str) -> usize {
    let solid = text.chars().filter(|c| !c.is_whitespace());
    solid.map(char::len_utf8).sum()
}

struct Sink<'a> {
    text: String,
    written: &'a Cell<usize>,
}

impl Write for Sink<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text.push_str(text);
        self.written.set(self.written.get() + solid(text));
        Ok(())
    }
}

/// The value of a field, formatted as the field's spec says.
pub struct Field<'a, T: ?Sized> {
    fields: &'a Fields,
    name: &'static str,
    value: &'a T,
}

impl<T: ?Sized> Field<'_, T> {
    fn watch(&self, write: impl FnOnce(&T) -> fmt::Result) -> fmt::Result {
        let before = self.fields.written.get();
        write(self.value)?;
        let length = self.fields.written.get() - before;
        let wrapped = self.fields.wrapped.get();
        self.fields.wrapped.set(wrapped + length);
        if length == 0 && self.fields.empty.get().is_none() {
            self.fields.empty.set(Some(self.name));
        }
        Ok(())
    }
}

macro_rules! formats {
    ($($format:ident)*) => {$(
        impl<T: fmt::$format + ?Sized> fmt::$format for Field<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.watch(|value| fmt::$format::fmt(value, f))
            }
        }
    )*};
}

formats!(Binary Debug LowerExp LowerHex Octal Pointer UpperExp UpperHex);

impl<T: Text + ?Sized> Display for Field<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.watch(|value| value.show(f))
    }
}

/// `Display`, in the words of keys.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no text that could be in a key",
    label = "not `Display`",
    note = "name one of its fields or methods, as in `key = \"order:{{order.id}}\"`, or format it as `Debug`, `{{order:?}}`",
    note = "of several keys, write the array here, as in `key = [\"account:{{from}}\", \"account:{{to}}\"]`, or use `Locker::lock_all`",
    note = "of an `Option`, say what stands for `None`: `key = format!(\"report:{{}}\", id.unwrap_or_default())`"
)]
pub trait Text {
    /// Formats the text.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

#[diagnostic::do_not_recommend]
impl<T: Display + ?Sized> Text for T {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty(tenant: &str, region: &str) -> Option<&'static str> {
        let fields = Fields::new();
        let text = format_args!(
            "a report:{tenant}:{region}",
            region = fields.field("region", region)
        );
        let key = fields.key("a report:{tenant}:{region}", text, 9, Some("tenant"));
        assert_eq!(key.text, format!("a report:{tenant}:{region}"));
        key.into_parts().2
    }

    #[test]
    fn names_the_empty_field() {
        assert_eq!(empty("a", "b"), None);
        assert_eq!(empty("", "b"), Some("tenant"));
        assert_eq!(empty("a", ""), Some("region"));
        assert_eq!(empty("", ""), Some("region"));
        assert_eq!(empty(" ", "b"), Some("tenant"));
        assert_eq!(empty("a", "\u{3000}\n"), Some("region"));
        assert_eq!(empty(" a", "b\t"), None);
        assert_eq!(empty(":", ":"), None);
    }

    #[test]
    fn a_field_keeps_its_format() {
        let (fields, width) = (Fields::new(), 4);
        let id = fields.field("id", &10);
        let name = fields.field("name", "");
        let text = format_args!("{id:04x} {id:#b} {id:?} {id:e} {name:>width$} {name:?}");
        let key = fields.key("", text, 0, None);
        assert_eq!(
            key.into_parts(),
            ("000a 0b1010 10 1e1      \"\"".to_owned(), "", Some("name"))
        );
    }

    #[test]
    fn an_expression_is_its_text() {
        let key = Key::display(&42, "order.id");
        assert_eq!(key.into_parts(), ("42".to_owned(), "order.id", None));
        let key = Key::display("", "name");
        assert_eq!(key.into_parts(), (String::new(), "name", None));
    }

    #[test]
    fn a_panic_in_a_field_goes_through() {
        struct Panics;
        impl Display for Panics {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("no text")
            }
        }
        let made = std::panic::catch_unwind(|| {
            let fields = Fields::new();
            fields.key("", format_args!("{}", fields.field("id", &Panics)), 0, None)
        });
        assert!(made.is_err());
    }
}
