//! A request that waits: in line until the lock is passed on, or until it is free when this is the
//! first of the line.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::attempts::{Got, Last, NextStep, PauseBetween, Progress, attempts, before};
use super::check::Request;
use crate::backoff::Backoff;
use crate::error::LockError;
use crate::hold::Hold;
use crate::keeper::TenureLines;
use crate::kind::Kind;
use crate::line::{Before, Instruction, Ticket};
use crate::random::random;
use crate::store::{Alert, Answer, Asking, Extended, Holder, Seat, StoreError, Word, shown};
use crate::telemetry;
use crate::tenure::{SharedTenure, Tenure};

/// Redis rounds what is left of a ttl down to whole milliseconds.
const EXPIRY_GRAIN: Duration = Duration::from_millis(1);

/// How long the first of a line trusts that it is told when the key is free: the connection on which
/// it would hear of it may have been forgotten by something between, without a word.
const TRUST: Duration = Duration::from_secs(5);

/// A Redis that has not answered after this time is in trouble.
const PROMPT: Duration = Duration::from_millis(100);

/// How long the first of the store's line leaves the holder alone before it has itself told of
/// changes: most holders need less, and pass the lock on then.
const WATCH_AFTER: Duration = Duration::from_millis(10);

/// How much later than the first the second looks when the holder's time is over: both may have died
/// with one process.
const STAND_IN: Duration = Duration::from_millis(100);

/// So many of those who share ask the store's line side by side.
const TOGETHER: usize = 64;

/// So often is a lost place had again.
const MISSES: u32 = 2;

const SPLIT_PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// A place in a line; dropped, it is free.
struct PlaceInLine {
    request: Request,
    ticket: Ticket<SharedTenure>,
    /// The end of the wait.
    until: Option<Instant>,
}

impl PlaceInLine {
    fn join(request: Request, until: Option<Instant>) -> Self {
        let (key, stays) = (&request.key, !request.coalesce);
        let lines = &request.common.lines;
        let ticket = lines.join(key, request.kind, request.needs(), stays);
        Self {
            request,
            ticket,
            until,
        }
    }

    fn wants_one_of_several(&self) -> bool {
        self.request.kind != Kind::Exclusive
    }

    fn lines(&self) -> &TenureLines {
        &self.request.common.lines
    }

    fn poll_instruction(&self, cx: &Context<'_>) -> Poll<Instruction<SharedTenure>> {
        TenureLines::poll_instruction(&self.ticket, cx)
    }

    /// Begins the turn that was passed on, unless the lock was lost on the way.
    fn accept(&self, tenure: Arc<SharedTenure>) -> Option<Hold> {
        self.request.passed_on(tenure).accept(self.request.terms)
    }

    /// The place in the store's line that one before us has left to us.
    fn legacy(&self) -> Option<Hold> {
        let tenure = TenureLines::legacy(&self.ticket)?;
        self.request.inherited(tenure)
    }

