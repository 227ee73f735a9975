//! Reading what was said over HTTP: pages, contexts, relations, state, members.

use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn every_way_to_read_a_room_answers_in_its_form() {
    let server = Server::start().await;
    let (ada, eve) = (server.register("ada").await, server.register("eve").await);
    let room_id = ada.create_room(json!({})).await;
    let event_id = ada.send(&room_id, "hello").await;
    let at = |rest: &str| format!("/_matrix/client/v3/rooms/{room_id}/{rest}");
    let v1 = |rest: &str| format!("/_matrix/client/v1/rooms/{room_id}/{rest}");

    let page = ada.get(&at("messages?dir=b&limit=1")).await.ok();
    assert_eq!(page["chunk"][0]["event_id"], json!(event_id));
    assert_eq!(page["chunk"][0]["room_id"], json!(room_id), "the full form");
    let rest = ada.get(&at(&format!("messages?dir=b&limit=100&from={}", page["end"].as_str().unwrap()))).await.ok();
    assert_eq!(
        (rest["chunk"].as_array().unwrap().last().unwrap()["type"].clone(), rest.get("end")),
        (json!("m.room.create"), None)
    );
    ada.get(&at("messages?dir=x")).await.is_error(400, "M_INVALID_PARAM");
    ada.get(&at("messages?dir=b&from=nonsense")).await.is_error(400, "M_INVALID_PARAM");

    assert_eq!(ada.get(&at(&format!("event/{event_id}"))).await.ok()["content"]["body"], json!("hello"));
    assert_eq!(ada.get(&at(&format!("context/{event_id}"))).await.ok()["event"]["event_id"], json!(event_id));
    assert_eq!(ada.get(&v1(&format!("relations/{event_id}/m.thread/m.room.message"))).await.ok()["chunk"], json!([]));
    assert_eq!(ada.get(&v1("threads")).await.ok()["chunk"], json!([]));
    let found = ada.get(&v1("timestamp_to_event?dir=b&ts=99999999999999")).await.ok();
    assert_eq!(found["event_id"], json!(event_id));
    assert_eq!(ada.get(&at("state/m.room.create")).await.ok()["room_version"], json!("11"));
    assert_eq!(ada.get(&at("state/m.room.create/?format=event")).await.ok()["type"], json!("m.room.create"));
    assert_eq!(ada.get(&at("members?membership=join")).await.ok()["chunk"][0]["state_key"], json!(ada.user_id));
    let joined = ada.get(&at("joined_members")).await.ok();
    assert_eq!(joined["joined"][&ada.user_id], json!({ "avatar_url": null, "display_name": "ada" }));
    assert_eq!(ada.get("/_matrix/client/v3/joined_rooms").await.ok()["joined_rooms"], json!([room_id]));
    assert_eq!(ada.get("/_matrix/client/v3/notifications").await.ok()["notifications"], json!([]));

    for path in [at("messages?dir=b"), at("messages"), at("state"), at("members"), at("joined_members"), v1("threads")] {
        eve.get(&path).await.is_error(403, "M_FORBIDDEN");
    }
    eve.get(&at(&format!("event/{event_id}"))).await.is_error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn what_has_expired_is_gone_from_every_way_to_read_it() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let room_id = ada.create_room(json!({})).await;
    let event_id = ada.send(&room_id, "hello").await;
    let at = |rest: &str| format!("/_matrix/client/v3/rooms/{room_id}/{rest}");
    let old = ada.get(&at("messages?dir=b&limit=1")).await.ok()["end"].as_str().unwrap().to_owned();
    let since = ada.get("/_matrix/client/v3/sync").await.ok()["next_batch"].as_str().unwrap().to_owned();
    server.clock.advance(std::time::Duration::from_hours(24));
    for rest in [format!("event/{event_id}"), format!("context/{event_id}")] {
        ada.get(&at(&rest)).await.is_error(404, "M_NOT_FOUND");
    }
    for from in [String::new(), format!("&from={old}"), format!("&from={since}")] {
        let page = ada.get(&at(&format!("messages?dir=b{from}"))).await.ok();
        assert_eq!((page["chunk"].clone(), page.get("end")), (json!([]), None), "empty, and the last");
    }
    ada.get(&format!("/_matrix/client/v3/sync?since={since}")).await.ok();
    assert_eq!(ada.get(&at("state/m.room.create")).await.ok()["room_version"], json!("11"), "the room lives on");
}

#[tokio::test]
async fn a_page_says_where_to_go_on_unless_the_room_begins_in_it() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let room_id = ada.create_room(json!({})).await;
    ada.send(&room_id, "words").await;
    let at = |query: &str| format!("/_matrix/client/v3/rooms/{room_id}/messages?{query}");
    let filter = "filter=%7B%22types%22%3A%5B%22m.room.message%22%5D%7D";
    for direction in ["b", "f"] {
        let page = ada.get(&at(&format!("dir={direction}&{filter}"))).await.ok();
        assert_eq!(page["chunk"].as_array().map(Vec::len), Some(1), "the filter leaves out the rest");
        let end = page["end"].as_str().expect("more may follow").to_owned();
        let next = ada.get(&at(&format!("dir={direction}&{filter}&from={end}"))).await.ok();
        assert_eq!((next["chunk"].clone(), next.get("end")), (json!([]), None), "nothing did");
        if direction == "f" {
            ada.send(&room_id, "more words").await;
            let later = ada.get(&at(&format!("dir=f&from={end}"))).await.ok();
            assert_eq!(later["chunk"][0]["content"]["body"], "more words", "it is a good place to go on from");
        }
    }
    let whole = ada.get(&at("dir=b&limit=100")).await.ok();
    assert_eq!(whole["chunk"].as_array().unwrap().last().unwrap()["type"], "m.room.create");
    assert_eq!(whole.get("end"), None, "there is nothing before a room's first event");
}
