//! One who asks for locks again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::chance::{between, weighed};
use super::super::checker::{COALESCE, Witness};
use super::super::plan::Plan;
use super::super::read::name_of;
use super::super::testimony::{
    ErrandId, Event, KeyId, Outcome, Patience, ProcessId, Room, Terms, Token, millis_since,
};
use crate::{Backoff, Lease, LockError, LockRequest, Locker, LostReason, OnLost};

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
            let key = between(0..=self.plan.keys - 1);
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
            (kind.deed)(self.clone(), key, terms).await;
        }
    }

    pub(super) async fn pause(&self, longest: u64) {
        let pause = between(0..=longest);
        if pause > 0 {
            sleep(Duration::from_millis(pause)).await;
        }
    }

    pub(super) fn request(&self, key: KeyId, terms: &Terms) -> LockRequest {
        let millis = Duration::from_millis;
        let mut request = self.locker.lock(name_of(key)).ttl(millis(terms.ttl));
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

    // What it testifies.

    pub(super) fn asks(&self, key: KeyId, terms: &Terms) -> ErrandId {
        let errand = self.witness.new_errand();
        self.witness.tell(&Event::Asked {
            errand,
            process: self.process,
            key,
            terms: *terms,
            local: self.local(),
        });
        errand
    }

    pub(super) fn enters(&self, errand: ErrandId, lease: &Lease) {
        self.witness.tell(&Event::Entered {
            errand,
            token: Token::of(lease.token().as_bytes()).expect("a token is long enough"),
            local: self.local(),
            left: left(lease),
            number: lease.fencing_token().map(u64::from),
        });
    }

    pub(super) fn goes_on(&self, errand: ErrandId, lease: &Lease) {
        self.witness.tell(&Event::Inside {
            errand,
            local: self.local(),
            left: left(lease),
        });
    }

    pub(super) fn gets(&self, errand: ErrandId, outcome: Outcome) {
        self.witness.tell(&Event::Got {
            errand,
            outcome,
            local: self.local(),
        });
    }

    fn local(&self) -> u64 {
        millis_since(self.began)
    }
}

/// The milliseconds that are left; a part of one is one.
fn left(lease: &Lease) -> u64 {
    u64::try_from(lease.remaining().as_micros().div_ceil(1000)).expect("not that long")
}

/// What a caller gets with this error.
pub(super) fn outcome_of(error: &LockError) -> Outcome {
    match error {
        LockError::Busy { attempts, .. } => Outcome::Busy {
            attempts: *attempts,
        },
        LockError::Lost { reason, .. } => match reason {
            LostReason::Expired => Outcome::LostByTime,
            LostReason::MaxHold => Outcome::LostByLimit,
            _ => Outcome::LostByOthers,
        },
        LockError::NotHeld { .. } => Outcome::NotHeld,
        LockError::AlreadyDone { .. } => Outcome::AlreadyDone,
        LockError::Backend { .. } => Outcome::Backend,
        _ => Outcome::Refused,
    }
}
