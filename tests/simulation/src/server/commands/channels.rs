//! Channels: who publishes, and who is subscribed.

use crate::simulation::server::command::{ANY_TIME, Arguments, Command, Keys, OF_CLIENTS};
use crate::simulation::server::core::Core;
use crate::simulation::server::reply::{Answer, Reply};

pub(super) const COMMANDS: &[Command] = &[
    Command::new("publish", 3, Keys::None, ANY_TIME, publish),
    Command::new("subscribe", -2, Keys::None, OF_CLIENTS, subscribe),
    Command::new("pubsub|numsub", -2, Keys::None, ANY_TIME, count),
];

fn publish(core: &mut Core, arguments: &Arguments) -> Answer {
    let heard = core.publish(&arguments[1], &arguments[2]);
    Ok(Reply::Integer(heard))
}

fn subscribe(core: &mut Core, arguments: &Arguments) -> Answer {
    let id = core.current.expect("a client subscribes");
    let mut confirmed = Vec::new();
    for channel in &arguments[1..] {
        let channels = &mut core.client().channels;
        channels.insert(channel.as_slice().into());
        let count = i64::try_from(channels.len()).expect("they are few");
        confirmed.push(Reply::Push(vec![
            Reply::bulk("subscribe"),
            Reply::bulk(channel),
            Reply::Integer(count),
        ]));
    }
    let last = confirmed.pop().expect("one channel at least");
    for reply in &confirmed {
        core.say(id, reply);
    }
    Ok(last)
}

fn count(core: &mut Core, arguments: &Arguments) -> Answer {
    let mut answer = Vec::new();
    for channel in &arguments[2..] {
        answer.push(Reply::bulk(channel));
        answer.push(Reply::Integer(core.subscribers(channel)));
    }
    Ok(Reply::Array(answer))
}
