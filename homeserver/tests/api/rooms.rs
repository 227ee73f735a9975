//! Rooms over HTTP: memberships, aliases and the directory, redaction, what a user keeps with a room.

use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, Server, User, answer};

const ROOMS: &str = "/_matrix/client/v3/rooms";

async fn act(user: &User<'_>, room_id: &str, action: &str, target: &User<'_>) -> Answer {
    user.post(&format!("{ROOMS}/{room_id}/{action}"), json!({ "user_id": target.user_id })).await
}

async fn membership(reader: &User<'_>, room_id: &str, of: &User<'_>) -> String {
    let state = reader.get(&format!("{ROOMS}/{room_id}/state/m.room.member/{}", of.user_id)).await.ok();
    state["membership"].as_str().expect("a membership").to_owned()
}

#[tokio::test]
async fn people_come_and_go() {
    let server = Server::start().await;
    let (ada, bob, eve) = (server.register("ada").await, server.register("bob").await, server.register("eve").await);
    let room_id = ada.create_room(json!({})).await;
    act(&eve, &room_id, "invite", &eve).await.is_error(403, "M_FORBIDDEN");

    act(&ada, &room_id, "invite", &bob).await.ok();
    assert_eq!(membership(&ada, &room_id, &bob).await, "invite");
    bob.post(&format!("{ROOMS}/{room_id}/join"), json!({})).await.ok();
    act(&bob, &room_id, "kick", &ada).await.is_error(403, "M_FORBIDDEN");
    act(&ada, &room_id, "kick", &bob).await.ok();
    assert_eq!(membership(&ada, &room_id, &bob).await, "leave");
    bob.post(&format!("{ROOMS}/{room_id}/forget"), json!({})).await.ok();
    bob.get(&format!("{ROOMS}/{room_id}/messages?dir=b")).await.is_error(403, "M_FORBIDDEN");

    act(&ada, &room_id, "ban", &bob).await.ok();
    bob.post(&format!("/_matrix/client/v3/join/{room_id}"), json!({})).await.is_error(403, "M_FORBIDDEN");
    act(&ada, &room_id, "unban", &bob).await.ok();
    assert_eq!(membership(&ada, &room_id, &bob).await, "leave");

    ada.post(&format!("{ROOMS}/{room_id}/leave"), json!({})).await.ok();
    assert_eq!(ada.get("/_matrix/client/v3/joined_rooms").await.ok()["joined_rooms"], json!([]));
    ada.post(&format!("{ROOMS}/{room_id}/forget"), json!({})).await.ok();
}

