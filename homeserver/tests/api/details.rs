//! What the specification says in half a sentence, and clients notice.

use serde_json::{Value, json};

use crate::support::{Server, User};

fn at(room_id: &str, path: &str) -> String {
    format!("/_matrix/client/v3/rooms/{room_id}/{path}")
}

async fn join(user: &User<'_>, room_id: &str) {
    user.post(&at(room_id, "join"), json!({})).await.ok();
}

async fn invite(user: &User<'_>, room_id: &str, invitee: &User<'_>) {
    user.post(&at(room_id, "invite"), json!({ "user_id": invitee.user_id })).await.ok();
}

async fn send(user: &User<'_>, room_id: &str, txn_id: &str, content: Value) -> Value {
    user.put(&at(room_id, &format!("send/m.room.message/{txn_id}")), content).await.ok()["event_id"].clone()
}

#[tokio::test]
async fn words_that_are_none_of_those_there_are_get_told_so() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    for body in [json!({ "preset": "cosy" }), json!({ "visibility": "secret" })] {
        ada.post("/_matrix/client/v3/createRoom", body).await.is_error(400, "M_INVALID_PARAM");
    }
    ada.get("/_matrix/client/v3/sync?set_presence=dancing").await.is_error(400, "M_INVALID_PARAM");
    let sliding = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?set_presence=dancing";
    ada.post(sliding, json!({})).await.is_error(400, "M_INVALID_PARAM");
    ada.post("/_matrix/client/v4/sync", json!({ "set_presence": "dancing" })).await.is_error(400, "M_INVALID_PARAM");
    ada.post("/_matrix/client/v3/register?kind=ghost", json!({})).await.is_error(400, "M_INVALID_PARAM");
    let filters = format!("/_matrix/client/v3/user/{}/filter", ada.user_id);
    ada.post(&filters, json!({ "event_format": "verse" })).await.is_error(400, "M_BAD_JSON");
    let picture = ada.upload("a.png", "image/png", vec![1, 2, 3]).await.ok()["content_uri"].clone();
    let picture = picture.as_str().and_then(|uri| uri.strip_prefix("mxc://")).expect("an address").to_owned();
    let thumbnail = format!("/_matrix/client/v1/media/thumbnail/{picture}?width=32&height=32&method=stretch");
    ada.get(&thumbnail).await.is_error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_message_to_a_device_is_an_object() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    for content in [json!("text"), json!([1]), json!(null)] {
        let messages = json!({ "messages": { &ada.user_id: { "*": content } } });
        ada.put("/_matrix/client/v3/sendToDevice/m.dummy/1", messages).await.is_error(400, "M_BAD_JSON");
    }
    let messages = json!({ "messages": { &ada.user_id: { "*": {} } } });
    ada.put("/_matrix/client/v3/sendToDevice/m.dummy/1", messages).await.ok();
    let synced = ada.get("/_matrix/client/v3/sync").await.ok();
    assert_eq!(synced["to_device"]["events"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn messages_to_a_device_are_given_again_until_its_token_shows_them() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let send = async |txn_id: u32| {
        let messages = json!({ "messages": { &ada.user_id: { "*": { "count": txn_id } } } });
        ada.put(&format!("/_matrix/client/v3/sendToDevice/m.dummy/{txn_id}"), messages).await.ok();
    };
    let sync = async |since: Option<&Value>| {
        let since = since.map_or_else(String::new, |since| format!("?since={}", since.as_str().expect("a token")));
        let synced = ada.get(&format!("/_matrix/client/v3/sync{since}")).await.ok();
        let events = synced["to_device"]["events"].as_array().cloned().unwrap_or_default();
        (synced["next_batch"].clone(), events.iter().map(|event| event["content"]["count"].clone()).collect::<Vec<_>>())
    };
    let (mut since, _) = sync(None).await;
    for round in 1..=5 {
        send(round).await;
        let (_, got) = sync(Some(&since)).await;
        assert_eq!(got, [json!(round)]);
        let (next, again) = sync(Some(&since)).await;
        assert_eq!(again, [json!(round)], "the token has not shown it");
        since = next;
    }
    assert!(sync(Some(&since)).await.1.is_empty());
    send(6).await;
    let (_, got) = sync(Some(&since)).await;
    assert_eq!(got, [json!(6)], "what comes after all was known to be gone");
}

#[tokio::test]
async fn a_taken_alias_is_a_conflict_and_a_bad_one_is_refused() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let room_id = ada.create_room(json!({})).await;
    let alias = |name: &str| format!("/_matrix/client/v3/directory/room/%23{name}%3Alocalhost");
    ada.put(&alias("tea"), json!({ "room_id": room_id })).await.ok();
    ada.put(&alias("tea"), json!({ "room_id": room_id })).await.is_error(409, "M_UNKNOWN");
    ada.post("/_matrix/client/v3/createRoom", json!({ "room_alias_name": "tea" })).await.is_error(400, "M_ROOM_IN_USE");
    for name in ["five%20o%27clock", &"t".repeat(250)] {
        ada.put(&alias(name), json!({ "room_id": room_id })).await.is_error(400, "M_INVALID_PARAM");
    }
}

