//! What the first of a line asks, and when, on tokio's clock.

use std::collections::VecDeque;
use std::fmt;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

use crate::error::LockError;
use crate::hold::LockGuard;
use crate::kind::Kind;
use crate::store::alerts::{Alert, Alerts};
use crate::store::memory::MemoryStore;
use crate::store::{
    Acquired, Answer, Asking, Attempted, Done, Ear, Entry, Extension, Holder, Released, Seat, Store,
};
use crate::{LockRequest, Locker};

const TTL: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// A server that all lockers on it share. It says what it is told to, and notes what it is asked.
#[derive(Default)]
struct Server {
    keys: MemoryStore,
    /// Nobody hears of a change unless a test rings.
    alerts: Arc<Alerts>,
    has_no_line: bool,
    /// To those who ask next, each after a time; to all others, what is true.
    says: Mutex<VecDeque<(Duration, Says)>>,
    asked: Mutex<Vec<(Instant, Asking)>>,
    watched: Mutex<Vec<Instant>>,
    /// To who watches next; to all others, what is true.
    shows: Mutex<VecDeque<Option<Holder>>>,
    /// How long a release takes.
    release_takes: Mutex<Duration>,
}

#[derive(Debug, Clone)]
enum Says {
    True,
    Busy(Holder),
    Split(Option<Holder>),
    Done(Done),
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a server")
    }
}

impl Server {
    fn says(&self, answers: impl IntoIterator<Item = (Duration, Says)>) {
        self.says.lock().expect("no panic").extend(answers);
    }

    fn asked(&self) -> Vec<(Instant, Asking)> {
        self.asked.lock().expect("no panic").clone()
    }

    fn watched(&self) -> Vec<Instant> {
        self.watched.lock().expect("no panic").clone()
    }
}

/// What nobody has to wait for.
fn at_once<const N: usize>(says: [Says; N]) -> [(Duration, Says); N] {
    says.map(|says| (Duration::ZERO, says))
}

impl Store for Server {
    fn acquire(
        &self,
        entry: Arc<Entry>,
        ttl: Duration,
        asking: Asking,
    ) -> BoxFuture<'static, Attempted> {
        let asked = (Instant::now(), asking);
        self.asked.lock().expect("no panic").push(asked);
        let said = self.says.lock().expect("no panic").pop_front();
        let (takes, says) = said.unwrap_or((Duration::ZERO, Says::True));
        let outcome = match says {
            Says::True => {
                let answer = self.keys.acquire(entry, ttl, asking);
                return Box::pin(async move {
                    sleep(takes).await;
                    answer.await
                });
            }
            Says::Busy(holder) => Ok(Acquired::Busy(Some(holder))),
            Says::Split(holder) => Ok(Acquired::Split(holder)),
            Says::Done(done) => Ok(Acquired::Done(done)),
        };
        Box::pin(async move {
            sleep(takes).await;
            let settled = true;
            Attempted { outcome, settled }
        })
    }

    fn release(&self, entry: Arc<Entry>, keep: Option<Duration>) -> Answer<Released> {
        let (answer, takes) = (
            self.keys.release(entry, keep),
            *self.release_takes.lock().expect("no panic"),
        );
        Box::pin(async move {
            sleep(takes).await;
            answer.await
        })
    }

    fn extend(&self, batch: Vec<(Arc<Entry>, Duration)>) -> BoxFuture<'static, Vec<Extension>> {
        self.keys.extend(batch)
    }

    fn alert(&self, key: &str) -> Alert {
        self.alerts.alert(key)
    }

    fn lines_up(&self) -> bool {
        !self.has_no_line
    }

    fn listen(&self, entry: &Entry) -> Option<Ear> {
        self.keys.listen(entry)
    }

    fn watch(&self, entry: Arc<Entry>) -> Answer<Option<Holder>> {
        self.watched.lock().expect("no panic").push(Instant::now());
        match self.shows.lock().expect("no panic").pop_front() {
            Some(holder) => Box::pin(ready(Ok(holder))),
            None => self.keys.watch(entry),
        }
    }

    fn settles_within(&self) -> Duration {
        Duration::ZERO
    }

    fn holders(&self, key: String) -> Result<Answer<Vec<Holder>>, &'static str> {
        self.keys.holders(key)
    }

    fn close(&self) {}
}

