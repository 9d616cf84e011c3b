//! Locks on Redis: one server, or several that act as one.

mod access;
#[cfg(any(feature = "cluster", feature = "sentinel"))]
mod address_map;
#[cfg(feature = "cluster")]
mod bells;
mod cause;
#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "cluster")]
mod cluster;
mod commands;
mod connect;
mod connection;
mod credentials;
mod failure;
mod found;
mod gathered;
mod hearing;
mod line;
#[cfg(all(feature = "cluster", feature = "sentinel"))]
pub(crate) mod masters;
mod message;
mod not_redis;
mod operation;
mod profile;
mod reconnecting;
mod recorded;
mod refusal;
mod room;
#[cfg(feature = "cluster")]
mod route;
mod script;
#[cfg(feature = "sentinel")]
mod sentinel;
mod servers;
mod settings;
mod tls;
mod tracking;
mod unkept;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::alerts::{Alert, Alerts};
use super::{
    Acquired, Answer, Asking, Attempted, Ear, Entry, Extension, Holder, LastRun, Listening,
    Released, Ring, Store, StoreError,
};
use crate::key::line_keys;
use crate::kind::Kind;
use crate::random::random;
pub(crate) use access::Access;
#[cfg(feature = "tls")]
pub(crate) use certificates::Pem;
use commands::{GivenBack, Looked, Wish};
use connection::Connection;
pub use credentials::Credentials;
pub(crate) use credentials::Provider;
use found::Found;
use hearing::Hearing;
use line::{Line, Stray, is_refusal};
use operation::Operation;
pub(crate) use profile::Profile;
use profile::refuses_scripts;
use refusal::is_between_nodes;
use room::Room;
#[cfg(simulation)]
pub use script::{SHORT_WAYS, source_of};
pub(crate) use servers::Servers;
#[cfg(simulation)]
pub(crate) use servers::{Dial, Single};
pub(crate) use settings::{Replicas, Timeouts};
use tracking::{NoBell, Tracking};
use unkept::Unkept;

pub(crate) struct RedisStore {
    servers: Servers,
    /// Where they are.
    place: Arc<str>,
    timeouts: Timeouts,
    replicas: Option<Replicas>,
    /// Whether those who ask several servers leave when a majority has answered.
    one_of_several: bool,
    connection: Connection,
    tracking: Arc<Tracking>,
    hearing: Arc<Hearing>,
    /// Where those who wait line up on the server.
    line: Option<Arc<Line>>,
    unkept: Arc<Unkept>,
    acquiring: Arc<Room<Attempted>>,
    releasing: Arc<Room<Result<Released, StoreError>>>,
}

impl RedisStore {
    /// With a prefix, for the bell's name, those who wait line up on the server.
    pub(crate) fn new(
        servers: Servers,
        mut timeouts: Timeouts,
        replicas: Option<Replicas>,
        alerts: Arc<Alerts>,
        prefix: Option<&str>,
    ) -> Self {
        // A command that replicas have to confirm is answered only then.
        timeouts.response += replicas.map_or(Duration::ZERO, |replicas| replicas.timeout);
        let connection = servers.connection(timeouts);
        let line = prefix.map(|prefix| Arc::new(Line::new(prefix, replicas.is_none())));
        let on_stray = {
            let (connection, line) = (connection.clone(), line.clone());
            move |stray| give_back(stray, &connection, timeouts, line.clone())
        };
        Self {
            connection,
            tracking: Tracking::new(&servers, timeouts, alerts, line.clone(), on_stray),
            hearing: Arc::default(),
            unkept: Arc::default(),
            acquiring: Room::new(),
            releasing: Room::new(),
            line,
            place: servers.place().into(),
            servers,
            timeouts,
            replicas,
            one_of_several: false,
        }
    }

    /// For one of several servers, whose answers nobody may be there to hear.
    pub(crate) fn one_of_several(self) -> Self {
        Self {
            one_of_several: true,
            ..self
        }
    }

    /// Opens the connection, and fails when Redis does not answer on it, or runs no scripts for a
    /// key with this prefix. Answers what the server is, where it is one.
    pub(crate) async fn connect(&self, prefix: &str) -> Result<Profile, StoreError> {
        let profile = self.look(prefix).await;
        profile.map_err(|error| error.at(&self.place))
    }

    async fn look(&self, prefix: &str) -> Result<Profile, StoreError> {
        self.operation().check().await?;
        // The last of a lock's commands: where it can't be had, no key may be set. Nobody has this
        // value, so whatever the key holds is left alone.
        let absent = Entry {
            key: format!("{prefix}redis-locked-connects"),
            value: format!("{:032x}", random::<u128>()),
            kind: Kind::Exclusive,
            counter: None,
            record: None,
        };
        let line = self.line.as_deref();
        let mut operation = self.lasting();
        let releasing = release(&mut operation, &absent, GivenBack::default(), line);
        if let Err(error) = releasing.await
            && error.redis().is_some_and(refuses_scripts)
        {
            return Err(error.of_scripts());
        }
        Ok(match self.connection.to_one_server().await? {
            Some(mut server) => Profile::of(&mut server, self.one_of_several).await,
            None => Profile::default(),
        })
    }

