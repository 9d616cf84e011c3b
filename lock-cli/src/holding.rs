//! `hold` and `unhold`: an operator keeps a job from running, without a deploy, or a script has a lock for a
//! part of it.

mod input;

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use redis_locked_runtime::{LockGuard, Locker};
use tokio::time::timeout;
use tracing::instrument::WithSubscriber as _;

use crate::breaking::{Meant, free_one};
use crate::exit::{Failure, LOST, NO, USAGE, say};
use crate::lock::Lock;
use crate::options::{Hold, Unhold};
use crate::records::time as in_utc;
use crate::run::signals::Signals;
use crate::run::warnings::Warnings;
use crate::run::{SHUTDOWN, group::code_of};
use crate::{scan, text};
use input::Input;

/// What an owner begins with that is an operator's hold.
const HELD: &str = "held: ";

/// How long the lock lives at a time while it is being got. A tool that is killed leaves it no longer.
const TTL: Duration = Duration::from_secs(30);

pub(crate) async fn hold(options: &Hold) -> Result<u8, Failure> {
    if options
        .why
        .as_deref()
        .is_some_and(|why| why.trim().is_empty())
    {
        return Err(Failure::usage(
            "--why is empty; say why nobody may run this, for those who find it busy",
        ));
    }
    let mut signals = Signals::listen()?;
    let mut input = options.until_eof.then(Input::watch).transpose()?;
    if let Some(failure) = look_first(options).await? {
        return Err(failure);
    }
    let owner = options.why.as_deref().map(owner);
    let locker = options.connection.locker(|builder| match owner {
        Some(owner) => builder.owner(owner),
        None => builder,
    });
    let locker = locker.await?;
    let code = wait_and_hold(options, &locker, &mut signals, input.as_mut()).await;
    // What is still pending after that goes when its ttl is over.
    let _ = timeout(SHUTDOWN, locker.shutdown()).await;
    code
}

async fn wait_and_hold(
    options: &Hold,
    locker: &Locker,
    signals: &mut Signals,
    mut input: Option<&mut Input>,
) -> Result<u8, Failure> {
    let mut request = locker
        .lock(options.key.as_str())
        .ttl(TTL)
        .renew()
        .wait_forever();
    if let Some(time) = options.time {
        // The release leaves the key there for the rest of this time, under the owner's name.
        request = request.min_hold(time);
    }
    // Where it is left, the acquisition under way frees its key in the background.
    let guard = tokio::select! {
        biased;
        signal = signals.next_ending() => return Ok(code_of(signal)),
        ended = end_of(input.as_deref_mut()) => {
            ended?;
            let message = format_args!(
                "standard input ended before it was lock {:?}'s turn; nothing was held",
                options.key
            );
            return Err(Failure::new(NO, message));
        }
        guard = request.acquire().with_subscriber(Warnings) => guard?,
    };
    match (options.time, input) {
        (Some(time), _) => leave(options, time, guard).await,
        (None, Some(input)) => keep(options, guard, signals, input).await,
        (None, None) => Err(Failure::usage("give --for or --until-eof")),
    }
}

/// Of no input, there is no end.
async fn end_of(input: Option<&mut Input>) -> Result<(), Failure> {
    match input {
        Some(input) => input.end().await,
        None => std::future::pending().await,
    }
}

/// The key stays, though nobody is here.
async fn leave(options: &Hold, time: Duration, guard: LockGuard) -> Result<u8, Failure> {
    guard.release().await?;
    let end = in_utc(SystemTime::now() + time);
    let why = options.why.as_deref().unwrap_or_default();
    writeln!(
        std::io::stdout().lock(),
        "lock {:?} is held until {end}, for: {}. `redis-locked unhold` ends that before",
        options.key,
        text::plain(why)
    )?;
    Ok(0)
}

/// Until standard input ends, the lock is lost, or a signal comes.
async fn keep(
    options: &Hold,
    guard: LockGuard,
    signals: &mut Signals,
    input: &mut Input,
) -> Result<u8, Failure> {
    let key = &options.key;
    writeln!(
        std::io::stdout().lock(),
        "lock {key:?} is held until standard input ends"
    )?;
    let ended = tokio::select! {
        biased;
        reason = guard.lost() => {
            let message = format_args!(
                "lock {key:?} was lost: {reason}. What the script does from now on, others may do as well"
            );
            return Err(Failure::new(LOST, message));
        }
        signal = signals.next_ending() => Ok(code_of(signal)),
        ended = input.end() => ended.map(|()| 0),
    };
    match timeout(SHUTDOWN, guard.release()).await {
        Ok(released) => released?,
        Err(_) => say(format_args!(
            "lock {key:?} could not be released in time; its key stays until its ttl is over"
        )),
    }
    ended
}

/// Whom others are told of who find the lock busy.
fn owner(why: &str) -> String {
    format!("{HELD}{} (by {})", text::plain(why), operator())
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
