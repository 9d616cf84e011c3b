//! What the server forgets, and connections that it closes: nobody in line is lost, and the order is
//! kept where what holds it is.

mod common;

use std::time::Instant;

use common::{LIMIT, LONG, RESERVATION, Scene, ids};
use redis_locked_test_support::until;

#[tokio::test]
async fn who_hears_its_bell_again_keeps_its_place() {
    let scene = Scene::start().await;
    let held = scene.locker.lock("k").ttl(LONG).acquire().await;
    let held = held.expect("free");
    let line = scene.line(4).await;
    // Of the first, and of the one behind it.
    let cut = scene.bells().await[..2].to_vec();
    for bell in &cut {
        scene.cut(bell).await;
    }
    until(LIMIT, "they are heard on new connections", async || {
        let bells = scene.bells().await;
        bells.len() == 4 && cut.iter().all(|bell| !bells.contains(bell))
    })
    .await;
    held.release().await.expect("ours");
    scene.place.all_well(&line).await;
    assert_eq!(scene.place.served(), ids(&line));
}

#[tokio::test]
async fn who_hears_no_bell_at_its_turn_is_passed_over_and_served_later() {
    let scene = Scene::start().await;
    let held = scene.locker.lock("k").ttl(LONG).acquire().await;
    let held = held.expect("free");
    let line = scene.line(3).await;
    let released = Instant::now();
    for bell in scene.bells().await {
        scene.cut(&bell).await;
    }
    held.release().await.expect("ours");
    scene.place.all_well(&line).await;
    let took = released.elapsed();
    // They are told when their connections break; their next look would be due after 5 s.
    assert!(took < 2 * RESERVATION, "{took:?}");
    assert_eq!(scene.place.served().len(), 3);
}

#[tokio::test]
async fn scripts_that_the_server_has_forgotten_cost_nobody_its_turn() {
    let scene = Scene::start().await;
    let held = scene.locker.lock("k").ttl(LONG).acquire().await;
    let held = held.expect("free");
    let line = scene.line(4).await;
    scene.ask::<()>(&["SCRIPT", "FLUSH"]).await;
    held.release().await.expect("ours");
    scene.place.all_well(&line).await;
    assert_eq!(scene.place.served(), ids(&line));
}

#[tokio::test]
async fn with_all_keys_gone_everybody_is_served_in_whatever_order() {
    let scene = Scene::start().await;
    let held = scene.locker.lock("k").ttl(LONG).acquire().await;
    let held = held.expect("free");
    let line = scene.line(5).await;
    let flushed = Instant::now();
    scene.ask::<()>(&["FLUSHALL"]).await;
    scene.place.all_well(&line).await;
    let took = flushed.elapsed();
    assert!(took < 2 * RESERVATION, "{took:?}");
    let mut served = scene.place.served();
    served.sort_unstable();
    let mut all = ids(&line);
    all.sort_unstable();
    assert_eq!(served, all);
    drop(held);
}

impl Scene {
    /// The connections on which bells are heard, in the order of their opening.
    async fn bells(&self) -> Vec<String> {
        let clients: String = self.ask(&["CLIENT", "LIST"]).await;
        let field = |line: &str, name: &str| {
            let mut fields = line.split(' ');
            let field = fields.find_map(|field| field.strip_prefix(name).map(str::to_owned));
            field.expect("a field of each client")
        };
        let hears = |line: &&str| field(line, "sub=") == "1";
        let bells = clients.lines().filter(hears);
        bells.map(|line| field(line, "id=")).collect()
    }

    async fn cut(&self, bell: &str) {
        let closed: u64 = self.ask(&["CLIENT", "KILL", "ID", bell]).await;
        assert_eq!(closed, 1);
    }
}
