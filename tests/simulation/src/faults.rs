//! What goes wrong: each a row.

use super::chance::{between, one_in, one_of};
use super::network::{Direction, LinkId};
use super::read::{name_beside, name_of};
use super::server::{Data, Mood};
use super::testimony::Event;
use super::world::World;

pub(super) struct Fault {
    pub(super) name: &'static str,
    pub(super) happen: fn(&mut World),
}

const fn fault(name: &'static str, happen: fn(&mut World)) -> Fault {
    Fault { name, happen }
}

pub(super) static FAULTS: &[Fault] = &[
    fault("cut", cut),
    fault("cut in the middle", cut_in_the_middle),
    fault("half-open", half_open),
    fault("connection stands still", delay),
    fault("one direction stands still", stand_still),
    fault("partition", partition),
    fault("server stands still", server_stands_still),
    fault("server refuses", refuse),
    fault("restart", restart),
    fault("restart without data", restart_without_data),
    fault("failover", fail_over),
    fault("kill", kill),
    fault("machine vanishes", vanish),
    fault("stop", stop),
    fault("foreign hand", meddle),
    fault("clock back", set_back),
    fault("scripts forgotten", forget_scripts),
];

fn some_link(world: &World) -> Option<LinkId> {
    let links = world.network.wires().open_links();
    (!links.is_empty()).then(|| *one_of(&links))
}

/// A time for which something lasts: mostly short.
fn while_it_lasts() -> u64 {
    match between(0..=3) {
        0 => between(1..=50),
        1 | 2 => between(50..=800),
        _ => between(800..=6_000),
    }
}

fn cut(world: &mut World) {
    let Some(link) = some_link(world) else {
        return;
    };
    let ends = world.network.wires().ends(link);
    world.trouble(format!("connection {link} {ends:?} is cut"), 0);
    world.network.wires().cut_client(link);
}

/// Something is under way on it: a question comes later than what is asked again, and an answer never.
fn cut_in_the_middle(world: &mut World) {
    let links = world.network.wires().busy_links();
    if links.is_empty() {
        return;
    }
    let link = *one_of(&links);
    let time = between(1..=world.plan.weather.user_timeout);
    let what = format!("connection {link} is cut, and what was sent on it takes {time} ms");
    world.trouble(what, time);
    let until = world.now + time;
    let mut wires = world.network.wires();
    wires.hold_back(link, until);
    wires.cut_client(link);
}

fn half_open(world: &mut World) {
    let Some(link) = some_link(world) else {
        return;
    };
    let direction = *one_of(&[Direction::Up, Direction::Down]);
    let (place, server) = world.network.wires().ends(link);
    // It is noticed when a command is not answered, or when the kernel looks after it.
    let noticed = 20_000 + 2 * world.plan.weather.user_timeout;
    let what = format!(
        "connection {link} of place {place} to server {server} is open {direction:?} no more"
    );
    world.trouble(what, noticed);
    world.network.wires().lose(link, direction);
}

/// For as long as the kernel sends a lost packet again, at most: so long, what was sent may come.
fn delay(world: &mut World) {
    let Some(link) = some_link(world) else {
        return;
    };
    let direction = *one_of(&[Direction::Up, Direction::Down]);
    let time = between(1..=world.plan.weather.user_timeout);
    let what = format!("{direction:?} on connection {link} stands still");
    world.trouble(what, time);
    let until = world.now + time;
    world.network.wires().delay(link, direction, until);
}

fn stand_still(world: &mut World) {
    let (place, server) = (world.some_place(), world.some_server());
    let direction = *one_of(&[Direction::Up, Direction::Down]);
    let time = while_it_lasts();
    let what = format!("{direction:?} between place {place} and server {server} stands still");
    world.trouble(what, time);
    world.still(place, server, direction, time);
}

fn partition(world: &mut World) {
    let place = world.some_place();
    let time = while_it_lasts();
    world.trouble(format!("place {place} is cut off"), time);
    for server in 0..world.plan.servers {
        world.still(place, server, Direction::Up, time);
        world.still(place, server, Direction::Down, time);
    }
}

fn server_stands_still(world: &mut World) {
    let server = world.some_server();
    let time = while_it_lasts();
    world.trouble(format!("server {server} stands still"), time);
    for place in 0..world.plan.places {
        world.still(place, server, Direction::Up, time);
        world.still(place, server, Direction::Down, time);
    }
}