    /// Whether one who comes only if nobody waits may go on: it is the first. An error if it is to
    /// leave the work to another.
    fn decided(&self, holder: Option<&Holder>) -> Result<bool, LockError> {
        match self.lines().before(&self.request.key, &self.ticket) {
            Before::Nobody => Ok(true),
            Before::Undecided => Ok(false),
            Before::Waiting(count) => Err(self.request.busy_behind(Some(count), 0, holder)),
        }
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn set_trouble(&self, trouble: Option<StoreError>) {
        self.lines().set_trouble(&self.request.key, trouble);
    }
}

impl Drop for PlaceInLine {
    fn drop(&mut self) {
        if let Some(tenure) = self.lines().leave(&self.request.key, &self.ticket) {
            // A lock that was passed on to one who has left goes on to the next.
            drop(self.request.passed_on(tenure));
        }
        // It has left the line, so that the next inherits.
        drop(self.legacy());
    }
}

/// Queues until the lock is passed on, or is free when this is the first of the line.
///
/// Not an `async fn`, which would keep the request twice: there are as many of these as callers wait.
pub(super) fn wait(
    request: Request,
    limit: Option<Duration>,
) -> impl Future<Output = Result<Got, LockError>> + Send {
    // A time that the clock cannot count to is no limit.
    let until = limit.and_then(|limit| request.started.checked_add(limit));
    let place = PlaceInLine::join(request, until);
    async move {
        let request = &place.request;
        let lines_up = request.common.store.lines_up();
        let not_before = loop {
            let times = |tenure: &SharedTenure| {
                let now = Instant::now();
                tenure.look(|tenure| Some((tenure.held_until(now)?, tenure.passing_until(now))))
            };
            let (holders, is_first) =
                place
                    .lines()
                    .look_at_holders(&request.key, &place.ticket, times);
            let holder_until = holders.iter().map(|(until, _)| *until).min();
            if request.coalesce && place.decided(ours(&place, holder_until).as_ref())? {
                if lines_up {
                    // Somebody elsewhere may wait, and others there have to see that we do.
                    break None;
                }
                place.lines().stays(&request.key, &place.ticket);
            }
            let passing_until = holders
                .iter()
                .map(|(_, passing_until)| *passing_until)
                .min();
            if lines_up && is_first && passing_until == Some(None) {
                // A lock goes to other processes next: who comes first there, is served first.
                break None;
            }
            let passing_until = passing_until.flatten().filter(|_| lines_up);
            let look_again = [until, holder_until, passing_until];
            let look_again = look_again.into_iter().flatten().min();
            match before(look_again, poll_fn(|cx| place.poll_instruction(cx))).await {
                Some(Instruction::Take(tenure)) => {
                    let begun = match (place.accept(tenure), place.legacy()) {
                        (Some(hold), Some(seated)) => Box::pin(hold.instead_of(seated)).await,
                        (hold, _) => hold,
                    };
                    match begun {
                        Some(hold) => return Ok(Got { hold, attempts: 0 }),
                        // Lost on the way: nobody in this process can pass it on any more.
                        None => break None,
                    }
                }
                // On the store, those who came before us are first in any case.
                Some(Instruction::Ask { .. }) if lines_up => break None,
                Some(Instruction::Ask { not_before }) => break not_before,
                None if place.is_over() => return Err(still_held(&place, holder_until)),
                Some(Instruction::Look) | None => {}
            }
        };
        // Boxed, since only the first of a line needs the room.
        Box::pin(ask(&place, not_before)).await
    }
}

/// The wait is over, and another caller of this process still holds the lock, until then; or else
/// another first asks in vain.
fn still_held(place: &PlaceInLine, holder_until: Option<Instant>) -> LockError {
    let request = &place.request;
    if holder_until.is_none()
        && let Some(error) = place.lines().trouble(&request.key)
    {
        return request.failed(0, error);
    }
    request.busy(0, ours(place, holder_until).as_ref())
}

/// A holder of this process, by the end of its time.
fn ours(place: &PlaceInLine, until: Option<Instant>) -> Option<Holder> {
    let owner = shown(&place.request.common.settings.owner);
    let left = until?.saturating_duration_since(Instant::now());
    Some(Holder::new(Some(owner), Some(left)))
}

/// Asks whenever the lock may be free, unless it is passed on first.
async fn ask(place: &PlaceInLine, not_before: Option<Instant>) -> Result<Got, LockError> {
    let request = &place.request;
    let legacy = place.legacy();
    let mut first = HeadOfLine {
        place,
        alert: request.common.store.alert(&request.key),
        pauses: Backoff::default().pauses(),
        splits: 0,
        was_failing: false,
        seat: None,
        missed: 0,
        inherits: legacy.is_some(),
        legacy,
    };
    if not_before.is_some()
        && let Some(hold) = passed_on(place, Some(&first.alert), not_before).await
    {
        let begun = match first.legacy.take() {
            Some(seated) => hold.instead_of(seated).await,
            None => Some(hold),
        };
        if let Some(hold) = begun {
            return Ok(Got { hold, attempts: 0 });
        }
    }
    let got = attempts(request, &mut first).await;
    let got = got.map_err(|missed| missed.into_error(request))?;
    if got.hold.turn() == 0 {
        // From the store.
        let holder = Arc::clone(got.hold.tenure());
        let at_once = if request.common.store.lines_up() {
            TOGETHER
        } else {
            1
        };
        let former = place
            .lines()
            .acquired(&request.key, &place.ticket, holder, at_once);
        // The key was not theirs any more, and this is sooner than their next extensions.
        for former in former {
            let _ = former.hear_extension(Duration::ZERO, Duration::ZERO, Extended::Gone);
        }
    }
    Ok(got)
}

/// The first of a line, who asks the store.
struct HeadOfLine<'a, P> {
    place: &'a PlaceInLine,
    alert: Alert,
    pauses: P,
    splits: u32,
    was_failing: bool,
    /// Our place in the store's line, to be had again should it be lost.
    seat: Option<u64>,
    /// How often it was lost: passed on and not begun in time, or while nobody heard our bell.
    missed: u32,
    /// Whether one before us has left us a place; it is here until the first look.
    inherits: bool,
    legacy: Option<Hold>,
}

