//! After a session: its participants never read again, so the host isn't let write to them, and knows at once.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::platform::{NO_PRESENCE, Platform};
use crate::support::{Server, User, eventually};

const ENDED: &str = "This session has ended: they can't read it any more.";

/// What `/sync` says of the session of a room.
fn session(sync: &Value, room: &str) -> Option<Value> {
    let events = sync["rooms"]["join"][room]["account_data"]["events"].as_array()?;
    events.iter().find(|event| event["type"] == "org.vestibule.session").map(|event| event["content"].clone())
}

/// A request that waits until there is news.
async fn next_sync(user: &User<'_>, since: &Value) -> Value {
    let since = since.as_str().expect("a token");
    user.get(&format!("/_matrix/client/v3/sync?since={since}&timeout=60000&filter={NO_PRESENCE}")).await.ok()
}

#[tokio::test]
async fn when_the_visit_has_ended_the_host_is_told_at_once_and_only_reads() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    let visit = platform.session("s", "ada", &["pat", "paul"]).await.ok();
    let (pat_id, paul_id) = (&visit["invitees"][0]["user_id"], &visit["invitees"][1]["user_id"]);
    let (host, pat) = (platform.page(&ada["user_id"]).await, platform.page(pat_id).await);
    let room = pat.create_room(json!({ "invite": [ada["user_id"]], "preset": "trusted_private_chat" })).await;
    host.post(&format!("/_matrix/client/v3/join/{room}"), json!({})).await.ok();
    let said = host.send(&room, "before").await;
    let first = host.get("/_matrix/client/v3/sync").await.ok();
    assert_eq!(session(&first, &room), None, "{first}");

    let stopwatch = homeserver::clock::Clock::system().stopwatch();
    let (told, _) = tokio::join!(next_sync(&host, &first["next_batch"]), async {
        let user_id: ruma::OwnedUserId = host.user_id.parse().expect("an id");
        let topic = server.app.read(|cx| Ok(journal::Topic(cx.user(&user_id)))).expect("reads");
        eventually("the page waits", async || server.app.hub.is_waited_for(topic)).await;
        platform.call(Method::POST, "/sessions/s/end", Value::Null).await.ok()
    });
    assert!(stopwatch.elapsed() < Duration::from_secs(30), "woken, not timed out");
    assert_eq!(session(&told, &room), Some(json!({ "ended": true })), "{told}");

    let at = |call: &str| format!("/_matrix/client/v3/rooms/{room}/{call}");
    let message = json!({ "msgtype": "m.text", "body": "late" });
    let typing = at(&format!("typing/{}", host.user_id));
    for refused in [
        host.put(&at("send/m.room.message/late"), message).await,
        host.put(&at("state/m.room.topic"), json!({ "topic": "late" })).await,
        host.put(&typing, json!({ "typing": true, "timeout": 5_000 })).await,
        host.post("/_matrix/client/v3/createRoom", json!({ "invite": [pat_id] })).await,
        host.post("/_matrix/client/v3/createRoom", json!({ "invite": [paul_id] })).await,
    ] {
        refused.is_error(403, "M_FORBIDDEN");
        assert_eq!(refused.body["error"], ENDED);
    }
    let read = host.get(&at("messages?dir=b")).await.ok();
    assert!(read["chunk"].to_string().contains("before"), "it stays to be read: {read}");
    let data = format!("/_matrix/client/v3/user/{}/rooms/{room}/account_data/org.vestibule.session", host.user_id);
    assert_eq!(host.get(&data).await.ok(), json!({ "ended": true }));
    host.put(&data, json!({ "ended": false })).await.is_error(405, "M_BAD_JSON");
    let again = host.get("/_matrix/client/v3/sync").await.ok();
    assert_eq!(session(&again, &room), Some(json!({ "ended": true })), "another client finds it: {again}");
    host.put(&at(&format!("redact/{said}/r")), json!({})).await.ok();
    host.post(&at("leave"), json!({})).await.ok();
}

#[tokio::test]
async fn whom_the_platform_asks_back_can_be_written_to_again() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    let visit = platform.session("s", "ada", &["pat"]).await.ok();
    let (host, pat) = (platform.page(&ada["user_id"]).await, &visit["invitees"][0]["user_id"]);
    let room = host.create_room(json!({ "invite": [pat] })).await;
    let mut since = host.get("/_matrix/client/v3/sync").await.ok()["next_batch"].clone();
    for (invitees, ended) in [(Vec::new(), true), (vec!["pat"], false)] {
        platform.session("s", "ada", &invitees).await.ok();
        let told = next_sync(&host, &since).await;
        assert_eq!(session(&told, &room), Some(json!({ "ended": ended })), "{told}");
        since = told["next_batch"].clone();
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{ended}");
        let sent = host.put(&path, json!({ "msgtype": "m.text", "body": "x" })).await;
        assert_eq!(sent.status, if ended { 403 } else { 200 }, "{}", sent.body);
    }
    // The moment is enough: nothing has to be done to the session first.
    server.clock.advance(Duration::from_hours(1));
    let host = platform.page(&ada["user_id"]).await;
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/late");
    let late = host.put(&path, json!({ "msgtype": "m.text", "body": "x" })).await;
    late.is_error(403, "M_FORBIDDEN");
    assert_eq!(late.body["error"], ENDED);
}