fn locker(server: &Arc<Server>) -> Locker {
    Locker::builder().build(Arc::clone(server) as _)
}

fn request(locker: &Locker) -> LockRequest {
    locker.lock("k").ttl(TTL).wait(TTL / 2)
}

async fn has(request: LockRequest) -> LockGuard {
    request.acquire().await.expect("free")
}

type Waiter = JoinHandle<Result<LockGuard, LockError>>;

/// Until all that is to be done at this time is done.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

/// One that waits by now.
async fn waits(request: LockRequest) -> Waiter {
    let waiter = tokio::spawn(request.acquire());
    settle().await;
    assert!(!waiter.is_finished(), "it waits");
    waiter
}

async fn comes_in(waiter: Waiter) -> LockGuard {
    waiter.await.expect("no panic").expect("its turn")
}

/// Whether one waits for the lock, which is nothing strange.
fn is_left_to_one(error: &LockError) -> bool {
    matches!(
        error,
        LockError::Busy {
            waiting: Some(1),
            foreign: false,
            endless: false,
            ..
        }
    )
}

#[tokio::test(start_paused = true)]
async fn who_coalesces_leaves_the_work_to_anyone_of_its_process_who_waits() {
    for coalesces in [false, true] {
        let server = Arc::<Server>::default();
        let locker = locker(&server);
        let held = has(request(&locker)).await;
        let first = request(&locker);
        let first = if coalesces { first.coalesce() } else { first };
        let first = waits(first).await;
        let began = Instant::now();
        let asked = server.asked().len();
        let error = request(&locker).coalesce().acquire().await;
        let error = error.expect_err("one waits");
        assert!(is_left_to_one(&error), "{error:?}");
        assert!(matches!(error, LockError::Busy { owner: Some(_), .. }));
        assert_eq!(began.elapsed(), Duration::ZERO);
        // It is known here.
        assert_eq!(server.asked().len(), asked);
        held.release().await.expect("passed on");
        comes_in(first).await.release().await.expect("ours");
        drop(has(request(&locker).coalesce()).await);
    }
}

/// It was told that the key held what no lock is, and never expired, with the advice to delete it.
#[tokio::test(start_paused = true)]
async fn who_coalesces_behind_another_process_hears_of_no_foreign_key() {
    let server = Arc::<Server>::default();
    let (ours, theirs) = (locker(&server), locker(&server));
    let held = has(request(&theirs)).await;
    let first = waits(request(&ours)).await;
    let error = request(&ours).coalesce().acquire().await;
    let error = error.expect_err("one waits");
    assert!(is_left_to_one(&error), "{error:?}");
    held.release().await.expect("ours");
    drop(comes_in(first).await);
}

/// Where the store has no line after all, whoever asks may still leave the work to another the second time.
#[tokio::test(start_paused = true)]
async fn who_coalesces_is_counted_on_once_it_knows_that_it_waits() {
    for gives_up in [true, false] {
        let server = Arc::<Server>::default();
        let locker = locker(&server);
        let busy = Holder::new(Some("they".to_owned()), Some(TTL));
        let owed = Holder {
            is_owed: gives_up,
            ..busy.clone()
        };
        server.says([(SECOND, Says::Busy(busy)), (SECOND, Says::Busy(owed))]);
        let began = Instant::now();
        let first = waits(request(&locker).coalesce()).await;
        let second = waits(request(&locker).coalesce()).await;
        sleep(SECOND + SECOND / 2).await;
        assert!(!second.is_finished(), "the first may have to go");
        if gives_up {
            let error = first.await.expect("no panic").expect_err("another waits");
            assert!(error.is_busy(), "{error}");
            drop(comes_in(second).await);
        } else {
            let error = second.await.expect("no panic").expect_err("one waits");
            assert!(is_left_to_one(&error), "{error:?}");
            assert!(!first.is_finished());
        }
        assert_eq!(began.elapsed(), 2 * SECOND);
    }
}