#[tokio::test]
async fn threads_do_not_begin_in_threads() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let room_id = ada.create_room(json!({})).await;
    let related = |event_id: &Value| json!({ "msgtype": "m.text", "body": "x", "m.relates_to": { "rel_type": "m.thread", "event_id": event_id } });
    let root = send(&ada, &room_id, "1", json!({ "msgtype": "m.text", "body": "tea?" })).await;
    let answer = send(&ada, &room_id, "2", related(&root)).await;
    send(&ada, &room_id, "3", related(&root)).await;
    ada.put(&at(&room_id, "send/m.room.message/4"), related(&answer)).await.is_error(400, "M_UNKNOWN");
}

#[tokio::test]
async fn who_is_invited_again_keeps_what_they_have_seen_and_sees_no_more() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let room_id = ada.create_room(json!({})).await;
    invite(&ada, &room_id, &bob).await;
    bob.get(&at(&room_id, "messages?dir=b")).await.is_error(403, "M_FORBIDDEN");
    join(&bob, &room_id).await;
    let seen = ada.send(&room_id, "with Bob").await;
    bob.post(&at(&room_id, "leave"), json!({})).await.ok();
    let unseen = ada.send(&room_id, "without Bob").await;
    invite(&ada, &room_id, &bob).await;
    ada.put(&at(&room_id, "state/m.room.topic"), json!({ "topic": "Bob" })).await.ok();
    let page = bob.get(&at(&room_id, "messages?dir=b&limit=50")).await.ok();
    let ids: Vec<&str> =
        page["chunk"].as_array().expect("a page").iter().filter_map(|event| event["event_id"].as_str()).collect();
    assert!(ids.contains(&seen.as_str()) && !ids.contains(&unseen.as_str()));
    bob.get(&at(&room_id, &format!("event/{unseen}"))).await.is_error(404, "M_NOT_FOUND");
    bob.get(&at(&room_id, "state/m.room.topic")).await.is_error(404, "M_NOT_FOUND");
    join(&bob, &room_id).await;
    let page = bob.get(&at(&room_id, "messages?dir=b&limit=50")).await.ok();
    let events = page["chunk"].as_array().expect("a page");
    assert!(events.iter().any(|event| event["event_id"] == unseen.as_str()), "shared history is for those who join");
}

#[tokio::test]
async fn a_redaction_says_what_it_redacts_in_its_content_in_every_room_version() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    for version in ["10", "11"] {
        let room_id = ada.create_room(json!({ "room_version": version })).await;
        let event_id = ada.send(&room_id, "never mind").await;
        let redacted =
            ada.put(&at(&room_id, &format!("redact/{event_id}/r{version}")), json!({ "reason": "late" })).await.ok();
        let redaction = redacted["event_id"].as_str().expect("an id").to_owned();
        let told = ada.get(&at(&room_id, &format!("event/{redaction}"))).await.ok();
        assert_eq!(told["content"], json!({ "redacts": event_id, "reason": "late" }), "version {version}");
        let because =
            ada.get(&at(&room_id, &format!("event/{event_id}"))).await.ok()["unsigned"]["redacted_because"].clone();
        assert_eq!(because["content"]["redacts"], event_id.as_str(), "version {version}");
    }
}

#[tokio::test]
async fn who_knocks_is_told_of_their_knock_once() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let rules = json!([{ "type": "m.room.join_rules", "state_key": "", "content": { "join_rule": "knock" } }]);
    let room_id = ada.create_room(json!({ "initial_state": rules })).await;
    bob.post(&format!("/_matrix/client/v3/knock/{room_id}"), json!({})).await.ok();
    let synced = bob.get("/_matrix/client/v3/sync").await.ok();
    let events = synced["rooms"]["knock"][&room_id]["knock_state"]["events"].as_array().expect("the knock").clone();
    let members: Vec<_> = events.iter().filter(|event| event["type"] == "m.room.member").collect();
    assert_eq!(members.len(), 1);
    assert_eq!(members.first().expect("a member")["state_key"], bob.user_id.as_str());
}

#[tokio::test]
async fn a_push_rule_may_leave_its_conditions_out_and_its_tweaks_are_told() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let rule = "/_matrix/client/v3/pushrules/global/override/always";
    let tweak = json!({ "set_tweak": "sound", "value": "gong" });
    bob.put(rule, json!({ "actions": ["notify", tweak] })).await.ok();
    let kept = bob.get(rule).await.ok();
    assert_eq!((&kept["conditions"], &kept["actions"]), (&json!([]), &json!(["notify", tweak])));
    let room_id = ada.create_room(json!({})).await;
    invite(&ada, &room_id, &bob).await;
    join(&bob, &room_id).await;
    let event_id = ada.send(&room_id, "tea").await;
    let told = bob.get("/_matrix/client/v3/notifications?limit=1").await.ok();
    let first = &told["notifications"][0];
    assert_eq!((&first["event"]["event_id"], &first["actions"]), (&json!(event_id), &json!(["notify", tweak])));
}

#[tokio::test]
async fn every_creator_of_a_room_may_notify_all_of_it() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let room_id =
        ada.create_room(json!({ "room_version": "12", "creation_content": { "additional_creators": [bob.user_id] } })).await;
    invite(&ada, &room_id, &bob).await;
    join(&bob, &room_id).await;
    let since = ada.get("/_matrix/client/v3/sync").await.ok()["next_batch"].as_str().expect("a token").to_owned();
    let content = json!({ "msgtype": "m.text", "body": "@room tea", "m.mentions": { "room": true } });
    send(&bob, &room_id, "1", content).await;
    let synced = ada.get(&format!("/_matrix/client/v3/sync?since={since}")).await.ok();
    assert_eq!(synced["rooms"]["join"][&room_id]["unread_notifications"]["highlight_count"], 1);
}
