//! Syncing: v3 and simplified sliding sync, waiting and waking, typing, presence, receipts.

use std::time::Duration;

use homeserver::workers;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Server, User, answer, eventually};

const SLIDING: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

/// Two people in one room, and how far the second one has synced.
async fn pair(server: &Server) -> (User<'_>, User<'_>, String, String) {
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let room_id = ada.create_room(json!({ "preset": "private_chat", "invite": [bob.user_id] })).await;
    bob.post(&format!("/_matrix/client/v3/rooms/{room_id}/join"), json!({})).await.ok();
    let since = settled(&bob).await;
    (ada, bob, room_id, since)
}

async fn sync(user: &User<'_>, query: &str) -> Value {
    user.get(&format!("/_matrix/client/v3/sync?{query}")).await.ok()
}

/// The token after which nothing is new, presence included.
async fn settled(user: &User<'_>) -> String {
    let mut since = sync(user, "").await["next_batch"].as_str().unwrap().to_owned();
    loop {
        let answer = sync(user, &format!("since={since}")).await;
        since = answer["next_batch"].as_str().unwrap().to_owned();
        if answer.get("rooms").is_none() && answer.get("presence").is_none() && answer.get("device_lists").is_none() {
            return since;
        }
    }
}

/// Asks and waits, does `what` once the server waits as well, and answers what came.
async fn woken_by(server: &Server, user: &User<'_>, since: &str, what: impl Future<Output = ()>) -> Answer {
    let topic = server.app.read(|cx| Ok(journal::Topic(cx.name(&user.user_id)))).unwrap();
    let waiting = answer(user.request(Method::GET, &format!("/_matrix/client/v3/sync?since={since}&timeout=30000")));
    let act = async {
        eventually("the request waits", async || server.app.hub.is_waited_for(topic)).await;
        what.await;
    };
    tokio::join!(waiting, act).0
}

#[tokio::test]
async fn a_waiting_sync_is_woken_by_whatever_it_tells_of() {
    let server = Server::start().await;
    let (ada, bob, room_id, since) = pair(&server).await;
    let answer = woken_by(&server, &bob, &since, async { drop(ada.send(&room_id, "hello").await) }).await.ok();
    let room = &answer["rooms"]["join"][&room_id];
    assert_eq!(room["timeline"]["events"][0]["content"]["body"], json!("hello"));
    let event_id = room["timeline"]["events"][0]["event_id"].as_str().unwrap().to_owned();

    let since = settled(&bob).await;
    let typing = format!("/_matrix/client/v3/rooms/{room_id}/typing/{}", ada.user_id);
    let types = async { drop(ada.put(&typing, json!({ "typing": true, "timeout": 60_000 })).await.ok()) };
    let answer = woken_by(&server, &bob, &since, types).await.ok();
    let expected = json!([{ "type": "m.typing", "content": { "user_ids": [ada.user_id] } }]);
    assert_eq!(answer["rooms"]["join"][&room_id]["ephemeral"]["events"], expected);
    assert!(answer["rooms"]["join"][&room_id]["unread_notifications"]["notification_count"].is_u64());

    let since = settled(&bob).await;
    let receipt = format!("/_matrix/client/v3/rooms/{room_id}/receipt/m.read/{event_id}");
    let reads = async { drop(ada.post(&receipt, json!({})).await.ok()) };
    let answer = woken_by(&server, &bob, &since, reads).await.ok();
    let events = &answer["rooms"]["join"][&room_id]["ephemeral"]["events"];
    assert!(events[0]["content"][&event_id]["m.read"][&ada.user_id]["ts"].is_u64(), "{events}");

    let since = settled(&bob).await;
    let status = format!("/_matrix/client/v3/presence/{}/status", ada.user_id);
    let comes = async { drop(ada.put(&status, json!({ "presence": "online", "status_msg": "here" })).await.ok()) };
    let answer = woken_by(&server, &bob, &since, comes).await.ok();
    let presence = &answer["presence"]["events"][0];
    assert_eq!((&presence["sender"], &presence["content"]["status_msg"]), (&json!(ada.user_id), &json!("here")));
    assert_eq!(bob.get(&status).await.ok()["presence"], json!("online"));
    bob.put(&status, json!({ "presence": "offline" })).await.is_error(403, "M_FORBIDDEN");

    let since = settled(&bob).await;
    let message = json!({ "messages": { (bob.user_id.as_str()): { (bob.device_id.as_str()): { "a": 1 } } } });
    let sends = async { drop(ada.put("/_matrix/client/v3/sendToDevice/m.test/1", message).await.ok()) };
    let answer = woken_by(&server, &bob, &since, sends).await.ok();
    assert_eq!(answer["to_device"]["events"][0]["content"], json!({ "a": 1 }));
    let again = sync(&bob, &format!("since={since}")).await;
    assert_eq!(again["to_device"]["events"][0]["content"], json!({ "a": 1 }), "until it is acknowledged");
    let next = again["next_batch"].as_str().unwrap();
    assert_eq!(sync(&bob, &format!("since={next}")).await.get("to_device"), None);
    assert_eq!(sync(&bob, &format!("since={since}")).await.get("to_device"), None, "acknowledged is deleted");
}