    /// The line for this key, if there is one as far as it is known.
    fn line_for(&self, key: &str) -> Option<&Arc<Line>> {
        let line = self.line.as_ref()?;
        if line.is_refused(self.connection.number()) {
            return None;
        }
        #[cfg(feature = "cluster")]
        if self.connection.is_spread() {
            line.channel_of(key)?;
        }
        line_keys(key).map(|_| line)
    }

    fn operation(&self) -> Operation {
        Operation::new(self.connection.clone(), self.timeouts)
    }

    /// For scripts that are to take effect even if nobody hears the answer.
    fn lasting(&self) -> Operation {
        self.operation().with_whole_scripts(self.one_of_several)
    }
}

/// Gives back a lock that was passed on to one who has left. Should that fail, it goes when the time
/// is over for which it was reserved.
fn give_back(stray: Stray, connection: &Connection, timeouts: Timeouts, line: Option<Arc<Line>>) {
    let mut operation = Operation::new(connection.clone(), timeouts);
    let entry = Entry::left(stray.key, stray.value);
    tokio::spawn(async move {
        let how = GivenBack::default();
        let released = release(&mut operation, &entry, how, line.as_deref()).await;
        tracing::debug!(?released, "a lock was passed on to one who has left");
    });
}

/// Where the user lacks a right that only the line needs, or the line can't be had together with the
/// key, the key is given back without it.
/// Where the user lacks a right that only the line needs, or the line can't be had together with the
/// key, the key is given back without it.
async fn release(
    operation: &mut Operation,
    entry: &Entry,
    how: GivenBack,
    line: Option<&Line>,
) -> Result<Released, StoreError> {
    let number = operation.connection_number();
    let line = line.filter(|line| !line.is_refused(number) && line_keys(&entry.key).is_some());
    let answer = commands::release(operation, entry, how, line.is_some()).await;
    let (Some(line), Err(error)) = (line, &answer) else {
        return answer;
    };
    let is_refused = is_refusal(error);
    if !is_refused && !is_torn(error) {
        return answer;
    }
    let released = Box::pin(commands::release(operation, entry, how, false)).await;
    // What fails without the line, too, fails for want of another right.
    if is_refused && released.is_ok() {
        line.refuse(number, Some(error));
    }
    released
}

/// Asks in the line's way; without a line, when it is refused.
async fn look(
    operation: &mut Operation,
    line: &Line,
    entry: &Entry,
    ttl: Duration,
    asking: Asking,
    tracking: &Tracking,
) -> Result<(Acquired, Found), StoreError> {
    let number = operation.connection_number();
    let mut bell = tracking.bell(&entry.key);
    let mut missing = None;
    let (place, coalesce) = match asking {
        Asking::InLine { place, coalesce } => (place, coalesce),
        Asking::Looking { coalesce } => (None, coalesce),
        _ => (None, false),
    };
    if bell.is_none() && matches!(asking, Asking::InLine { .. }) {
        operation.has_waited();
        match tracking.open_bell(operation, &entry.key).await {
            Ok(opened) => bell = Some(opened),
            Err(NoBell::Refused(error)) => line.refuse(number, error.as_ref()),
            Err(NoBell::Missing(error)) => missing = error,
        }
    }
    // Who asks how it stands has no use for a seat.
    let waits = matches!(asking, Asking::Looking { .. } | Asking::InLine { .. });
    let mut wish = Wish {
        place,
        bell: bell.filter(|_| waits),
        coalesce,
    };
    let in_line = Some(line);
    let mut looked = commands::look(operation, in_line, entry, ttl, &wish).await;
    if let (Ok(Looked::Deaf(_)), Some(bell), true) = (&looked, &wish.bell, operation.is_spread()) {
        // Its slot has moved since, or has another master.
        tracking.lose_bell(bell);
        if let Ok(opened) = tracking.open_bell(operation, &entry.key).await {
            wish.bell = Some(opened);
            looked = commands::look(operation, in_line, entry, ttl, &wish).await;
        }
    }
    if let (Some(error), Ok(_)) = (missing, &looked) {
        tracking.tell_missing(error);
    }
    let busy = |holder: Holder| Ok((Acquired::Busy(Some(holder)), Found::NotOurs));
    let without_line = asking.without_line();
    let watching = (without_line == Asking::Watching).then_some(tracking);
    match looked {
        Ok(Looked::Granted(granted, found)) => Ok((granted, found)),
        Ok(Looked::Done(done)) => Ok((Acquired::Done(done), Found::NotOurs)),
        Ok(Looked::Busy(holder)) => busy(holder),
        Ok(Looked::Deaf(_)) if operation.is_spread() => {
            acquire(operation, entry, ttl, without_line, watching).await
        }
        Ok(Looked::Deaf(holder)) => {
            // One that broke meanwhile says nothing of the server.
            let was_heard = tracking.bell(&entry.key).is_some();
            tracking.open_anew();
            if was_heard && line.is_deaf_again() {
                line.refuse(number, None);
            }
            busy(holder)
        }
        Ok(Looked::NoLine(holder)) if !matches!(asking, Asking::InLine { .. }) => busy(holder),
        Ok(Looked::NoLine(_)) => acquire(operation, entry, ttl, without_line, watching).await,
        Err(error) if is_torn(&error) => {
            acquire(operation, entry, ttl, without_line, watching).await
        }
        Err(error) if is_refusal(&error) => {
            let acquired = acquire(operation, entry, ttl, Asking::Again, None).await;
            // What fails without the line, too, fails for want of another right.
            if acquired.is_ok() {
                line.refuse(number, Some(&error));
            }
            acquired
        }
        Err(error) => Err(error),
    }
}

