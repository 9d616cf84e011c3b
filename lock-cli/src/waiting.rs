//! Who waits for a lock: the line on the server, as `pass_on.lua` of the runtime keeps it.

use std::collections::{BTreeMap, BTreeSet};

use redis::{FromRedisValue, Value, from_redis_value};
use redis_locked_runtime::private::token_and_owner;

use crate::exit::Failure;
use crate::lock::{Lock, Waiter};
use crate::servers::Node;

/// A place in the line, and the bell that its process hears while it is there.
pub(crate) struct Place {
    waiter: Waiter,
    bell: String,
}

/// The places whose time is not over, in order. `now` is the server's time in milliseconds. What is in
/// the place of a line and is none has no places.
pub(crate) fn read(line: &Value, seats: &Value, now: u64) -> Vec<Place> {
    let values: Vec<Vec<u8>> = read_as(line);
    let mut seats: BTreeMap<Vec<u8>, Vec<u8>> = read_as(seats);
    let places = values.into_iter().filter_map(|value| {
        let seat = String::from_utf8(seats.remove(&value)?).ok()?;
        // "till stamp reservation fenced bell"
        let (till, rest) = seat.split_once(' ')?;
        let is_there = till.parse::<u64>().ok()? > now;
        let bell = rest.splitn(4, ' ').nth(3).filter(|_| is_there)?;
        let value = String::from_utf8_lossy(&value);
        let (token, owner) = match token_and_owner(&value) {
            Some((token, owner)) => (token.to_owned(), Some(owner.to_owned())),
            None => (value.into_owned(), None),
        };
        Some(Place {
            waiter: Waiter { owner, token },
            bell: bell.to_owned(),
        })
    });
    places.collect()
}

/// The server's time in milliseconds, from its answer to `TIME`.
pub(crate) fn millis(time: &Value) -> u64 {
    micros(time) / 1000
}

/// The same in microseconds.
pub(crate) fn micros(time: &Value) -> u64 {
    let time: Vec<u64> = read_as(time);
    match time.as_slice() {
        [seconds, micros] => seconds * 1_000_000 + micros,
        _ => 0,
    }
}

pub(crate) fn read_as<T: FromRedisValue + Default>(answer: &Value) -> T {
    from_redis_value(answer.clone()).unwrap_or_default()
}

/// Gives the locks of each key those who wait for them: whose bell is heard by nobody has gone.
pub(crate) async fn tell(
    node: &mut Node,
    lines: Vec<(&mut [Lock], Vec<Place>)>,
) -> Result<(), Failure> {
    let places = lines.iter().flat_map(|(_, places)| places);
    let bells: BTreeSet<&str> = places.map(|place| place.bell.as_str()).collect();
    // On a cluster, they are sharded channels that end with the hash tags of their locks.
    let (sharded, plain): (Vec<&str>, Vec<&str>) =
        bells.into_iter().partition(|bell| bell.ends_with('}'));
    let mut questions = redis::pipe();
    for (count, bells) in [("NUMSUB", plain), ("SHARDNUMSUB", sharded)] {
        if !bells.is_empty() {
            questions.cmd("PUBSUB").arg(count).arg(bells);
        }
    }
    let mut heard = BTreeMap::<String, u64>::new();
    if !questions.is_empty() {
        let answers = node.ask_all(&questions).await?;
        heard = answers.iter().flat_map(read_as::<BTreeMap<_, _>>).collect();
    }
    let is_heard = |place: &Place| heard.get(&place.bell).is_some_and(|count| *count > 0);
    for (locks, places) in lines {
        let there = places.into_iter().filter(&is_heard);
        let line: Vec<Waiter> = there.map(|place| place.waiter).collect();
        for lock in locks {
            lock.waiting = Some(line.len());
            lock.line = Some(line.clone());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn a_line_is_read_in_its_order_without_those_whose_time_is_over() {
        let [first, gone, last] = ["a", "b", "c"].map(|who| format!("{};{who}", "x".repeat(22)));
        let line = Value::Array(vec![text(&first), text(&gone), text(&last), text("odd")]);
        let seats = [
            (first.as_str(), "5001 17 2000 0 bell:1"),
            (gone.as_str(), "5000 17 2000 0 bell:2"),
            (last.as_str(), "9000 17 500 1 a bell"),
            ("#row", "1 2"),
        ];
        let seats = seats
            .iter()
            .flat_map(|(value, seat)| [text(value), text(seat)]);
        let places = read(&line, &Value::Array(seats.collect()), 5000);
        let owners = places.iter().map(|place| place.waiter.owner.as_deref());
        assert_eq!(owners.collect::<Vec<_>>(), [Some("a"), Some("c")]);
        assert_eq!(places[1].bell, "a bell");
        assert!(read(&Value::Nil, &text("none"), 0).is_empty());
    }

    #[test]
    fn the_servers_time_is_read() {
        let time = Value::Array(vec![text("3"), text("14999")]);
        assert_eq!(millis(&time), 3014);
    }
}
