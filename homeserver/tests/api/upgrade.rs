//! Room versions over HTTP: upgrades, and which ones there are.

use serde_json::json;

use crate::joining::{room, set, state};
use crate::support::Server;

#[tokio::test]
async fn an_upgraded_room_is_replaced_for_everybody_in_it() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let body = json!({ "preset": "public_chat", "room_version": "10", "name": "Tea", "room_alias_name": "tea", "visibility": "public" });
    let old = ada.create_room(body).await;
    bob.post(&room(&old, "join"), json!({})).await.ok();
    let rule = |room_id: &str| format!("/_matrix/client/v3/pushrules/global/room/{room_id}");
    bob.put(&rule(&old), json!({ "actions": [] })).await.ok();
    let tags = |room_id: &str| format!("/_matrix/client/v3/user/{}/rooms/{room_id}/tags", bob.user_id);
    bob.put(&format!("{}/m.favourite", tags(&old)), json!({ "order": 0.5 })).await.ok();
    let since = bob.get("/_matrix/client/v3/sync").await.ok()["next_batch"].as_str().expect("a token").to_owned();

    let upgrade = room(&old, "upgrade");
    bob.post(&upgrade, json!({ "new_version": "11" })).await.is_error(403, "M_FORBIDDEN");
    ada.post(&upgrade, json!({ "new_version": "nonsense" })).await.is_error(400, "M_UNSUPPORTED_ROOM_VERSION");
    ada.post(&upgrade, json!({})).await.is_error(400, "M_BAD_JSON");
    ada.post(&upgrade, json!({ "new_version": "12", "additional_creators": ["bob"] })).await.is_error(400, "M_BAD_JSON");
    ada.post(&room("!unknown:example.org", "upgrade"), json!({ "new_version": "11" })).await.is_error(404, "M_NOT_FOUND");
    let made = ada.post(&upgrade, json!({ "new_version": "11" })).await.ok();
    let new = made["replacement_room"].as_str().expect("a room id").to_owned();
    assert_eq!(made, json!({ "replacement_room": new }));

    let seen = bob.get(&format!("/_matrix/client/v3/sync?since={since}")).await.ok();
    let events = seen["rooms"]["join"][&old]["timeline"]["events"].as_array().expect("events").clone();
    let tombstone = events.iter().find(|event| event["type"] == "m.room.tombstone").expect("a tombstone");
    assert_eq!(tombstone["content"]["replacement_room"], json!(new));
    let create = state(&ada, &new, "m.room.create", "").await;
    assert_eq!(create["predecessor"], json!({ "room_id": old, "event_id": tombstone["event_id"] }));
    assert_eq!(create["room_version"], "11");
    assert_eq!(state(&ada, &new, "m.room.name", "").await["name"], "Tea");
    let alias = format!("/_matrix/client/v3/directory/room/%23tea:{}", server.app.server.name);
    assert_eq!(ada.get(&alias).await.ok()["room_id"], json!(new));
    let listed = ada.get("/_matrix/client/v3/publicRooms").await.ok();
    assert_eq!((listed["chunk"].as_array().map(Vec::len), &listed["chunk"][0]["room_id"]), (Some(1), &json!(new)));
    bob.put(&room(&old, "send/m.room.message/late"), json!({ "body": "late" })).await.is_error(403, "M_FORBIDDEN");

    bob.post(&room(&new, "join"), json!({})).await.ok();
    assert_eq!(bob.get(&rule(&new)).await.ok()["actions"], json!([]));
    assert_eq!(bob.get(&tags(&new)).await.ok(), json!({ "tags": { "m.favourite": { "order": 0.5 } } }));
    let seen = bob.get(&format!("/_matrix/client/v3/sync?since={since}")).await.ok();
    let rules =
        seen["account_data"]["events"].as_array().expect("events").iter().find(|event| event["type"] == "m.push_rules");
    let named: Vec<_> = rules.expect("told")["content"]["global"]["room"]
        .as_array()
        .expect("rules")
        .iter()
        .map(|rule| rule["rule_id"].clone())
        .collect();
    assert_eq!(named, [json!(old), json!(new)]);
}

#[tokio::test]
async fn version_12_names_its_creators_and_not_the_tombstone() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let old = ada.create_room(json!({ "invite": [bob.user_id] })).await;
    let levels = json!({ "users": { ada.user_id.as_str(): 100, bob.user_id.as_str(): 50 } });
    set(&ada, &old, "m.room.power_levels", levels).await;
    let body = json!({ "new_version": "12", "additional_creators": [bob.user_id] });
    let new = ada.post(&room(&old, "upgrade"), body).await.ok()["replacement_room"].as_str().expect("a room id").to_owned();
    assert!(!new.contains(':'), "named after its first event: {new}");
    let create = state(&ada, &new, "m.room.create", "").await;
    assert_eq!(create["predecessor"], json!({ "room_id": old }));
    assert_eq!(create["additional_creators"], json!([bob.user_id]));
    assert_eq!(state(&ada, &new, "m.room.power_levels", "").await["users"], json!({}));
    assert_eq!(state(&ada, &old, "m.room.tombstone", "").await["replacement_room"], json!(new));
}

#[tokio::test]
async fn every_version_that_is_told_can_be_made() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let capabilities = ada.get("/_matrix/client/v3/capabilities").await.ok();
    let versions = capabilities["capabilities"]["m.room_versions"]["available"].as_object().expect("versions").clone();
    assert!(["10", "11", "12"].iter().all(|version| versions[*version] == "stable"));
    for version in versions.keys() {
        let room_id = ada.create_room(json!({ "room_version": version })).await;
        assert_eq!(state(&ada, &room_id, "m.room.create", "").await["room_version"], json!(version));
        ada.send(&room_id, "hello").await;
    }
    for version in ["13", "nonsense"] {
        assert!(!versions.contains_key(version));
        let refused = ada.post("/_matrix/client/v3/createRoom", json!({ "room_version": version })).await;
        refused.is_error(400, "M_UNSUPPORTED_ROOM_VERSION");
    }
}
