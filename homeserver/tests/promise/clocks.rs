//! Clocks that are wrong, servers that were off, and kills while things expire.

use std::time::Duration;

use homeserver::prove::What;
use serde_json::Value;

use crate::support::{Server, User};
use crate::{L, SLOT, look, short_lived, sweep};

const DAY: Duration = Duration::from_hours(24);

/// What a user reads of a room, newest first.
async fn texts(user: &User<'_>, room: &str) -> Vec<String> {
    let page = user.get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=1000")).await.ok();
    let bodies = page["chunk"].as_array().expect("a list").iter().filter_map(|event| event["content"]["body"].as_str());
    bodies.map(ToOwned::to_owned).collect()
}

async fn in_a_room(server: &Server) -> (User<'_>, String) {
    let ada = server.register("ada").await;
    let room = ada.create_room(serde_json::json!({})).await;
    (ada, room)
}

/// The same user after a restart.
fn again<'a>(server: &'a Server, user: &(String, String, String)) -> User<'a> {
    User { server, user_id: user.0.clone(), device_id: user.1.clone(), token: user.2.clone() }
}

fn kept(user: &User<'_>) -> (String, String, String) {
    (user.user_id.clone(), user.device_id.clone(), user.token.clone())
}

#[tokio::test]
async fn a_clock_set_back_brings_nothing_back() {
    let server = Server::start_with(short_lived).await;
    let (ada, room) = in_a_room(&server).await;
    ada.send(&room, "before").await;
    server.clock.advance(L);
    assert_eq!(texts(&ada, &room).await, Vec::<String>::new());
    // Not swept yet: the key is still there.
    server.clock.set_back(DAY);
    assert_eq!(texts(&ada, &room).await, Vec::<String>::new(), "it expired, and stays so");
    ada.send(&room, "after").await;
    let user = kept(&ada);
    let stopped = server.stop().await;
    let server = stopped.start().await;
    let ada = again(&server, &user);
    assert_eq!(texts(&ada, &room).await, ["after"], "over a restart too");
    // What came after the clock was set back lives L as ever, though the system's clock says yesterday.
    server.clock.advance(L.checked_sub(Duration::from_mins(1)).unwrap());
    assert_eq!(texts(&ada, &room).await, ["after"]);
    server.clock.advance(Duration::from_mins(1));
    assert_eq!(texts(&ada, &room).await, Vec::<String>::new());
    server.clock.advance(SLOT);
    sweep(&server).await;
    for word in ["before", "after"] {
        let report = look(&server, What::Text(format!("\"{word}\"")), &[]);
        assert!(report.gone, "{report:?}");
    }
}

