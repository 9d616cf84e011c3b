//! One who asks for locks again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::chance::{between, weighed};
use super::super::checker::{COALESCE, Witness};
use super::super::plan::Plan;
use super::super::read::name_of;
use super::super::testimony::{Event, How, Patience, ProcessId, Room, Terms, Token, millis_since};
use super::errand::{Answer, Errand, Part, Wanted, names};
use super::kinds::Family;
use crate::{Backoff, Lease, LockRequest, Locker, OnLost};

#[derive(Clone)]
pub(in super::super) struct Caller {
    pub(in super::super) process: ProcessId,
    pub(in super::super) locker: Locker,
    pub(in super::super) began: Instant,
    pub(in super::super) plan: Arc<Plan>,
    pub(in super::super) witness: Witness,
    pub(in super::super) is_ending: Arc<AtomicBool>,
}

impl Caller {
    pub(in super::super) async fn call_again_and_again(self) {
        while !self.is_ending.load(Ordering::Relaxed) {
            self.pause(self.plan.longest_pause).await;
            let (kind, _) = weighed(&self.plan.kinds, |(_, weight)| *weight);
            let wanted = if kind.family == Family::Arrays {
                Wanted::several(self.plan.keys)
            } else {
                Wanted::one(self.plan.keys)
            };
            let terms = Terms {
                kind: kind.name,
                ttl: between(self.plan.ttls.clone()),
                patience: Patience::Retries(0),
                renew: false,
                max_hold: None,
                min_hold: None,
                fenced: false,
                room: Room::Alone,
                permits: 0,
                once_per: None,
                record: false,
                finish: false,
            };
            let terms = (kind.ask)(&self.plan, terms);
            self.clone().act(kind.deed, wanted, terms).await;
        }
    }

    pub(super) async fn pause(&self, longest: u64) {
        let pause = between(0..=longest);
        if pause > 0 {
            sleep(Duration::from_millis(pause)).await;
        }
    }

    pub(super) fn request(&self, wanted: &Wanted, terms: &Terms) -> LockRequest {
        let millis = Duration::from_millis;
        let request = match wanted {
            Wanted::One(key) => self.locker.lock(name_of(*key)),
            Wanted::All(keys) => self.locker.lock_all(names(keys)),
        };
        let mut request = request.ttl(millis(terms.ttl));
        request = match terms.patience {
            Patience::Retries(retries) => request
                .retries(retries)
                .backoff(Backoff::exponential(millis(2), millis(50))),
            Patience::Wait(limit) => request.wait(millis(limit)),
            Patience::Forever => request.wait_forever(),
        };
        request = match terms.room {
            Room::Alone => request,
            Room::Permit => request.permits(u32::try_from(terms.permits).expect("they are few")),
            Room::Shared => request.shared(),
        };
        if terms.kind == COALESCE {
            request = request.coalesce();
        }
        if terms.renew {
            request = request.renew();
        }
        if let Some(max_hold) = terms.max_hold {
            request = request.max_hold(millis(max_hold));
        }
        if let Some(min_hold) = terms.min_hold {
            request = request.min_hold(millis(min_hold));
        }
        if terms.fenced {
            request = request.fenced();
        }
        if terms.finish {
            request = request.on_lost(OnLost::Finish);
        }
        request
    }

    // What it testifies, of each key.

    pub(super) fn asks(&self, wanted: &Wanted, terms: &Terms) -> Errand {
        let keys = wanted.keys().into_iter();
        let parts = keys.map(|key| Part {
            id: self.witness.new_errand(),
            key,
        });
        let errand = Errand {
            parts: parts.collect(),
        };
        for part in &errand.parts {
            self.witness.tell(&Event::Asked {
                errand: part.id,
                array: matches!(wanted, Wanted::All(_)).then(|| errand.id()),
                process: self.process,
                key: part.key,
                terms: *terms,
                local: self.local(),
            });
        }
        errand
    }

    /// It has all keys, or says so.
    pub(super) fn enters(&self, errand: &Errand, lease: &Lease) {
        let mut had: Vec<_> = lease.keys().zip(lease.tokens()).collect();
        had.sort_unstable();
        let wanted: Vec<_> = errand.parts.iter().map(|part| name_of(part.key)).collect();
        if !had.iter().map(|(key, _)| key).eq(&wanted) {
            let wrong = format!("errand {} wants {wanted:?}, and has {had:?}", errand.id());
            self.witness.accuse(&wrong);
        }
        for (part, (_, token)) in errand.parts.iter().zip(had) {
            self.witness.tell(&Event::Entered {
                errand: part.id,
                token: Token::of(token.as_bytes()).expect("a token is long enough"),
                local: self.local(),
                left: left(lease),
                number: lease.fencing_token().map(u64::from),
            });
        }
    }

    pub(super) fn goes_on(&self, errand: &Errand, lease: &Lease) {
        for part in &errand.parts {
            self.witness.tell(&Event::Inside {
                errand: part.id,
                local: self.local(),
                left: left(lease),
            });
        }
    }

    pub(super) fn leaves(&self, errand: &Errand, how: How) {
        // Which of several is lost, a guard does not say. The others are not.
        let how = match how {
            How::Stopped if errand.parts.len() > 1 => How::Dropped,
            how => how,
        };
        for part in &errand.parts {
            let errand = part.id;
            self.witness.tell(&Event::Left { errand, how });
        }
    }

    pub(super) fn gets(&self, errand: &Errand, answer: impl Into<Answer>) {
        let answer = answer.into();
        for part in &errand.parts {
            self.witness.tell(&Event::Got {
                errand: part.id,
                outcome: errand.outcome_for(*part, &answer),
                local: self.local(),
            });
        }
    }

    fn local(&self) -> u64 {
        millis_since(self.began)
    }
}

/// The milliseconds that are left; a part of one is one.
fn left(lease: &Lease) -> u64 {
    u64::try_from(lease.remaining().as_micros().div_ceil(1000)).expect("not that long")
}