/// The first look is waited for in any case; one that follows may take until the end of the wait.
#[tokio::test(start_paused = true)]
async fn a_look_is_cut_short_by_the_end_of_the_wait() {
    let busy = Says::Busy(Holder::new(Some("they".to_owned()), Some(TTL)));
    let wait = 2 * SECOND;
    for (first, second, takes, is_busy) in [
        (5 * SECOND, SECOND, 5 * SECOND, true),
        (SECOND, 5 * SECOND, wait, false),
        // What takes less is no trouble.
        (1900 * MILLI, SECOND, wait, false),
        (1901 * MILLI, SECOND, wait, true),
    ] {
        let server = Arc::<Server>::default();
        server.says([(first, busy.clone()), (second, busy.clone())]);
        let began = Instant::now();
        let asked = request(&locker(&server)).wait(wait).acquire().await;
        let error = asked.expect_err("busy");
        assert_eq!(began.elapsed(), takes);
        assert_eq!(error.is_busy(), is_busy, "{error}");
        assert_eq!(error.is_backend(), !is_busy, "{error}");
    }
}

/// The first look is the cheapest, and does not have the key watched.
#[tokio::test(start_paused = true)]
async fn who_finds_the_lock_busy_asks_to_be_told_at_once() {
    let server = Arc::new(Server {
        has_no_line: true,
        ..Server::default()
    });
    let (ours, theirs) = (locker(&server), locker(&server));
    let held = has(request(&theirs)).await;
    let began = Instant::now();
    let busy = Holder {
        rings: true,
        ..Holder::new(Some("they".to_owned()), Some(TTL))
    };
    server.says(at_once([Says::Busy(busy.clone()), Says::Busy(busy)]));
    let waiter = waits(request(&ours)).await;
    assert_eq!(server.asked().len(), 3);
    sleep(SECOND).await;
    held.release().await.expect("ours");
    server.alerts.ring("k");
    drop(comes_in(waiter).await);
    assert_eq!(began.elapsed(), SECOND, "it was rung for");
}

/// Each of several that comes, goes or stays would ring.
#[tokio::test(start_paused = true)]
async fn a_bell_for_one_of_several_is_no_reason_to_look() {
    let server = Arc::new(Server {
        has_no_line: true,
        ..Server::default()
    });
    let (ours, theirs) = (locker(&server), locker(&server));
    let held = has(request(&theirs)).await;
    let several = Holder {
        rings: true,
        ..Holder::of_places(2, ["they".to_owned()], Some(TTL))
    };
    let began = Instant::now();
    server.says(at_once([Says::Busy(several.clone()), Says::Busy(several)]));
    let waiter = waits(request(&ours)).await;
    held.release().await.expect("ours");
    server.alerts.ring("k");
    settle().await;
    assert!(!waiter.is_finished());
    drop(comes_in(waiter).await);
    let took = began.elapsed();
    assert!(took > Duration::ZERO && took <= SECOND, "{took:?}");
}