#[tokio::test]
async fn a_clock_set_back_while_the_server_was_off_brings_nothing_back() {
    let server = Server::start_with(short_lived).await;
    let (ada, room) = in_a_room(&server).await;
    ada.send(&room, "before").await;
    server.clock.advance(L);
    ada.create_room(serde_json::json!({})).await;
    assert_eq!(texts(&ada, &room).await, Vec::<String>::new());
    let user = kept(&ada);
    let server = server.stop().await.with_system_clock().start().await;
    let ada = again(&server, &user);
    assert_eq!(texts(&ada, &room).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_clock_set_forward_expires_and_what_comes_then_lives_l() {
    let server = Server::start_with(short_lived).await;
    let (ada, room) = in_a_room(&server).await;
    ada.send(&room, "before").await;
    server.clock.advance(DAY);
    assert_eq!(texts(&ada, &room).await, Vec::<String>::new());
    sweep(&server).await;
    ada.send(&room, "in the future").await;
    // Set right again.
    server.clock.set_back(DAY);
    assert_eq!(texts(&ada, &room).await, ["in the future"]);
    sweep(&server).await;
    assert_eq!(texts(&ada, &room).await, ["in the future"], "and nothing is gone that should be there");
    server.clock.advance(L);
    assert_eq!(texts(&ada, &room).await, Vec::<String>::new());
}

#[tokio::test]
async fn after_three_days_off_nothing_is_there_and_nothing_is_left() {
    let server = Server::start_with(short_lived).await;
    let (ada, room) = in_a_room(&server).await;
    ada.send(&room, "before the weekend").await;
    let uploaded = ada.upload("a", "text/plain", b"a file before the weekend".to_vec()).await.ok();
    let mxc = uploaded["content_uri"].as_str().expect("a URI").to_owned();
    let user = kept(&ada);
    let stopped = server.stop().await;
    stopped.clock().advance(DAY * 3);
    let server = stopped.start().await;
    let ada = again(&server, &user);
    assert_eq!(texts(&ada, &room).await, Vec::<String>::new());
    assert_eq!(ada.download(&mxc).await.status(), 404);
    sweep(&server).await;
    let report = look(&server, What::Text("before the weekend".to_owned()), &[]);
    assert!(report.gone && report.media_noise == 0, "{report:?}");
    ada.send(&room, "after the weekend").await;
    assert_eq!(texts(&ada, &room).await, ["after the weekend"]);
}

#[tokio::test]
async fn a_kill_between_the_steps_of_an_expiry_loses_nothing_and_keeps_nothing() {
    let server = Server::start_with(short_lived).await;
    let (ada, room) = in_a_room(&server).await;
    ada.send(&room, "the old one").await;
    server.clock.advance(SLOT * 3);
    ada.send(&room, "the young one").await;
    server.clock.advance(L.checked_sub(SLOT * 2).unwrap());
    let user = kept(&ada);
    let sealer = server.app.journal.sealer().clone();
    let now = server.clock.now();
    let ended = sealer.keyring().expired(now, sealer.classes());
    assert!(!ended.is_empty());
    // The folder as it is at each step is what a kill there leaves.
    let mut images = vec![("before", server.image())];
    sealer.keyring().destroy(ended[0]).expect("destroys");
    images.push(("after the first key", server.image()));
    sealer.keyring().destroy_all(&ended).expect("destroys");
    images.push(("after the keys", server.image()));
    let journal = server.app.journal.clone();
    tokio::task::spawn_blocking(move || journal.expire(now)).await.expect("runs").expect("expires");
    images.push(("after the files", server.image()));
    for (step, image) in images {
        let server = image.start().await;
        let ada = again(&server, &user);
        assert_eq!(texts(&ada, &room).await, ["the young one"], "{step}");
        sweep(&server).await;
        let report = look(&server, What::Text("the old one".to_owned()), &[]);
        assert!(report.gone, "{step}: {report:?}");
        assert_eq!(texts(&ada, &room).await, ["the young one"], "{step}, swept");
        ada.send(&room, "life goes on").await;
    }
}

#[tokio::test]
async fn another_lifetime_counts_from_the_restart() {
    let server = Server::start_with(short_lived).await;
    let (ada, room) = in_a_room(&server).await;
    ada.send(&room, "said under one hour").await;
    let user = kept(&ada);
    let longer = server.stop().await.with(|config| config.retention.lifetime = config::Span::from_secs(4 * 3_600));
    let server = longer.start().await;
    server.clock.advance(SLOT * 2);
    let ada = again(&server, &user);
    // The room says what L was when it was made, until somebody changes that.
    let retention = format!("/_matrix/client/v3/rooms/{room}/state/m.room.retention/");
    ada.put(&retention, serde_json::json!({ "max_lifetime": 4 * 3_600_000 })).await.ok();
    ada.send(&room, "said under four").await;
    server.clock.advance(L);
    assert_eq!(texts(&ada, &room).await, ["said under four"], "longer lengthens nothing that was said");
    sweep(&server).await;
    let report = look(&server, What::Text("said under one hour".to_owned()), &[]);
    assert!(report.gone, "{report:?}");
    let announced: Value =
        ada.get("/_matrix/client/unstable/org.matrix.msc1763/retention/configuration").await.ok()["policies"]["*"].clone();
    assert_eq!(announced["max_lifetime"], 4 * 3_600_000);
    let shorter = server.stop().await.with(|config| config.retention.lifetime = config::Span::from_secs(600));
    let server = shorter.start().await;
    let ada = again(&server, &user);
    assert_eq!(texts(&ada, &room).await, Vec::<String>::new(), "shorter holds for what is there");
}

#[tokio::test]
async fn a_room_may_keep_things_for_less_and_never_for_longer() {
    let server = Server::start_with(short_lived).await;
    server.clock.stop();
    let ada = server.register("ada").await;
    let room = ada.create_room(serde_json::json!({})).await;
    let retention = format!("/_matrix/client/v3/rooms/{room}/state/m.room.retention/");
    assert_eq!(ada.get(&retention).await.ok()["max_lifetime"], 3_600_000, "in every new room's state");
    ada.send(&room, "for an hour").await;
    ada.put(&retention, serde_json::json!({ "max_lifetime": 600_000 })).await.ok();
    ada.send(&room, "for ten minutes").await;
    server.clock.advance(Duration::from_millis(599_999));
    assert_eq!(texts(&ada, &room).await, ["for ten minutes", "for an hour"]);
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(texts(&ada, &room).await, ["for an hour"], "what was said before keeps its time");
    // Its key lives a quarter of L: fifteen minutes.
    server.clock.advance(Duration::from_mins(5) + SLOT);
    sweep(&server).await;
    let report = look(&server, What::Text("for ten minutes".to_owned()), &[]);
    assert!(report.gone, "{report:?}");
    ada.put(&retention, serde_json::json!({ "max_lifetime": 360_000_000 })).await.ok();
    ada.send(&room, "for as long as it may be").await;
    server.clock.advance(L);
    assert_eq!(texts(&ada, &room).await, Vec::<String>::new());
}
