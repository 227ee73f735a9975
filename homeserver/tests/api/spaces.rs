//! Summaries, spaces and rooms in common over HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, User, answer};

async fn child(user: &User<'_>, space: &str, room_id: &str, suggested: bool) {
    let content = json!({ "via": ["example.org"], "suggested": suggested });
    user.put(&format!("/_matrix/client/v3/rooms/{space}/state/m.space.child/{room_id}"), content).await.ok();
}

fn summary(room: &str) -> String {
    format!("/_matrix/client/v1/room_summary/{}", room.replace('#', "%23"))
}

fn hierarchy(room_id: &str, query: &str) -> String {
    format!("/_matrix/client/v1/rooms/{room_id}/hierarchy{query}")
}

fn ids(page: &Value) -> Vec<Value> {
    page["rooms"].as_array().expect("rooms").iter().map(|room| room["room_id"].clone()).collect()
}

#[tokio::test]
async fn a_summary_is_told_with_and_without_an_account() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let open = ada.create_room(json!({ "preset": "public_chat", "name": "Tea", "room_alias_name": "tea" })).await;
    let closed = ada.create_room(json!({ "name": "Secret", "room_alias_name": "secret" })).await;
    let alias = |name: &str| format!("#{name}:{}", server.app.server.name);
    for room in [open.clone(), alias("tea")] {
        let told = bob.get(&summary(&room)).await.ok();
        assert_eq!((&told["room_id"], &told["name"], &told["membership"]), (&json!(open), &json!("Tea"), &json!("leave")));
        assert_eq!((&told["num_joined_members"], &told["room_version"]), (&json!(1), &json!("11")));
        let told = answer(server.request(Method::GET, &summary(&room))).await.ok();
        assert_eq!((&told["room_id"], told.get("membership")), (&json!(open), None));
    }
    let unknown = bob.get(&summary("!unknown:example.org")).await;
    unknown.is_error(404, "M_NOT_FOUND");
    for room in [closed.clone(), alias("secret"), alias("nobody")] {
        assert_eq!(bob.get(&summary(&room)).await, unknown, "as if there were no such room");
        assert_eq!(answer(server.request(Method::GET, &summary(&room))).await, unknown);
    }
    assert_eq!(ada.get(&summary(&closed)).await.ok()["membership"], "join");
    bob.get(&summary("tea")).await.is_error(400, "M_INVALID_PARAM");
    let wrong = server.request(Method::GET, &summary(&open)).bearer_auth("guess");
    answer(wrong).await.is_error(401, "M_UNKNOWN_TOKEN");
    let unstable = "/_matrix/client/unstable/im.nheko.summary";
    for path in [format!("{unstable}/summary/{open}"), format!("{unstable}/rooms/{open}/summary")] {
        let told = bob.get(&path).await.ok();
        assert_eq!((&told["name"], &told["im.nheko.summary.room_version"]), (&json!("Tea"), &json!("11")));
    }
}

#[tokio::test]
async fn a_space_is_walked_page_by_page() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let space = || json!({ "preset": "public_chat", "creation_content": { "type": "m.space" } });
    let root = ada.create_room(space()).await;
    let inner = ada.create_room(space()).await;
    let tea = ada.create_room(json!({ "preset": "public_chat" })).await;
    let secret = ada.create_room(json!({})).await;
    for (from, to, suggested) in [(&root, &inner, false), (&root, &secret, false), (&inner, &tea, true)] {
        child(&ada, from, to, suggested).await;
    }
    let whole = bob.get(&hierarchy(&root, "")).await.ok();
    assert_eq!((ids(&whole), whole.get("next_batch")), (vec![json!(root), json!(inner), json!(tea)], None));
    let room = &whole["rooms"][0];
    assert_eq!((&room["room_type"], room["children_state"].as_array().map(Vec::len)), (&json!("m.space"), Some(2)));
    assert!(room["children_state"][0]["origin_server_ts"].is_u64());
    let first = bob.get(&hierarchy(&root, "?limit=2")).await.ok();
    let token = first["next_batch"].as_str().expect("more").to_owned();
    let rest = bob.get(&hierarchy(&root, &format!("?from={token}"))).await.ok();
    assert_eq!((ids(&rest), rest.get("next_batch")), (vec![json!(tea)], None));
    assert_eq!(ids(&bob.get(&hierarchy(&root, "?max_depth=1&limit=9")).await.ok()), [json!(root), json!(inner)]);
    assert_eq!(ids(&bob.get(&hierarchy(&root, "?suggested_only=true")).await.ok()), [json!(root)]);
    for query in [
        "?limit=0",
        "?limit=-1",
        "?max_depth=-1",
        "?max_depth=x",
        "?suggested_only=perhaps",
        "?from=nonsense",
        &format!("?from={token}&max_depth=1"),
    ] {
        bob.get(&hierarchy(&root, query)).await.is_error(400, "M_INVALID_PARAM");
    }
    let unknown = bob.get(&hierarchy("!unknown:example.org", "")).await;
    unknown.is_error(403, "M_FORBIDDEN");
    assert_eq!(bob.get(&hierarchy(&secret, "")).await, unknown, "as if there were no such room");
    answer(server.request(Method::GET, &hierarchy(&root, ""))).await.is_error(401, "M_MISSING_TOKEN");
    server.clock.advance(std::time::Duration::from_hours(1));
    bob.get(&hierarchy(&root, &format!("?from={token}"))).await.is_error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn rooms_in_common_are_told() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let shared = ada.create_room(json!({ "preset": "public_chat" })).await;
    ada.create_room(json!({ "invite": [bob.user_id] })).await;
    bob.post(&format!("/_matrix/client/v3/rooms/{shared}/join"), json!({})).await.ok();
    let ask = |user_id: &str| format!("/_matrix/client/v1/mutual_rooms?user_id={user_id}");
    assert_eq!(ada.get(&ask(&bob.user_id)).await.ok(), json!({ "joined": [shared], "count": 1 }));
    assert_eq!(ada.get(&ask("@nobody:example.org")).await.ok(), json!({ "joined": [], "count": 0 }));
    for path in [ask(&ada.user_id), ask("bob"), ask("@Bob:example.org"), ask(&format!("{}&from=x", bob.user_id))] {
        ada.get(&path).await.is_error(400, "M_INVALID_PARAM");
    }
    ada.get("/_matrix/client/v1/mutual_rooms").await.is_error(400, "M_INVALID_PARAM");
    answer(server.request(Method::GET, &ask(&bob.user_id))).await.is_error(401, "M_MISSING_TOKEN");
}