/// Those who collided would collide again.
#[tokio::test(start_paused = true)]
async fn the_more_votes_are_split_the_further_apart_are_the_next() {
    let server = Arc::<Server>::default();
    // So that no other pause takes longer.
    let over = Holder::new(Some("they".to_owned()), Some(Duration::ZERO));
    server.says((0..40).map(|_| (Duration::ZERO, Says::Split(Some(over.clone())))));
    let began = Instant::now();
    drop(has(request(&locker(&server))).await);
    // On average 5 s; as after the first, they would be over in 400 ms.
    assert!(began.elapsed() > SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_is_not_called_in_the_pause_after_a_split_vote_waits_to_be_told() {
    let server = Arc::<Server>::default();
    let rings = Holder {
        rings: true,
        ..Holder::new(Some("they".to_owned()), Some(TTL))
    };
    server.says(at_once([Says::Split(None), Says::Split(Some(rings))]));
    let began = Instant::now();
    drop(has(request(&locker(&server))).await);
    assert!(began.elapsed() >= 5 * SECOND, "{:?}", began.elapsed());
}

/// It paused once more, as if nobody had given the lock back.
#[tokio::test(start_paused = true)]
async fn who_is_called_in_the_pause_after_a_split_vote_asks_at_its_end() {
    for _ in 0..20 {
        let server = Arc::<Server>::default();
        let locker = locker(&server);
        // A lock whose run is recorded is not passed on in the process: who waits asks beside it.
        let held = request(&locker).recorded().acquire().await.expect("free");
        let before = server.asked().len();
        server.says(at_once([Says::Split(None), Says::Split(None)]));
        let waiter = waits(request(&locker)).await;
        while server.asked().len() < before + 2 {
            sleep(MILLI).await;
        }
        let second = server.asked()[before + 1].0;
        held.release().await.expect("ours");
        drop(comes_in(waiter).await);
        let took = second.elapsed();
        // The pause is below 20 ms, and the timer's grain one more.
        assert!(took <= 21 * MILLI, "{took:?}");
    }
}

/// The key is left alone for a moment, as most holders need less.
#[tokio::test(start_paused = true)]
async fn only_the_first_of_the_line_has_itself_told_of_changes() {
    let server = Arc::<Server>::default();
    let lockers = [(); 3].map(|()| locker(&server));
    let held = has(request(&lockers[0])).await;
    let began = Instant::now();
    let first = waits(request(&lockers[1])).await;
    let second = waits(request(&lockers[2])).await;
    sleep(SECOND).await;
    assert_eq!(server.watched(), [began + 10 * MILLI]);
    server.alerts.ring("k");
    sleep(SECOND).await;
    assert_eq!(server.watched()[1..], [began + SECOND]);
    held.release().await.expect("ours");
    let held = comes_in(first).await;
    let is_first = Instant::now();
    sleep(SECOND / 2).await;
    assert_eq!(server.watched()[2..], [is_first + 10 * MILLI]);
    held.release().await.expect("ours");
    drop(comes_in(second).await);
    assert_eq!(server.asked().len(), 3, "the lock was passed on");
}

/// Each of several that comes, goes or stays would ring.
#[tokio::test(start_paused = true)]
async fn who_waits_for_several_has_itself_told_of_nothing() {
    let server = Arc::<Server>::default();
    let (ours, theirs) = (locker(&server), locker(&server));
    let held = has(request(&theirs).shared()).await;
    let waiter = waits(request(&ours)).await;
    sleep(SECOND).await;
    server.alerts.ring("k");
    sleep(SECOND).await;
    assert_eq!(server.watched(), []);
    held.release().await.expect("ours");
    drop(comes_in(waiter).await);
}

/// Only a look can say whether there is room for one of several; who wants the whole key has to wait for
/// the last.
#[tokio::test(start_paused = true)]
async fn who_finds_several_where_one_was_looks_if_there_may_be_room() {
    for permits in [1, 2] {
        let server = Arc::<Server>::default();
        let (ours, theirs) = (locker(&server), locker(&server));
        let held = has(request(&theirs)).await;
        let one = Holder::of_places(1, ["they".to_owned()], Some(TTL));
        server.shows.lock().expect("no panic").push_back(Some(one));
        let waiter = waits(request(&ours).permits(permits)).await;
        sleep(SECOND).await;
        // Who looks finds one again, and watches once more.
        let looks = if permits > 1 { 2 } else { 1 };
        assert_eq!(server.watched().len(), looks);
        assert_eq!(server.asked().len(), 1 + looks);
        server.alerts.ring("k");
        sleep(SECOND).await;
        let watched = if permits > 1 { 3 } else { 1 };
        assert_eq!(server.watched().len(), watched);
        held.release().await.expect("ours");
        drop(comes_in(waiter).await);
    }
}

/// One look, when the key is gone for sure.
#[tokio::test(start_paused = true)]
async fn the_first_looks_when_the_time_of_the_holder_is_over() {
    for has_no_line in [false, true] {
        let server = Arc::new(Server {
            has_no_line,
            ..Server::default()
        });
        let (ours, theirs) = (locker(&server), locker(&server));
        let began = Instant::now();
        let lies_around = has(request(&theirs).ttl(2 * SECOND)).await;
        if has_no_line {
            let busy = Holder {
                rings: true,
                ..Holder::new(Some("they".to_owned()), Some(2 * SECOND))
            };
            server.says(at_once([Says::Busy(busy.clone()), Says::Busy(busy)]));
        }
        let asked = if has_no_line { 3 } else { 2 };
        let waiter = waits(request(&ours)).await;
        assert_eq!(server.asked().len(), asked);
        let guard = comes_in(waiter).await;
        let took = began.elapsed();
        let due = 2 * SECOND + MILLI;
        assert!(took >= due && took <= due + MILLI, "{took:?}");
        assert_eq!(server.asked().len(), asked + 1);
        drop((lies_around, guard));
    }
}

/// The key was extended meanwhile.
#[tokio::test(start_paused = true)]
async fn who_watches_the_key_hears_when_the_time_of_the_holder_is_over() {
    let server = Arc::<Server>::default();
    let (ours, theirs) = (locker(&server), locker(&server));
    let lies_around = has(request(&theirs).ttl(2 * SECOND)).await;
    let waiter = waits(request(&ours)).await;
    sleep(5 * MILLI).await;
    let began = Instant::now();
    lies_around.extend(3 * SECOND).await.expect("ours");
    let guard = comes_in(waiter).await;
    let took = began.elapsed();
    let due = 3 * SECOND + MILLI;
    assert!(took >= due && took <= due + MILLI, "{took:?}");
    assert_eq!(server.asked().len(), 3);
    drop((lies_around, guard));
}

/// The holder and the first of the line may have died with one process.
#[tokio::test(start_paused = true)]
async fn the_second_looks_a_little_later() {
    let server = Arc::<Server>::default();
    let (ours, theirs) = (locker(&server), locker(&server));
    let began = Instant::now();
    let lies_around = has(request(&theirs).ttl(2 * SECOND)).await;
    let (now, here) = (Instant::now(), Handle::current());
    let dead = (theirs.common()).entry("k", Kind::Exclusive, None, None, now, &here);
    let in_line = Asking::InLine {
        place: None,
        coalesce: false,
    };
    server.acquire(Arc::new(dead), TTL, in_line).await;
    let guard = comes_in(waits(request(&ours)).await).await;
    let took = began.elapsed();
    let due = 2 * SECOND + 100 * MILLI;
    assert!(took >= due && took <= due + MILLI, "{took:?}");
    drop((lies_around, guard));
}

/// The lock was passed on without a break for a second.
#[tokio::test(start_paused = true)]
async fn the_first_leaves_the_lock_to_those_in_no_line_for_a_while() {
    let server = Arc::<Server>::default();
    let lockers = [(); 4].map(|()| locker(&server));
    let mut held = has(request(&lockers[0])).await;
    let mut line = Vec::new();
    for locker in &lockers[1..] {
        line.push(waits(request(locker)).await);
    }
    let last = line.pop().expect("three wait");
    for next in line {
        held.release().await.expect("ours");
        held = comes_in(next).await;
        sleep(SECOND * 6 / 10).await;
    }
    let began = Instant::now();
    assert_eq!(server.asked().len(), 4);
    held.release().await.expect("ours");
    drop(comes_in(last).await);
    let took = began.elapsed();
    assert!(took >= 31 * MILLI && took <= 32 * MILLI, "{took:?}");
    assert_eq!(server.asked().len(), 5);
}

/// Who loses its place asks for it again, but for a second time goes behind the others.
#[tokio::test(start_paused = true)]
async fn a_place_that_is_lost_again_and_again_is_not_had_again() {
    let server = Arc::<Server>::default();
    // The places that are answered, and whether there was none before; and which is asked for then.
    let seats = [
        (7, true, Some(7)),
        (7, false, Some(7)),
        // Moved to the end by a late look.
        (9, false, Some(7)),
        (7, true, Some(7)),
        // Lost for the second time.
        (7, true, None),
        (12, false, None),
        // At the end of the line.
        (13, true, Some(13)),
        (13, true, Some(13)),
    ];
    server.says(seats.map(|(place, is_new, _)| sits(place, is_new)));
    let began = Instant::now();
    drop(has(request(&locker(&server)).wait(TTL)).await);
    let (times, places): (Vec<_>, Vec<_>) = places_asked_for(&server, began).unzip();
    assert!(
        times
            .iter()
            .copied()
            .eq((0..9).map(|look| look * 5 * SECOND)),
        "{times:?}"
    );
    assert!(
        places[1..]
            .iter()
            .copied()
            .eq(seats.map(|(_, _, next)| next)),
        "{places:?}"
    );
}

/// One before it has left it its place.
#[tokio::test(start_paused = true)]
async fn a_place_that_was_there_before_the_first_look_is_kept() {
    let server = Arc::<Server>::default();
    server.says([sits(7, false)]);
    let began = Instant::now();
    drop(has(request(&locker(&server))).await);
    let asked = places_asked_for(&server, began).last();
    assert_eq!(asked, Some((5 * SECOND, Some(7))));
}

/// The answer to who is in the line, and neither first nor second.
fn sits(place: u64, is_new: bool) -> (Duration, Says) {
    let seat = Seat {
        rank: 2,
        place,
        is_new,
        open: None,
        lasts: 8 * SECOND,
    };
    let busy = Holder {
        seat: Some(seat),
        ..Holder::new(Some("they".to_owned()), Some(TTL))
    };
    (Duration::ZERO, Says::Busy(busy))
}

/// How long after this each look was, and which place it asked for.
fn places_asked_for(
    server: &Server,
    began: Instant,
) -> impl Iterator<Item = (Duration, Option<u64>)> {
    server.asked().into_iter().map(move |(at, asking)| {
        let place = match asking {
            Asking::InLine { place, .. } => place,
            _ => None,
        };
        (at - began, place)
    })
}

/// A connection may be forgotten without a word, and where none tells, it is asked again and again.
#[tokio::test(start_paused = true)]
async fn a_bell_is_trusted_for_five_seconds() {
    for rings in [true, false] {
        let server = Arc::new(Server {
            has_no_line: true,
            ..Server::default()
        });
        let busy = Holder {
            rings,
            ..Holder::new(Some("they".to_owned()), Some(TTL))
        };
        server.says(at_once([Says::Busy(busy.clone()), Says::Busy(busy)]));
        let began = Instant::now();
        drop(has(request(&locker(&server))).await);
        let took = began.elapsed();
        if rings {
            assert_eq!(took, 5 * SECOND);
        } else {
            assert!(took <= 51 * MILLI, "{took:?}");
        }
    }
}

/// Where there is no line, others come first when a lock has been passed on for a while.
#[tokio::test(start_paused = true)]
async fn the_first_steps_back_where_the_store_has_no_line() {
    for has_no_line in [false, true] {
        let server = Arc::new(Server {
            has_no_line,
            ..Server::default()
        });
        let locker = locker(&server);
        let held = has(request(&locker)).await;
        let next = waits(request(&locker)).await;
        // What is held without a number is not passed on to it.
        let last = waits(request(&locker).fenced()).await;
        held.release().await.expect("passed on");
        let held = comes_in(next).await;
        let began = Instant::now();
        held.release().await.expect("ours");
        drop(comes_in(last).await);
        let took = began.elapsed();
        if has_no_line {
            assert!(took >= MILLI && took <= 2 * MILLI, "{took:?}");
        } else {
            assert_eq!(took, Duration::ZERO);
        }
    }
}

/// A run that began early counts to the next period: until the one after it, it is at most two.
#[tokio::test(start_paused = true)]
async fn a_clock_has_stepped_back_where_two_periods_are_left() {
    let nano = Duration::from_nanos(1);
    for (next, has) in [(2 * TTL, false), (2 * TTL + nano, true)] {
        let server = Arc::<Server>::default();
        let done = Done::new("they", SECOND, next);
        server.says(at_once([Says::Done(done)]));
        let error = locker(&server).lock("k").once_per(TTL).acquire().await;
        let error = error.expect_err("done");
        let LockError::AlreadyDone {
            clock_stepped_back, ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(clock_stepped_back, has);
    }
}

/// Whoever only comes if nobody waits takes the place for that of a run that is still to begin.
#[tokio::test(start_paused = true)]
async fn who_is_passed_the_lock_beside_the_line_begins_when_its_place_is_gone() {
    let server = Arc::<Server>::default();
    let locker = locker(&server);
    server.says([sits(1, true)]);
    let waiter = waits(request(&locker)).await;
    let held = has(locker.lock("k").ttl(TTL)).await;
    *server.release_takes.lock().expect("no panic") = SECOND;
    let began = Instant::now();
    held.release().await.expect("passed on");
    assert_eq!(began.elapsed(), Duration::ZERO, "within the process");
    let guard = comes_in(waiter).await;
    assert_eq!(began.elapsed(), SECOND);
    assert!(guard.is_held());
}

/// A lock that has ended by then is not begun with.
#[tokio::test(start_paused = true)]
async fn who_is_passed_the_lock_beside_the_line_asks_again_when_it_ends_before_the_place_is_gone() {
    let server = Arc::<Server>::default();
    let locker = locker(&server);
    server.says([sits(1, true)]);
    let waiter = waits(request(&locker).ttl(SECOND)).await;
    let held = has(locker.lock("k").ttl(SECOND)).await;
    *server.release_takes.lock().expect("no panic") = 2 * SECOND;
    held.release().await.expect("passed on");
    let guard = comes_in(waiter).await;
    assert!(guard.is_held());
}