/// Whether the line can't be had together with the key: the slot is on its way to another node.
fn is_torn(error: &StoreError) -> bool {
    error.redis().is_some_and(is_between_nodes)
}

/// As `acquire` does, and tells how many wait.
async fn take_or_look(
    operation: &mut Operation,
    line: &Line,
    entry: &Entry,
    ttl: Duration,
    tracking: &Tracking,
) -> Result<(Acquired, Found), StoreError> {
    if entry.counter.is_none()
        && entry.record.is_none()
        && let Some(granted) = commands::take(operation, entry, ttl).await?
    {
        return Ok((granted, Found::NotOurs));
    }
    let asking = Asking::WhoHolds;
    Box::pin(look(operation, line, entry, ttl, asking, tracking)).await
}

async fn acquire(
    operation: &mut Operation,
    entry: &Entry,
    ttl: Duration,
    asking: Asking,
    tracking: Option<&Tracking>,
) -> Result<(Acquired, Found), StoreError> {
    if entry.kind != Kind::Exclusive {
        // Each who comes or goes would ring: a place is not tracked.
        return Box::pin(commands::take_place(operation, entry, ttl)).await;
    }
    let Some(tracking) = tracking else {
        return commands::acquire(operation, entry, ttl, asking).await;
    };
    let tracked = tracking.take_over(operation).await;
    let outcome = commands::acquire_by_script(operation, entry, ttl, tracked.is_ok()).await;
    if let (Err(Some(error)), Ok(_)) = (tracked, &outcome) {
        tracking.tell_missing(error);
    }
    outcome
}

/// What came of an attempt, with the place of the servers in its error.
fn attempted(
    outcome: Result<(Acquired, Found), StoreError>,
    operation: &Operation,
    place: &str,
) -> Attempted {
    Attempted {
        outcome: outcome
            .map(|(acquired, _)| acquired)
            .map_err(|error| error.at(place)),
        settled: operation.is_settled(),
    }
}

/// The answers, with the place of the servers in their errors.
fn all_at(place: &str, answers: Vec<Extension>) -> Vec<Extension> {
    let at = |answer: Extension| answer.map_err(|error| error.at(place));
    answers.into_iter().map(at).collect()
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.servers.fmt(f)
    }
}

