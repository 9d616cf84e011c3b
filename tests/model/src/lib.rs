//! A model of the line on the server, tried in every order of events.
//!
//! The tests of the other packages run the protocol; this one has only what of it decides: the
//! server's keys, what the clients know, what is under way between them, and a clock of few ticks.
//! The checker (`stateright`) goes through every state that can be reached, so what it does not find
//! is not there, within these bounds. A rule that is broken on purpose (`config::Break`) is found,
//! which shows that the model can see.
//!
//! The model came first: nothing of this line is in the runtime yet, and "there" is where it will be.
//!
//! | here | there |
//! | --- | --- |
//! | `state::State::key` | the key, its value and its time left. `Kept` is the value that a release with `min_hold` writes |
//! | `state.seats` | `{K}:line` (score) and `{K}:seats` (valid until, stamp). Its bell is known by its process |
//! | `state.settled` | what a release of a doubtful tenure leaves in `{K}:seats`, so that no look of its token does anything |
//! | `state.door` | the open door |
//! | `state.registered` | who registered the key for invalidations |
//! | `serve_look`, `serve_release`, `serve_extension`, `serve_watch` in `server` | the scripts `look`, `release` (a leave, too), `extend` and `watch` |
//! | a client, `state::Tenure` | one tenure: one token, one entry. Who locks twice is two clients |
//! | a process, `state::Process` | what has one bell connection, and one line in memory |
//! | `state::Net` | the looks, answers, bells, pushes, releases and extensions under way |
//! | `watch` in `Net` | "you are first", a push of the key, and the watch that follows either: one message |
//! | `steps::Step` | all that can happen |
//! | `judge` | the promises. Only it knows who came when |
//!
//! What is left out, so that there are few states:
//!
//! - Clocks do not drift: a deadline is stamp + term, and the drift that is taken off is 0.
//! - Times are small numbers. What matters is their order: reservation < ttl, look < seat. Stamps are
//!   ages, and one that is older than any term is as good as another.
//! - All that happens between two ticks takes no time, but may happen in any order. A message arrives
//!   before the next tick (or the one after, `delay`), unless it is late or lost; how many may be is
//!   counted (`config::Faults`). Who must act at once acts before the next tick.
//! - A look that is given up is asked again at once, with the same stamp, and stays under way for some
//!   ticks. A release whose answer is lost is asked again; one that is lost for good is `leave_lost`.
//! - The look without a bell, with which a wait begins, is left out: what it may do, the entering look
//!   may. So are deafness for long, `fenced`, numbers, replicas, side keys of another type, and the
//!   rungs below.
//! - The door opens when the model likes, instead of when the key was passed on for long enough.
//! - A foreign client takes the free key, gives it back or lets it expire. Where it deletes a key that
//!   is ours (`rob`), the holder it was taken from is not counted as one.
//! - A look that comes before the answer to its first look was heard, and after its reservation was
//!   missed, has no score to send: it goes to the end.
//! - "There" is who waits, lives and has its bell connection open; an order is promised to those who
//!   have been there since they were seated. Whose reservation ended unheard is not there until its
//!   look has given it its place again. After `flush` there is no order among those that were there.
//! - Liveness is judged by time: nobody who is there waits for longer than a bound at a free key, nor
//!   behind the dead. The bounds are tight: each test says the worst that was found.
//!
//! Two things are weaker than one would wish, and left out of the judgement: who counts, to coalesce,
//! on one that gives up, is owed nothing; and a body that begins by the bell of a key that a foreign
//! client has deleted has a seat in the line meanwhile.
//!
//! `larger` tries more at once, which takes minutes; it is run by name.
#![cfg(test)]

mod broken;
mod check;
mod client;
mod clock;
mod config;
mod judge;
mod larger;
mod model;
mod server;
mod state;
mod steps;
mod take;
mod tests;
mod trace;
