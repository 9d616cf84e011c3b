//! What is logged through `tracing`, kept for a test to look at.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Level, Metadata, Subscriber};

use crate::lock::lock;

/// An event.
#[derive(Clone, Debug)]
pub struct Logged {
    /// How grave it is.
    pub level: Level,
    /// Where it comes from, by default the module's path.
    pub target: String,
    /// The text.
    pub message: String,
    /// All fields but the message.
    pub fields: BTreeMap<String, String>,
}

/// A span.
#[derive(Clone, Debug)]
pub struct Span {
    /// How grave it is.
    pub level: Level,
    /// Where it comes from, by default the module's path.
    pub target: String,
    /// Its name.
    pub name: String,
    /// Its fields, those recorded later too.
    pub fields: BTreeMap<String, String>,
    /// The name of the span it was opened in.
    pub inside: Option<String>,
    /// Whether it has been closed.
    pub closed: bool,
}

thread_local! {
    /// The spans that this thread has entered, the innermost last.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Collects events and spans of all levels.
#[derive(Clone, Default)]
pub struct Logs(Arc<Collected>);

#[derive(Default)]
struct Collected {
    events: Mutex<Vec<Logged>>,
    spans: Mutex<BTreeMap<u64, (Span, usize)>>,
    next_span: AtomicU64,
}

impl Logs {
    /// Collects what this thread logs until the guard is dropped.
    #[must_use = "collecting ends when the guard is dropped"]
    pub fn of_this_thread() -> (Self, DefaultGuard) {
        // While a process has one subscriber, tracing asks about a new call site only the thread that
        // comes there first; if that has none, the call site is silent for all. Two prevent it.
        static SECOND: OnceLock<Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| Dispatch::new(Self::default()));
        let logs = Self::default();
        let guard = tracing::subscriber::set_default(logs.clone());
        (logs, guard)
    }

    /// Collects what the whole process logs, for ever. Use it where tasks run on other threads, in
    /// a test binary of its own.
    ///
    /// # Panics
    /// If the process has a global subscriber already.
    #[must_use]
    pub fn of_the_process() -> Self {
        let logs = Self::default();
        tracing::subscriber::set_global_default(logs.clone()).expect("the first global subscriber");
        logs
    }

    /// All events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Logged> {
        lock(&self.0.events).clone()
    }

    /// All spans so far, in the order in which they were opened.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        lock(&self.0.spans)
            .values()
            .map(|(span, _)| span.clone())
            .collect()
    }

    /// The first event of this level with `text` in its message or in one of its fields.
    #[must_use]
    pub fn find(&self, level: Level, text: &str) -> Option<Logged> {
        self.events().into_iter().find(|event| {
            let mut texts = event.fields.values().chain([&event.message]);
            event.level == level && texts.any(|value| value.contains(text))
        })
    }

    /// The first span of this name.
    #[must_use]
    pub fn span(&self, name: &str) -> Option<Span> {
        self.spans().into_iter().find(|span| span.name == name)
    }

    /// Forgets all events.
    pub fn clear(&self) {
        lock(&self.0.events).clear();
    }

    fn change_span(&self, id: &Id, change: impl FnOnce(&mut Span, &mut usize)) {
        if let Some((span, handles)) = lock(&self.0.spans).get_mut(&id.into_u64()) {
            change(span, handles);
        }
    }
}

impl Subscriber for Logs {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let metadata = attributes.metadata();
        let span = Span {
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            name: metadata.name().to_owned(),
            fields: fields.0,
            inside: None,
            closed: false,
        };
        let id = self.0.next_span.fetch_add(1, Ordering::Relaxed) + 1;
        let outer = ENTERED.with_borrow(|entered| entered.last().copied());
        let mut spans = lock(&self.0.spans);
        let outer = outer.and_then(|outer| spans.get(&outer));
        let inside = outer.map(|(outer, _)| outer.name.clone());
        spans.insert(id, (Span { inside, ..span }, 1));
        drop(spans);
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        self.change_span(id, |span, _| span.fields.extend(fields.0));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_default();
        lock(&self.0.events).push(Logged {
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            message,
            fields: fields.0,
        });
    }

    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
    }

    fn exit(&self, _: &Id) {
        ENTERED.with_borrow_mut(Vec::pop);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.change_span(id, |_, handles| *handles += 1);
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut closed = false;
        self.change_span(&id, |span, handles| {
            *handles = handles.saturating_sub(1);
            span.closed = *handles == 0;
            closed = span.closed;
        });
        closed
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.0.insert(field.name().to_owned(), value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing::{Level, error, info, info_span, warn};

    use super::Logs;

    #[test]
    fn events_are_collected_with_their_fields() {
        let (logs, _guard) = Logs::of_this_thread();
        warn!(target: "lock", key = "report:42", attempts = 3, cause = %"refused", "could not {}", "release");
        let event = logs.find(Level::WARN, "could not release").expect("logged");
        assert_eq!(event.target, "lock");
        let fields: Vec<_> = event
            .fields
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            fields,
            [
                ("attempts", "3"),
                ("cause", "refused"),
                ("key", "report:42")
            ]
        );
        assert!(logs.find(Level::WARN, "report:42").is_some());
        assert!(logs.find(Level::ERROR, "could not release").is_none());
        logs.clear();
        assert!(logs.events().is_empty());
    }

    #[test]
    fn spans_are_collected_with_what_is_recorded_later() {
        let (logs, _guard) = Logs::of_this_thread();
        let span = info_span!("hold", key = "k", outcome = tracing::field::Empty);
        let second = span.clone();
        drop(span);
        second.in_scope(|| info!("inside"));
        second.record("outcome", "lost");
        assert!(!logs.span("hold").expect("opened").closed);
        drop(second);
        let span = logs.span("hold").expect("opened");
        assert!(span.closed);
        assert_eq!(span.fields["outcome"], "lost");
        assert_eq!(span.fields["key"], "k");
        assert_eq!(logs.spans().len(), 1);
    }

    #[test]
    fn other_threads_and_later_events_stay_out() {
        let (logs, guard) = Logs::of_this_thread();
        std::thread::spawn(|| error!("elsewhere"))
            .join()
            .expect("ran");
        drop(guard);
        error!("later");
        assert!(logs.events().is_empty());
    }
}