impl Store for RedisStore {
    fn acquire(
        &self,
        entry: Arc<Entry>,
        ttl: Duration,
        asking: Asking,
    ) -> BoxFuture<'static, Attempted> {
        let unkept = entry.record.as_ref().map(|_| Arc::clone(&self.unkept));
        let operation = self.operation().with_replicas(self.replicas);
        let mut operation = operation.with_unkept(unkept);
        let votes = self.one_of_several;
        let waits = matches!(asking, Asking::Looking { .. } | Asking::InLine { .. });
        let is_place = entry.kind != Kind::Exclusive;
        if (waits || is_place || asking == Asking::WhoHolds)
            && let Some(line) = self.line_for(&entry.key)
        {
            let (line, tracking) = (Arc::clone(line), Arc::clone(&self.tracking));
            let place = Arc::clone(&self.place);
            // Two futures, for a look takes thrice the room.
            if !waits && !is_place {
                return Box::pin(self.acquiring.run(async move {
                    let operation = &mut operation;
                    let outcome = take_or_look(operation, &line, &entry, ttl, &tracking).await;
                    attempted(outcome, operation, &place)
                }));
            }
            return Box::pin(async move {
                let operation = &mut operation;
                let outcome = look(operation, &line, &entry, ttl, asking, &tracking).await;
                attempted(outcome, operation, &place)
            });
        }
        let asking = asking.without_line();
        let tracking = (asking == Asking::Watching).then(|| Arc::clone(&self.tracking));
        let place = Arc::clone(&self.place);
        Box::pin(async move {
            let tracking = tracking.as_deref();
            let acquired = acquire(&mut operation, &entry, ttl, asking, tracking).await;
            let outcome = acquired.and_then(|(acquired, found)| {
                // Each attempt of a quorum has its own value. Where nothing that was sent here can
                // have set it, it came by another of the addresses.
                let is_second_vote = votes && found == Found::Ours && operation.is_settled();
                if is_second_vote {
                    return Err(StoreError::voted_before());
                }
                Ok((acquired, found))
            });
            attempted(outcome, &operation, &place)
        })
    }

    fn release(&self, entry: Arc<Entry>, keep: Option<Duration>) -> Answer<Released> {
        self.release_in_doubt(entry, keep, None)
    }

    fn release_in_doubt(
        &self,
        entry: Arc<Entry>,
        keep: Option<Duration>,
        unsettled: Option<Duration>,
    ) -> Answer<Released> {
        let (mut operation, line) = (self.lasting(), self.line.clone());
        if entry.record.is_some() {
            // What is done is to be known after a failover as well.
            operation = operation.with_replicas(self.replicas);
        }
        let (how, place) = (GivenBack { keep, unsettled }, Arc::clone(&self.place));
        Box::pin(self.releasing.run(async move {
            let released = release(&mut operation, &entry, how, line.as_deref()).await;
            released.map_err(|error| error.at(&place))
        }))
    }

    fn extend(&self, batch: Vec<(Arc<Entry>, Duration)>) -> BoxFuture<'static, Vec<Extension>> {
        let operation = self.lasting().with_replicas(self.replicas);
        let place = Arc::clone(&self.place);
        Box::pin(async move { all_at(&place, commands::extend(operation, batch).await) })
    }

    fn place(&self) -> String {
        self.place.as_ref().to_owned()
    }

    fn extend_listening(
        &self,
        batch: Vec<(Arc<Entry>, Duration)>,
    ) -> BoxFuture<'static, Vec<Extension>> {
        let first = self.lasting().with_replicas(self.replicas);
        let (tracking, hearing) = (Arc::clone(&self.tracking), Arc::clone(&self.hearing));
        let place = Arc::clone(&self.place);
        Box::pin(async move { all_at(&place, hearing.extend(&tracking, first, batch).await) })
    }

    fn listen_to_key(&self, key: &str, ring: Arc<dyn Ring>) -> Option<Listening> {
        Some(self.tracking.alerts.listen(key, ring))
    }

    /// As long as an attempt may take, and then as long as the kernel goes on delivering what a
    /// connection holds that was given up.
    fn settles_within(&self) -> Duration {
        2 * self.timeouts.total()
    }

    fn alert(&self, key: &str) -> Alert {
        self.tracking.alerts.alert(key)
    }

    fn lines_up(&self) -> bool {
        let number = self.connection.number();
        let line = self.line.as_ref();
        line.is_some_and(|line| !line.is_refused(number))
    }

    fn listen(&self, entry: &Entry) -> Option<Ear> {
        let line = self.line_for(&entry.key)?;
        Some(line.ears.listen(&entry.key, &entry.value))
    }

    fn watch(&self, entry: Arc<Entry>) -> Answer<Option<Holder>> {
        let (mut operation, tracking) = (self.operation(), Arc::clone(&self.tracking));
        Box::pin(async move {
            match tracking.take_over(&mut operation).await {
                Ok(()) => commands::watch(&mut operation, &entry).await,
                Err(Some(error)) => Err(error.into()),
                Err(None) => Err(StoreError::not_watched()),
            }
        })
    }

    fn last_run(&self, key: String, record: String) -> Answer<Option<LastRun>> {
        let (mut operation, place) = (self.operation(), Arc::clone(&self.place));
        Box::pin(async move {
            let last_run = recorded::last_run(&mut operation, &key, &record).await;
            last_run.map_err(|error| error.at(&place))
        })
    }

    fn holders(&self, key: String) -> Result<Answer<Vec<Holder>>, &'static str> {
        let (mut operation, place) = (self.operation(), Arc::clone(&self.place));
        Ok(Box::pin(async move {
            let holders = commands::holders(&mut operation, &key).await;
            holders.map_err(|error| error.at(&place))
        }))
    }

    fn close(&self) {
        self.tracking.close();
        self.connection.close();
    }
}

#[cfg(test)]
mod tests;