impl<P: Iterator<Item = Duration> + Send> PauseBetween for HeadOfLine<'_, P> {
    /// The first look is the cheapest: it needs no second connection.
    fn asking(&self, attempt: u32) -> Asking {
        let coalesce = self.place.request.coalesce;
        if attempt == 1 && !self.inherits {
            return Asking::Looking { coalesce };
        }
        Asking::InLine {
            place: self.seat,
            coalesce,
        }
    }

    fn hold(&mut self, request: &Request, now: Instant) -> Hold {
        self.legacy.take().unwrap_or_else(|| request.hold(now))
    }

    /// The first attempt is always waited for: without its answer nobody could say whether the lock
    /// is busy or Redis broken.
    fn limit(&self, attempt: u32) -> Option<Instant> {
        self.place.until.filter(|_| attempt > 1)
    }

    async fn next(
        &mut self,
        request: &Request,
        tenure: &Arc<SharedTenure>,
        progress: &Progress,
    ) -> NextStep {
        let place = self.place;
        if let Last::Busy(holder) = &progress.last
            && request.coalesce
        {
            if holder.as_ref().is_some_and(|holder| holder.is_owed) {
                return NextStep::GiveUp;
            }
            if progress.attempts > 1 || tenure.look(Tenure::is_seated) {
                place.lines().stays(&request.key, &place.ticket);
            }
        }
        if let Last::Busy(Some(holder)) = &progress.last
            && let Some(seat) = &holder.seat
        {
            place.set_trouble(None);
            self.was_failing = false;
            return self.sit(tenure, holder, seat).await;
        }
        let mut is_called = false;
        if let Last::Split(_) = progress.last {
            self.splits += 1;
            let pause = split_pause(progress.asked.elapsed(), self.splits);
            let end = Instant::now() + pause;
            let end = place.until.map_or(end, |until| until.min(end));
            match pause_in_line(place, end).await {
                Paused::Take(hold) => return NextStep::Take(hold),
                Paused::Called => is_called = true,
                Paused::Unheard => {}
            }
        }
        let again = match &progress.last {
            _ if is_called => Some(Instant::now()),
            // Ask in the way that tells when the key is freed.
            Last::Busy(_) | Last::Split(_) if progress.attempts == 1 => Some(Instant::now()),
            Last::Busy(holder) | Last::Split(holder) => {
                place.set_trouble(None);
                self.was_failing = false;
                self.look_again(holder.as_ref())
            }
            Last::Failed(error) => {
                // Once for each time of trouble; whoever has a limit is told at its end.
                if place.until.is_none() && !self.was_failing {
                    telemetry::waits_for_store(request.terms.name, request.key(), error);
                }
                self.was_failing = true;
                place.set_trouble(Some(error.clone()));
                self.pauses.next().map(|pause| Instant::now() + pause)
            }
        };
        let again = [again, place.until].into_iter().flatten().min();
        let is_by_several =
            matches!(&progress.last, Last::Busy(Some(holder)) if holder.are_several());
        let alert = Some(&self.alert).filter(|_| !is_by_several);
        if let Some(hold) = passed_on(place, alert, again).await {
            return NextStep::Take(hold);
        }
        if place.is_over() {
            NextStep::GiveUp
        } else {
            NextStep::Ask
        }
    }

    /// Cut short by the end of the wait, it takes nothing away from the answer before.
    fn cut(&self, request: &Request, asked: Instant) -> Option<StoreError> {
        let late = || StoreError::late(request.started.elapsed());
        (asked.elapsed() >= PROMPT).then(|| late().at(&request.common.store.place()))
    }
}

