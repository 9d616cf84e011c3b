//! `hold` and `unhold`: an operator keeps a job from running, without a deploy.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use redis_locked_runtime::LockError;
use tokio::time::timeout;
use tracing::instrument::WithSubscriber as _;

use crate::breaking::{Meant, free_one};
use crate::exit::{Failure, NO, USAGE, say};
use crate::lock::Lock;
use crate::options::{Hold, Unhold};
use crate::records::time;
use crate::run::signals::Signals;
use crate::run::warnings::Warnings;
use crate::run::{SHUTDOWN, group::code_of};
use crate::{scan, text};

/// What an owner begins with that is an operator's hold.
const HELD: &str = "held: ";

/// How long the lock lives at a time while it is being got. A tool that is killed leaves it no longer.
const TTL: Duration = Duration::from_secs(30);

pub(crate) async fn hold(options: &Hold) -> Result<u8, Failure> {
    let key = options.key.as_str();
    if options.why.trim().is_empty() {
        return Err(Failure::usage(
            "--why is empty; say why nobody may run this, for those who find it busy",
        ));
    }
    let owner = format!("{HELD}{} (by {})", text::plain(&options.why), operator());
    let mut signals = Signals::listen()?;
    if let Some(failure) = look_first(options).await? {
        return Err(failure);
    }
    let locker = options.connection.locker(|builder| builder.owner(owner));
    let locker = locker.await?;
    // The release leaves the key there for the rest of this time, under the owner's name.
    let request = locker
        .lock(key)
        .ttl(TTL)
        .renew()
        .min_hold(options.time)
        .wait_forever();
    let answer = tokio::select! {
        biased;
        signal = signals.next_ending() => Err(signal),
        answer = request.acquire().with_subscriber(Warnings) => Ok(answer),
    };
    let code = match answer {
        Ok(Ok(guard)) => {
            let held: Result<(), LockError> = guard.release().await;
            held.map_err(Failure::from)?;
            let end = time(SystemTime::now() + options.time);
            writeln!(
                std::io::stdout().lock(),
                "lock {key:?} is held until {end}, for: {}. `redis-locked unhold` ends that before",
                text::plain(&options.why)
            )?;
            0
        }
        Ok(Err(error)) => return Err(error.into()),
        // The acquisition under way frees its key in the background.
        Err(signal) => code_of(signal),
    };
    // What is still pending after that goes when its ttl is over.
    let _ = timeout(SHUTDOWN, locker.shutdown()).await;
    Ok(code)
}

/// Says who has the lock, or breaks it with `--now`. Answers why it can't be held, if so.
async fn look_first(options: &Hold) -> Result<Option<Failure>, Failure> {
    let nodes = options.connection.servers()?.connect().await?;
    let (prefix, key) = (&options.connection.prefix, options.key.as_str());
    let holders = scan::one(&nodes, prefix, key).await?;
    let Some(lock) = holders.first() else {
        return Ok(None);
    };
    if !options.now {
        let (owner, left) = (text::owner(lock), text::with_left(lock.left));
        if is_held(lock) {
            let message = format_args!(
                "lock {key:?} is {owner}, {left}. End that with `unhold` first, or give --now"
            );
            return Ok(Some(Failure::new(NO, message)));
        }
        say(format_args!(
            "{owner} has lock {key:?}, {left}; waiting for its turn. --now breaks it"
        ));
        return Ok(None);
    }
    if lock.is_foreign() {
        let message = format_args!(
            "key {key:?} holds what this library did not write, so --now does not break it"
        );
        return Ok(Some(Failure::new(USAGE, message)));
    }
    // One, unless it lets in several.
    for lock in &holders {
        let meant = Meant {
            key,
            owner: None,
            token: Some(&lock.token),
        };
        let (said, _) = free_one(prefix, &nodes, meant).await?;
        say(said);
    }
    Ok(None)
}

/// Whether an operator holds it.
fn is_held(lock: &Lock) -> bool {
    let owner = lock.owner.as_deref();
    owner.is_some_and(|owner| owner.starts_with(HELD))
}

pub(crate) async fn unhold(options: &Unhold) -> Result<u8, Failure> {
    let nodes = options.connection.servers()?.connect().await?;
    let (prefix, key) = (&options.connection.prefix, options.key.as_str());
    let mut holders = scan::one(&nodes, prefix, key).await?;
    let Some(lock) = holders.pop().filter(is_held) else {
        say(format_args!(
            "lock {key:?} is not held by `hold`; nothing was freed"
        ));
        return Ok(NO);
    };
    let meant = Meant {
        key,
        owner: None,
        token: Some(&lock.token),
    };
    let (said, code) = free_one(prefix, &nodes, meant).await?;
    if code == 0 {
        let owner = text::owner(&lock);
        writeln!(
            std::io::stdout().lock(),
            "lock {key:?} is free again; it was {owner}"
        )?;
    } else {
        say(said);
    }
    Ok(code)
}

/// Who this is, as others know it.
fn operator() -> String {
    let user = ["USER", "LOGNAME"].into_iter().find_map(|name| {
        let name = std::env::var(name).ok();
        name.filter(|name| !name.trim().is_empty())
    });
    let user = user.unwrap_or_else(|| nix::unistd::getuid().to_string());
    let host = gethostname::gethostname();
    text::plain(&format!("{user}@{}", host.to_string_lossy()))
}
