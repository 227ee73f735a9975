//! Receipts and read markers over HTTP.

use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn receipts_and_markers_move_forward_together() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let room_id = ada.create_room(json!({ "invite": [bob.user_id] })).await;
    bob.post(&format!("/_matrix/client/v3/rooms/{room_id}/join"), json!({})).await.ok();
    let one = ada.send(&room_id, "one").await;
    let two = ada.send(&room_id, "two").await;
    let unread = async || {
        let answer = bob.get("/_matrix/client/v3/sync").await.ok();
        answer["rooms"]["join"][&room_id]["unread_notifications"]["notification_count"].as_u64().unwrap()
    };
    assert_eq!(unread().await, 3, "the invitation and two messages");
    let at = |rest: &str| format!("/_matrix/client/v3/rooms/{room_id}/{rest}");
    bob.post(&at(&format!("receipt/m.read/{one}")), json!({})).await.ok();
    assert_eq!(unread().await, 1);
    bob.post(&at("read_markers"), json!({ "m.fully_read": two, "m.read.private": two })).await.ok();
    assert_eq!(unread().await, 0);
    let marker = format!("/_matrix/client/v3/user/{}/rooms/{room_id}/account_data/m.fully_read", bob.user_id);
    assert_eq!(bob.get(&marker).await.ok(), json!({ "event_id": two }));
    bob.post(&at(&format!("receipt/m.unknown/{one}")), json!({})).await.is_error(400, "M_INVALID_PARAM");
    bob.post(&at("receipt/m.read/$none"), json!({})).await.ok();
    let eve = server.register("eve").await;
    eve.post(&at(&format!("receipt/m.read/{one}")), json!({})).await.is_error(403, "M_FORBIDDEN");
}