/// What ends the pause of one who sits in the store's line.
enum Event {
    Took(Arc<SharedTenure>),
    Said(Word),
    /// The key was changed, or that may have been missed.
    Rung,
    Watched(Result<Option<Holder>, StoreError>),
}

impl<P: Iterator<Item = Duration>> HeadOfLine<'_, P> {
    /// Sits in the store's line, until the lock is passed on or it is time to look again.
    async fn sit(&mut self, tenure: &Arc<SharedTenure>, holder: &Holder, seat: &Seat) -> NextStep {
        let place = self.place;
        let store = &place.request.common.store;
        let Some(ear) = tenure.ear() else {
            return NextStep::Ask;
        };
        self.have_seat(*seat);
        let now = Instant::now();
        let refresh = now + TRUST;
        let mut is_first = seat.rank == 0;
        let later = match seat.rank {
            0 => Some(EXPIRY_GRAIN),
            1 => Some(STAND_IN),
            _ => None,
        };
        let left = holder.left.zip(later);
        let mut expiry = left.map(|(left, later)| now + left + later);
        // Each of several who comes, goes or stays would ring.
        let mut watches = !holder.are_several();
        let mut watch_at = (is_first && watches).then(|| now + WATCH_AFTER);
        let mut watching: Option<Answer<Option<Holder>>> = None;
        loop {
            let times = [Some(refresh), expiry, watch_at, place.until];
            let event = {
                let (mut word, mut rung) = (ear.word(), pin!(self.alert.rung()));
                let event = poll_fn(|cx| {
                    while let Poll::Ready(instruction) = place.poll_instruction(cx) {
                        // Nothing else that is said in this process concerns one who sits here.
                        if let Instruction::Take(tenure) = instruction {
                            return Poll::Ready(Event::Took(tenure));
                        }
                    }
                    if let Poll::Ready(word) = word.as_mut().poll(cx) {
                        return Poll::Ready(Event::Said(word));
                    }
                    if rung.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Event::Rung);
                    }
                    match &mut watching {
                        Some(watching) => watching.as_mut().poll(cx).map(Event::Watched),
                        None => Poll::Pending,
                    }
                });
                before(times.into_iter().flatten().min(), event).await
            };
            let now = Instant::now();
            match event {
                Some(Event::Took(tenure)) => {
                    return place.accept(tenure).map_or(NextStep::Ask, NextStep::Take);
                }
                Some(Event::Said(Word::Passed(passed))) => {
                    return NextStep::Begin(passed);
                }
                Some(Event::Said(Word::Open(time))) => {
                    is_first = true;
                    expiry = Some(now + time + EXPIRY_GRAIN);
                }
                Some(Event::Said(Word::First)) => {
                    is_first = true;
                    // Others may have it now.
                    watches = true;
                    watch_at = Some(now + WATCH_AFTER);
                }
                Some(Event::Rung) if is_first && watches => watch_at = Some(now),
                Some(Event::Rung) => {}
                Some(Event::Watched(answer)) => {
                    watching = None;
                    match answer {
                        Ok(None) => return NextStep::Ask,
                        // When there is room for one of several, only a look can say.
                        Ok(Some(holder))
                            if holder.are_several() && place.wants_one_of_several() =>
                        {
                            return NextStep::Ask;
                        }
                        Ok(Some(holder)) => {
                            watches = !holder.are_several();
                            expiry = holder.left.map(|left| now + left + EXPIRY_GRAIN);
                        }
                        // The time that is known says when to look.
                        Err(error) => tracing::debug!(%error, "the lock's key is not watched"),
                    }
                }
                None if place.is_over() => return NextStep::GiveUp,
                None if watch_at.is_some_and(|at| at <= now) => {
                    watch_at = None;
                    watching = Some(store.watch(Arc::clone(&tenure.entry)));
                }
                Some(Event::Said(Word::LookAgain)) | None => return NextStep::Ask,
            }
        }
    }

    /// Who loses its place is given it again, but not for ever: one to whom the lock is passed on in
    /// vain holds up all others each time, and goes behind them then.
    fn have_seat(&mut self, seat: Seat) {
        self.seat = match self.seat {
            // It was lost, and asked for again.
            Some(_) if seat.is_new => {
                self.missed += 1;
                (self.missed < MISSES).then_some(seat.place)
            }
            // At the end of the line.
            None if seat.is_new => {
                self.missed = 0;
                Some(seat.place)
            }
            // A late look may have moved us to the end, until the next.
            Some(place) => Some(place.min(seat.place)),
            None => (self.missed < MISSES).then_some(seat.place),
        };
    }

    /// When the first of the line has to look again although nothing rang.
    fn look_again(&mut self, holder: Option<&Holder>) -> Option<Instant> {
        let expiry = holder
            .and_then(|holder| holder.left)
            .map(|left| left + EXPIRY_GRAIN);
        let rings = holder.is_some_and(|holder| holder.rings && !holder.are_several());
        let trust = if rings {
            Some(TRUST)
        } else {
            self.pauses.next()
        };
        let pause = [expiry, trust].into_iter().flatten().min();
        pause.map(|pause| Instant::now() + pause)
    }
}