/// It answers, and does not do what it is asked.
fn refuse(world: &mut World) {
    let server = world.some_server();
    let moods = [
        Mood::Busy,
        Mood::Loading,
        Mood::NoReplicas,
        Mood::Misconf,
        Mood::OutOfMemory,
        Mood::ReadOnly,
    ];
    let mood = *one_of(&moods);
    let time = while_it_lasts();
    world.trouble(format!("server {server} is {mood:?}"), time);
    world.sites[server].set_mood(mood);
    world.later(time, move |world| world.sites[server].set_mood(Mood::Well));
}

fn restart(world: &mut World) {
    let server = world.some_server();
    let data = world.sites[server].data();
    go_down(world, server, data, "restarts");
}

fn restart_without_data(world: &mut World) {
    let server = world.some_server();
    go_down(
        world,
        server,
        Data::default(),
        "restarts, and has lost its data",
    );
}

/// A replica takes over, which has not heard what was written last.
fn fail_over(world: &mut World) {
    let server = world.some_server();
    let behind = between(1..=20);
    let data = world.sites[server].data();
    world.later(behind, move |world| {
        go_down(world, server, data, "fails over");
    });
}

fn go_down(world: &mut World, server: usize, data: Data, what: &str) {
    let time = while_it_lasts().min(2_000);
    world.trouble(format!("server {server} {what}"), time);
    world.sites[server].is_down = true;
    let (keys, now) = (world.plan.keys, world.now);
    world.sites[server].restore(data, keys, now);
    world.later(time, move |world| world.sites[server].is_down = false);
}

fn kill(world: &mut World) {
    end(world, false);
}

fn vanish(world: &mut World) {
    end(world, true);
}

fn end(world: &mut World, with_machine: bool) {
    let place = world.some_place();
    if world.kill(place, with_machine) {
        world.later(while_it_lasts(), move |world| world.start(place));
    }
}

/// The process stands still; its clock does not.
fn stop(world: &mut World) {
    let place = world.some_place();
    let until = world.now + while_it_lasts();
    if let Some(process) = world.processes.iter_mut().find(|it| it.place == place) {
        process.stopped_until = until.max(process.stopped_until);
        let process = process.id;
        world.witness.tell(&Event::Stopped { process, until });
    }
}

/// Somebody else writes where locks are.
fn meddle(world: &mut World) {
    let (server, now) = (world.some_server(), world.now);
    let key = between(0..=world.plan.keys - 1);
    let name = name_of(key);
    let time = between(1..=1_000_u64).to_string();
    let site = &mut world.sites[server];
    match between(0..=8) {
        0 => site.meddle(&["DEL", &name], now),
        1 => site.meddle(&["SET", &name, "theirs", "PX", &time], now),
        2 => site.meddle(&["DEL", &name_beside(key, "fence")], now),
        5 => site.meddle(&["DEL", &name_beside(key, "last")], now),
        6 => {
            let name = name_beside(key, "last");
            site.meddle(&["SET", &name, "theirs"], now);
            let time = between(1..=500);
            world.later(time, move |world| {
                let now = world.now;
                world.sites[server].take_away(&name, now);
            });
        }
        which @ 3..=4 => {
            if which == 3 {
                site.meddle(&["SET", &name, "theirs, without an end"], now);
            } else {
                site.meddle(&["DEL", &name], now);
                site.meddle(&["ZADD", &name, "1", "theirs, without an end"], now);
            }
            let time = between(1..=500);
            world.later(time, move |world| {
                let now = world.now;
                world.sites[server].take_away(&name, now);
            });
        }
        _ => site.meddle(&["SET", &name, "theirs", "NX", "PX", &time], now),
    }
}

/// Not so far that keys stay for long.
fn set_back(world: &mut World) {
    let server = world.some_server();
    let millis = if one_in(2) {
        between(1..=5)
    } else {
        between(5..=500)
    };
    world.sites[server].set_back(millis);
}

/// What was one command takes two after that.
fn forget_scripts(world: &mut World) {
    let (server, now) = (world.some_server(), world.now);
    world.sites[server].meddle(&["SCRIPT", "FLUSH"], now);
}