/// D7: counts fall by themselves, and those who wait are told.
#[tokio::test]
async fn what_expires_unread_wakes_a_waiting_sync() {
    let server = Server::start().await;
    let (ada, bob, room_id, _) = pair(&server).await;
    ada.send(&room_id, "hello").await;
    server.clock.advance(Duration::from_millis(server.app.server.retention_ms).checked_sub(Duration::from_mins(2)).unwrap());
    let since = settled(&bob).await;
    let ask = json!({ "lists": { "all": { "ranges": [[0, 9]], "timeline_limit": 1, "required_state": [] } } });
    let sliding = bob.post(SLIDING, ask.clone()).await.ok();
    assert_eq!(sliding["rooms"][&room_id]["notification_count"], json!(2), "the invitation and the message");
    let expires = async {
        server.clock.advance(Duration::from_mins(2));
        workers::counts::tell_due(&server.app, &mut workers::counts::Progress::default()).await.expect("told");
    };
    let answer = woken_by(&server, &bob, &since, expires).await.ok();
    let room = &answer["rooms"]["join"][&room_id];
    assert_eq!(room["unread_notifications"], json!({ "highlight_count": 0, "notification_count": 0 }));
    assert!(room["timeline"]["events"].as_array().is_none_or(Vec::is_empty), "{answer}");
    let pos = sliding["pos"].as_str().unwrap();
    let sliding = bob.post(&format!("{SLIDING}?pos={pos}&timeout=30000"), ask).await.ok();
    assert_eq!(sliding["rooms"][&room_id]["notification_count"], json!(0), "{sliding}");
}

#[tokio::test]
async fn a_logout_ends_a_waiting_sync() {
    let server = Server::start().await;
    let (_, bob, _, since) = pair(&server).await;
    let logs_out = async { drop(bob.post("/_matrix/client/v3/logout", json!({})).await.ok()) };
    let answer = woken_by(&server, &bob, &since, logs_out).await;
    answer.is_error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(answer.body["soft_logout"], json!(false));
}

#[tokio::test]
async fn the_end_of_the_server_ends_a_waiting_sync() {
    let server = Server::start().await;
    let (_, bob, _, since) = pair(&server).await;
    let answer = woken_by(&server, &bob, &since, async { server.app.hub.end() }).await.ok();
    assert_eq!(answer.get("rooms"), None);
}

#[tokio::test]
async fn what_is_not_a_token_or_a_filter_is_refused() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    for query in ["since=nonsense", "filter=none", "filter=%7Bbroken", "timeout=soon"] {
        ada.get(&format!("/_matrix/client/v3/sync?{query}")).await.is_error(400, "M_INVALID_PARAM");
    }
    answer(server.request(Method::GET, "/_matrix/client/v3/sync")).await.is_error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn sliding_sync_shows_a_list_and_what_is_new_in_it() {
    let server = Server::start().await;
    let (ada, bob, room_id, _) = pair(&server).await;
    ada.send(&room_id, "one").await;
    let ask = json!({
        "lists": { "all": { "ranges": [[0, 9]], "timeline_limit": 1, "required_state": [["m.room.member", "$LAZY"]] } },
        "extensions": { "e2ee": { "enabled": true }, "to_device": { "enabled": true } },
    });
    let first = bob.post(SLIDING, ask.clone()).await.ok();
    assert_eq!(first["lists"]["all"]["count"], json!(1));
    assert_eq!(first["rooms"][&room_id]["timeline"][0]["content"]["body"], json!("one"));
    let pos = first["pos"].as_str().unwrap().to_owned();
    ada.send(&room_id, "two").await;
    let path = format!("{SLIDING}?pos={pos}&timeout=30000");
    let second = bob.post(&path, ask.clone()).await.ok();
    assert_eq!(second["rooms"][&room_id]["timeline"][0]["content"]["body"], json!("two"));
    let repeated = bob.post(&path, ask.clone()).await.ok();
    let event_ids = |answer: &Value| answer["rooms"][&room_id]["timeline"][0]["event_id"].clone();
    assert_eq!(event_ids(&repeated), event_ids(&second), "an answer that was lost is given again");
    bob.post(&format!("{SLIDING}?pos=7"), ask.clone()).await.is_error(400, "M_UNKNOWN_POS");
    let (user_id, device_id, token) = (bob.user_id, bob.device_id, bob.token);
    let server = server.stop().await.start().await;
    let bob = User { server: &server, user_id, device_id, token };
    bob.post(&path, ask).await.is_error(400, "M_UNKNOWN_POS");
}