/// Pauses until then, or until the alert says that the lock may be free; answers with a lock that is passed on.
async fn passed_on(
    place: &PlaceInLine,
    alert: Option<&Alert>,
    until: Option<Instant>,
) -> Option<Hold> {
    let rung = async {
        match alert {
            Some(alert) => alert.rung().await,
            None => pending().await,
        }
    };
    let mut rung = pin!(rung);
    let called = poll_fn(|cx| match place.poll_instruction(cx) {
        Poll::Ready(Instruction::Take(tenure)) => Poll::Ready(Some(tenure)),
        Poll::Ready(Instruction::Ask { .. } | Instruction::Look) => Poll::Ready(None),
        Poll::Pending => rung.as_mut().poll(cx).map(|()| None),
    });
    place.accept(before(until, called).await??)
}

/// What was heard in a pause.
enum Paused {
    /// The lock was passed on: nobody else uses it meanwhile.
    Take(Hold),
    /// It is to ask, once the pause is over.
    Called,
    Unheard,
}

/// Pauses until then, unless the lock is passed on before.
async fn pause_in_line(place: &PlaceInLine, until: Instant) -> Paused {
    let mut is_called = false;
    let taken = poll_fn(|cx| {
        loop {
            match ready!(place.poll_instruction(cx)) {
                Instruction::Take(tenure) => return Poll::Ready(tenure),
                Instruction::Ask { .. } | Instruction::Look => is_called = true,
            }
        }
    });
    match before(Some(until), taken).await {
        Some(tenure) => match place.accept(tenure) {
            Some(hold) => Paused::Take(hold),
            None => Paused::Called,
        },
        None if is_called => Paused::Called,
        None => Paused::Unheard,
    }
}

/// After a vote of several servers that nobody won, the pause before the next. Those who collided
/// draw different pauses, or they would collide again; the longer a vote takes and the more
/// collide, the further apart they have to be.
fn split_pause(vote: Duration, splits: u32) -> Duration {
    let (shortest, longest) = SPLIT_PAUSES;
    let pause = vote.max(shortest) * (1 << splits.min(6));
    pause.min(longest).mul_f64(random())
}
