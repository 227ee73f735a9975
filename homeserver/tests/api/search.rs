//! Searching over HTTP: what was said, and filters.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::{Server, User, answer};

const SEARCH: &str = "/_matrix/client/v3/search";

/// The category of the answer to a search for `term` in one room.
async fn search(user: &User<'_>, room_id: &str, term: &str) -> Value {
    let criteria = json!({ "search_term": term, "keys": ["content.body"], "filter": { "rooms": [room_id] } });
    let body = json!({ "search_categories": { "room_events": criteria } });
    user.post(SEARCH, body).await.ok()["search_categories"]["room_events"].clone()
}

#[tokio::test]
async fn what_was_said_is_found_by_those_who_may_read_it_until_it_expires() {
    let server = Server::start().await;
    let (ada, eve) = (server.register("ada").await, server.register("eve").await);
    let room_id = ada.create_room(json!({ "preset": "private_chat" })).await;
    let event_id = ada.send(&room_id, "hello, world").await;
    let found = search(&ada, &room_id, "Hello").await;
    let result = &found["results"][0]["result"];
    assert_eq!((&found["count"], &result["event_id"], &result["room_id"]), (&json!(1), &json!(event_id), &json!(room_id)));
    assert_eq!((&result["content"]["body"], &result["type"]), (&json!("hello, world"), &json!("m.room.message")));
    assert_eq!((&found["highlights"], found["results"][0]["rank"].is_number()), (&json!(["hello"]), true));

    let foreign = search(&eve, &room_id, "hello").await;
    let none = search(&eve, "!none:localhost", "hello").await;
    assert_eq!((&foreign["count"], &foreign["results"]), (&json!(0), &json!([])));
    assert_eq!(foreign, none, "a room one is not in looks like none");

    let redaction = format!("/_matrix/client/v3/rooms/{room_id}/redact/{event_id}/1");
    ada.send(&room_id, "hello again").await;
    ada.put(&redaction, json!({})).await.ok();
    let found = search(&ada, &room_id, "hello").await;
    assert_eq!((&found["count"], &found["results"][0]["result"]["content"]["body"]), (&json!(1), &json!("hello again")));
    server.clock.advance(Duration::from_hours(24));
    assert_eq!(search(&ada, &room_id, "hello").await["count"], json!(0));
}

#[tokio::test]
async fn pages_of_results_follow_each_other_by_their_tokens() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let room_id = ada.create_room(json!({})).await;
    let mut event_ids = Vec::new();
    for number in 0..5 {
        event_ids.push(ada.send(&room_id, &format!("Message number {number}")).await);
    }
    event_ids.reverse();
    let criteria = json!({
        "search_term": "message", "order_by": "recent", "filter": { "limit": 2 },
        "event_context": { "before_limit": 1, "after_limit": 1 }, "groupings": { "group_by": [{ "key": "room_id" }] },
    });
    let body = json!({ "search_categories": { "room_events": criteria } });
    let (mut path, mut all) = (SEARCH.to_owned(), Vec::new());
    for full in [true, true, false] {
        let page = ada.post(&path, body.clone()).await.ok()["search_categories"]["room_events"].clone();
        let found: Vec<String> = page["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|result| result["result"]["event_id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!((&page["count"], &page["groups"]["room_id"][&room_id]["results"]), (&json!(5), &json!(found)));
        assert!(page["results"][0]["context"]["start"].is_string());
        assert_eq!(page["next_batch"].is_string(), full);
        path = format!("{SEARCH}?next_batch={}", page["next_batch"].as_str().unwrap_or_default());
        all.extend(found);
    }
    assert_eq!(all, event_ids);
}

#[tokio::test]
async fn a_search_of_the_wrong_form_is_refused() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let ask = |room_events: Value| json!({ "search_categories": { "room_events": room_events } });
    for body in
        [json!({}), ask(json!({})), ask(json!({ "search_term": 1 })), ask(json!({ "search_term": "a", "order_by": "size" }))]
    {
        ada.post(SEARCH, body).await.is_error(400, "M_BAD_JSON");
    }
    let token = format!("{SEARCH}?next_batch=nonsense");
    ada.post(&token, ask(json!({ "search_term": "a" }))).await.is_error(400, "M_INVALID_PARAM");
    assert_eq!(ada.post(SEARCH, json!({ "search_categories": {} })).await.ok(), json!({ "search_categories": {} }));
    answer(server.request(Method::POST, SEARCH).json(&ask(json!({ "search_term": "a" }))))
        .await
        .is_error(401, "M_MISSING_TOKEN");
    ada.get(SEARCH).await.is_error(405, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn a_stored_filter_decides_how_events_are_written() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let room_id = ada.create_room(json!({})).await;
    ada.send(&room_id, "hello").await;
    let filter = json!({
        "event_fields": ["content.body", "event_id", "type", "sender", "origin_server_ts", "auth_events"], "event_format": "federation",
        "room": { "timeline": { "types": ["m.room.m*"], "not_types": ["m.room.member"], "limit": 1 }, "state": { "types": [] } },
    });
    let filters = format!("/_matrix/client/v3/user/{}/filter", ada.user_id);
    let filter_id = ada.post(&filters, filter.clone()).await.ok()["filter_id"].as_str().unwrap().to_owned();
    assert_eq!(ada.get(&format!("{filters}/{filter_id}")).await.ok(), filter);
    let answer = ada.get(&format!("/_matrix/client/v3/sync?filter={filter_id}")).await.ok();
    let event = &answer["rooms"]["join"][&room_id]["timeline"]["events"][0];
    let mut properties: Vec<&String> = event.as_object().unwrap().keys().collect();
    properties.sort();
    assert_eq!(properties, ["auth_events", "content", "event_id", "origin_server_ts", "sender", "type"], "and no more");
    assert_eq!(event["content"], json!({ "body": "hello" }));
    ada.post(&filters, json!({ "event_format": 1 })).await.is_error(400, "M_BAD_JSON");
}

#[tokio::test]
async fn the_state_after_a_timeline_is_told_under_the_name_it_was_asked_by() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let room_id = ada.create_room(json!({ "name": "before" })).await;
    let since = ada.get("/_matrix/client/v3/sync").await.ok()["next_batch"].as_str().unwrap().to_owned();
    let name = format!("/_matrix/client/v3/rooms/{room_id}/state/m.room.name");
    ada.put(&name, json!({ "name": "after" })).await.ok();
    let cases = [
        ("", "state", json!([])),
        ("&use_state_after=true", "state_after", json!(["after"])),
        ("&org.matrix.msc4222.use_state_after=true", "org.matrix.msc4222.state_after", json!(["after"])),
        ("&use_state_after=true&org.matrix.msc4222.use_state_after=true", "state_after", json!(["after"])),
        ("&use_state_after=false", "state", json!([])),
    ];
    for (query, key, expected) in cases {
        let answer = ada.get(&format!("/_matrix/client/v3/sync?since={since}{query}")).await.ok();
        let room = answer["rooms"]["join"][&room_id].clone();
        let names: Vec<&Value> =
            room[key]["events"].as_array().unwrap().iter().map(|event| &event["content"]["name"]).collect();
        assert_eq!(json!(names), expected, "{query}");
        let keys = ["state", "state_after", "org.matrix.msc4222.state_after"];
        assert!(keys.iter().all(|other| *other == key || room.get(other).is_none()), "one of them: {query}");
        assert_eq!(room["timeline"]["events"][0]["content"]["name"], json!("after"));
    }
}