#[tokio::test]
async fn an_alias_leads_to_a_room_that_the_directory_may_show() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let room_id = ada.create_room(json!({ "preset": "public_chat", "name": "Reception", "topic": "ask here" })).await;
    let alias = "/_matrix/client/v3/directory/room/%23reception:localhost";
    ada.get(alias).await.is_error(404, "M_NOT_FOUND");
    ada.put(alias, json!({ "room_id": room_id })).await.ok();
    assert_eq!(ada.get(alias).await.ok(), json!({ "room_id": room_id, "servers": ["localhost"] }));
    let aliases = format!("{ROOMS}/{room_id}/aliases");
    assert_eq!(ada.get(&aliases).await.ok(), json!({ "aliases": ["#reception:localhost"] }));
    let named = json!({ "alias": "#reception:localhost" });
    ada.put(&format!("{ROOMS}/{room_id}/state/m.room.canonical_alias/"), named).await.ok();

    let visibility = format!("/_matrix/client/v3/directory/list/room/{room_id}");
    assert_eq!(ada.get(&visibility).await.ok(), json!({ "visibility": "private" }));
    bob.put(&visibility, json!({ "visibility": "public" })).await.is_error(403, "M_FORBIDDEN");
    ada.put(&visibility, json!({ "visibility": "public" })).await.ok();
    let listed = bob.get("/_matrix/client/v3/publicRooms").await.ok();
    assert_eq!(
        (&listed["chunk"][0]["room_id"], &listed["chunk"][0]["name"], &listed["chunk"][0]["canonical_alias"]),
        (&json!(room_id), &json!("Reception"), &json!("#reception:localhost"))
    );
    let search = |term: &str| json!({ "filter": { "generic_search_term": term }, "limit": 5 });
    let found = bob.post("/_matrix/client/v3/publicRooms", search("recep")).await.ok();
    assert_eq!(found["chunk"][0]["room_id"], json!(room_id));
    assert_eq!(bob.post("/_matrix/client/v3/publicRooms", search("nowhere")).await.ok()["chunk"], json!([]));

    bob.post("/_matrix/client/v3/join/%23reception:localhost", json!({})).await.ok();
    answer(bob.request(Method::DELETE, alias)).await.is_error(403, "M_FORBIDDEN");
    answer(ada.request(Method::DELETE, alias)).await.ok();
    ada.get(alias).await.is_error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn state_is_set_and_what_was_said_is_taken_back() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let room_id = ada.create_room(json!({ "invite": [bob.user_id], "preset": "private_chat" })).await;
    bob.post(&format!("{ROOMS}/{room_id}/join"), json!({})).await.ok();
    let topic = format!("{ROOMS}/{room_id}/state/m.room.topic/");
    bob.put(&topic, json!({ "topic": "mine" })).await.is_error(403, "M_FORBIDDEN");
    assert!(ada.put(&topic, json!({ "topic": "ours" })).await.ok()["event_id"].is_string());
    assert_eq!(bob.get(&topic).await.ok()["topic"], json!("ours"));
    let state = bob.get(&format!("{ROOMS}/{room_id}/state")).await.ok();
    let types: Vec<_> = state.as_array().expect("events").iter().filter_map(|event| event["type"].as_str()).collect();
    assert!(
        ["m.room.create", "m.room.power_levels", "m.room.topic"].iter().all(|wanted| types.contains(wanted)),
        "{types:?}"
    );

    let event_id = ada.send(&room_id, "regretted").await;
    let redact = format!("{ROOMS}/{room_id}/redact/{event_id}/1");
    bob.put(&redact, json!({})).await.is_error(403, "M_FORBIDDEN");
    let redaction = ada.put(&redact, json!({ "reason": "too early" })).await.ok();
    assert_eq!(ada.put(&redact, json!({ "reason": "too early" })).await.ok(), redaction, "one transaction, one redaction");
    let event = bob.get(&format!("{ROOMS}/{room_id}/event/{event_id}")).await.ok();
    assert_eq!(
        (&event["content"], &event["unsigned"]["redacted_because"]["event_id"]),
        (&json!({}), &redaction["event_id"])
    );
}

#[tokio::test]
async fn tags_and_data_of_a_room_are_its_user_s_own() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let room_id = ada.create_room(json!({})).await;
    let own = |rest: &str| format!("/_matrix/client/v3/user/{}/rooms/{room_id}/{rest}", ada.user_id);
    ada.put(&own("tags/m.favourite"), json!({ "order": 0.25 })).await.ok();
    assert_eq!(ada.get(&own("tags")).await.ok(), json!({ "tags": { "m.favourite": { "order": 0.25 } } }));
    answer(ada.request(Method::DELETE, &own("tags/m.favourite"))).await.ok();
    assert_eq!(ada.get(&own("tags")).await.ok(), json!({ "tags": {} }));
    ada.put(&own("account_data/org.example.colour"), json!({ "colour": "green", "none": null })).await.ok();
    let kept = ada.get(&own("account_data/org.example.colour")).await.ok();
    assert_eq!(kept, json!({ "colour": "green", "none": null }));
    for path in [own("tags"), own("account_data/org.example.colour")] {
        bob.get(&path).await.is_error(403, "M_FORBIDDEN");
    }
}
