//! Ways into a room over HTTP: restricted rooms, knocking, and what a body adds to a member event.

use serde_json::{Value, json};

use crate::support::{Server, User, answer};

pub(crate) fn room(room_id: &str, rest: &str) -> String {
    format!("/_matrix/client/v3/rooms/{room_id}/{rest}")
}

pub(crate) async fn state(user: &User<'_>, room_id: &str, event_type: &str, state_key: &str) -> Value {
    user.get(&room(room_id, &format!("state/{event_type}/{state_key}"))).await.ok()
}

pub(crate) async fn set(user: &User<'_>, room_id: &str, event_type: &str, content: Value) {
    user.put(&room(room_id, &format!("state/{event_type}/")), content).await.ok();
}

#[tokio::test]
async fn further_fields_of_a_body_are_in_the_member_event() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let room_id = ada.create_room(json!({ "preset": "public_chat", "room_alias_name": "tea" })).await;
    let other = || json!({ "user_id": bob.user_id, "reason": "so", "foo": { "bar": [1] }, "displayname": "Mallory" });
    let own = || json!({ "reason": "so", "foo": { "bar": [1] }, "membership": "ban" });
    let alias = format!("/_matrix/client/v3/join/%23tea:{}", server.app.server.name);
    let steps = [
        (&bob, alias, own(), "join"),
        (&bob, room(&room_id, "leave"), own(), "leave"),
        (&bob, format!("/_matrix/client/v3/join/{room_id}"), own(), "join"),
        (&ada, room(&room_id, "kick"), other(), "leave"),
        (&bob, room(&room_id, "join"), own(), "join"),
        (&ada, room(&room_id, "ban"), other(), "ban"),
        (&ada, room(&room_id, "unban"), other(), "leave"),
        (&ada, room(&room_id, "invite"), other(), "invite"),
    ];
    for (who, path, body, membership) in steps {
        who.post(&path, body).await.ok();
        let content = state(&ada, &room_id, "m.room.member", &bob.user_id).await;
        let told = (&content["membership"], &content["reason"], &content["foo"]);
        assert_eq!(told, (&json!(membership), &json!("so"), &json!({ "bar": [1] })), "{path}");
        assert_ne!(content["displayname"], "Mallory");
        assert_eq!(content.get("user_id"), None);
    }
    set(&ada, &room_id, "m.room.join_rules", json!({ "join_rule": "knock" })).await;
    let eve = server.register("eve").await;
    eve.post(&format!("/_matrix/client/v3/knock/{room_id}"), own()).await.ok();
    assert_eq!(state(&ada, &room_id, "m.room.member", &eve.user_id).await["foo"], json!({ "bar": [1] }));
    eve.post(&room(&room_id, "leave"), json!({ "foo": 1.5 })).await.is_error(400, "M_BAD_JSON");
    let empty = eve.request(reqwest::Method::POST, &room(&room_id, "leave"));
    assert_eq!(answer(empty).await.ok(), json!({}), "a body may be left out");
}

#[tokio::test]
async fn a_restricted_room_lets_in_who_is_in_the_other_one() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let hall = ada.create_room(json!({ "preset": "public_chat" })).await;
    let rule = json!({ "join_rule": "restricted", "allow": [{ "type": "m.room_membership", "room_id": hall }] });
    let initial = json!([{ "type": "m.room.join_rules", "state_key": "", "content": rule }]);
    let room_id = ada.create_room(json!({ "room_version": "8", "initial_state": initial })).await;
    let join = async || bob.post(&format!("/_matrix/client/v3/join/{room_id}"), json!({})).await;
    join().await.is_error(403, "M_FORBIDDEN");
    bob.post(&room(&hall, "join"), json!({})).await.ok();
    assert_eq!(join().await.ok(), json!({ "room_id": room_id }));
    let content = state(&ada, &room_id, "m.room.member", &bob.user_id).await;
    assert_eq!(content["join_authorised_via_users_server"], json!(ada.user_id));
}

#[tokio::test]
async fn a_knock_is_heard_taken_back_refused_and_answered() {
    for (version, join_rule) in [("7", "knock"), ("10", "knock_restricted"), ("12", "knock")] {
        let server = Server::start().await;
        let (ada, bob) = (server.register("ada").await, server.register("bob").await);
        let room_id = ada.create_room(json!({ "room_version": version, "name": "Tea" })).await;
        let knock =
            async |reason: &str| bob.post(&format!("/_matrix/client/v3/knock/{room_id}"), json!({ "reason": reason })).await;
        knock("now?").await.is_error(403, "M_FORBIDDEN");
        set(&ada, &room_id, "m.room.join_rules", json!({ "join_rule": join_rule })).await;
        bob.post(&room(&room_id, "join"), json!({})).await.is_error(403, "M_FORBIDDEN");
        assert_eq!(knock("now?").await.ok(), json!({ "room_id": room_id }));
        knock("please").await.ok();
        assert_eq!(state(&ada, &room_id, "m.room.member", &bob.user_id).await["reason"], "please");
        let told = bob.get("/_matrix/client/v3/sync").await.ok();
        let stripped = told["rooms"]["knock"][&room_id]["knock_state"]["events"].as_array().expect("state").clone();
        assert!(stripped.iter().any(|event| event["type"] == "m.room.name"), "{version}: {stripped:?}");

        let since = told["next_batch"].as_str().expect("a token").to_owned();
        bob.post(&room(&room_id, "leave"), json!({})).await.ok();
        let told = bob.get(&format!("/_matrix/client/v3/sync?since={since}")).await.ok();
        let left = &told["rooms"]["leave"][&room_id]["timeline"]["events"];
        assert_eq!(left[0]["content"]["membership"], "leave", "{version}: {left}");
        knock("again").await.ok();
        ada.post(&room(&room_id, "kick"), json!({ "user_id": bob.user_id })).await.ok();
        knock("and again").await.ok();
        ada.post(&room(&room_id, "invite"), json!({ "user_id": bob.user_id })).await.ok();
        knock("invited").await.is_error(403, "M_FORBIDDEN");
        bob.post(&room(&room_id, "join"), json!({})).await.ok();
        knock("inside").await.is_error(403, "M_FORBIDDEN");
        ada.post(&room(&room_id, "ban"), json!({ "user_id": bob.user_id })).await.ok();
        knock("banned").await.is_error(403, "M_FORBIDDEN");
    }
}
