//! What all locks of one locker have in common.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::keeper::{Keeper, TenureLines};
use crate::kind::Kind;
use crate::store::{Entry, Record, Store};
use crate::token::{TOKEN_LEN, random_token};

pub(crate) struct Common {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) lines: Arc<TenureLines>,
    pub(crate) keeper: Keeper,
    pub(crate) settings: Settings,
}

/// What a locker adds to its requests.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) prefix: String,
    pub(crate) owner: String,
    pub(crate) default_ttl: Duration,
    /// What is wrong with them, said at the first request where connecting could not.
    pub(crate) flaw: Option<&'static str>,
}

impl Common {
    pub(crate) fn new(store: Arc<dyn Store>, settings: Settings) -> Self {
        let lines = Arc::default();
        Self {
            keeper: Keeper::new(Arc::clone(&store), Arc::clone(&lines)),
            lines,
            store,
            settings,
        }
    }

    /// What the store holds for a new tenure of this key, which has the prefix, from now on and in
    /// this runtime.
    pub(crate) fn entry(
        &self,
        key: &str,
        kind: Kind,
        counter: Option<&str>,
        record: Option<Record>,
        now: Instant,
        runtime: &Handle,
    ) -> Entry {
        let owner = &self.settings.owner;
        let mut value = String::with_capacity(TOKEN_LEN + 2 + owner.len());
        value.push_str(str::from_utf8(&random_token(now, runtime)).expect("base64"));
        value.push_str(kind.letter());
        value.push(';');
        value.push_str(owner);
        Entry {
            key: key.to_owned(),
            value,
            kind,
            counter: counter.map(str::to_owned),
            record: record.map(Box::new),
        }
    }
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locker")
            .field("store", &self.store)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
