//! What the servers have, and what has become of it.

use super::super::super::testimony::{By, Content, Kept, KeyId, Room, ServerId, Token};
use super::{Errand, Facts};

/// Of each key, so many releases are remembered.
const RELEASES: usize = 8;

impl Facts {
    pub(super) fn changed(
        &mut self,
        server: ServerId,
        by: By,
        key: KeyId,
        before: Option<Kept>,
        after: Option<Kept>,
    ) {
        let was_unheard = before.is_some_and(|kept| match kept.content {
            Content::ForeignSet => true,
            Content::Lock { room, .. } => room != Room::Alone && by == By::Foreigner,
            _ => false,
        });
        if was_unheard {
            self.unheard_sets.insert(key, self.now);
        }
        let there = &mut self.locks[server][key];
        there.retain(|kept| Some(*kept) != before);
        there.extend(after);
        let token = |kept: Option<Kept>| match kept?.content {
            Content::Lock {
                token, owner, kept, ..
            } => Some((token, owner, kept)),
            _ => None,
        };
        if let Some(Content::Lock {
            token: is,
            room: Room::Permit,
            ..
        }) = after.map(|kept| kept.content)
            && token(before).is_none_or(|(was, _, _)| was != is)
        {
            self.placed.insert(is, self.now);
        }
        let has_ended = before.is_some_and(|kept| self.may_have_ended(server, &kept));
        match (by, token(before), token(after)) {
            (By::Process(process), Some((was, owner, false)), now)
                if !has_ended
                    && owner == process
                    && now.is_none_or(|(now, _, kept)| now != was || kept) =>
            {
                let released = &mut self.released[server][key];
                released.push_back(was);
                if released.len() > RELEASES {
                    released.pop_front();
                }
            }
            (By::Foreigner | By::Loss, was, now) => {
                let lives_on = was.zip(now).is_some_and(|(was, now)| was == now);
                // Also what was extended, and is not any more.
                let is_shorter = before.and_then(|it| it.expires) > after.and_then(|it| it.expires);
                if let Some((was, owner, _)) = was
                    && (!lives_on || is_shorter)
                {
                    self.taken.insert((server, was));
                    self.lost.insert((owner, key), self.now);
                }
                if let Some((now, _, _)) = now
                    && !lives_on
                {
                    self.revived.insert((server, now));
                }
            }
            _ => {}
        }
    }

    /// Whether the time of what a server has is not over.
    pub(in super::super) fn lasts(&self, server: ServerId, kept: &Kept) -> bool {
        let now = self.server_clocks[server].millis(self.now);
        kept.expires.is_none_or(|expires| now <= expires)
    }

    /// What has ended is taken away by whoever comes. A place ends within a millisecond.
    pub(in super::super) fn may_have_ended(&self, server: ServerId, kept: &Kept) -> bool {
        let now = self.server_clocks[server].millis(self.now);
        kept.expires.is_some_and(|expires| expires <= now)
    }

    /// What a server holds at this moment.
    pub(in super::super) fn at(&self, server: ServerId, key: KeyId) -> impl Iterator<Item = Kept> {
        let there = self.locks[server][key].iter().copied();
        there.filter(move |kept| self.lasts(server, kept))
    }

    pub(in super::super) fn has(&self, server: ServerId, key: KeyId, wanted: Token) -> bool {
        self.at(server, key).any(|kept| is_token(&kept, wanted))
    }

    /// Whether a majority has the token for so many milliseconds, counting those that had it taken away from
    /// them.
    pub(in super::super) fn is_locked(&self, key: KeyId, token: Token, millis: u64) -> bool {
        let counts = |server: &ServerId| {
            let now = self.server_clocks[*server].millis(self.now);
            let is_there = |kept: &Kept| kept.expires.is_none_or(|expires| now + millis <= expires);
            let mut has = self.at(*server, key).filter(|kept| is_token(kept, token));
            has.any(|kept| is_there(&kept)) || self.was_taken(*server, token)
        };
        (0..self.locks.len()).filter(counts).count() >= self.majority()
    }

    pub(in super::super) fn was_taken(&self, server: ServerId, token: Token) -> bool {
        self.taken.contains(&(server, token))
    }

    /// Whether it was taken away from any server.
    pub(in super::super) fn was_taken_somewhere(&self, token: Token) -> bool {
        (0..self.locks.len()).any(|server| self.was_taken(server, token))
    }

    /// Whether a majority of servers carried out a release of this token.
    pub(in super::super) fn was_released(&self, key: KeyId, token: Token) -> bool {
        let released = self.released.iter();
        let released = released.filter(|keys| keys[key].contains(&token));
        released.count() >= self.majority()
    }

    /// Whether there is room for this one beside all that a server has.
    pub(in super::super) fn has_room(&self, server: ServerId, errand: &Errand) -> bool {
        let rooms = self.at(server, errand.key).map(|kept| match kept.content {
            Content::Lock { room, .. } => room,
            Content::Number(_) | Content::Foreign | Content::ForeignSet => Room::Alone,
        });
        let rooms: Vec<_> = rooms.collect();
        let terms = errand.terms;
        rooms.iter().all(|room| room.is_beside(terms.room))
            && (terms.room != Room::Permit || rooms.len() < terms.permits)
    }
}

/// Whether this is a lock with the token that is not given back.
fn is_token(kept: &Kept, wanted: Token) -> bool {
    matches!(kept.content, Content::Lock { token, kept: false, .. } if token == wanted)
}
