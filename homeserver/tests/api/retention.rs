//! An account that keeps its text for longer: what the platform asks for, what clients are told, and when it is gone.

use std::time::Duration;

use homeserver::control::{self, Order};
use serde_json::json;

use crate::platform::Platform;
use crate::support::{Server, User, silent};

const DAY_MS: u64 = 86_400_000;
const NORTH: &str = "/organizations/acme/accounts/north";

/// What a user is told: L and the own text's retention by the widget's call, and the most by MSC1763's.
async fn told(user: &User<'_>) -> [u64; 3] {
    let me = user.get("/_vestibule/client/v1/me").await.ok();
    let announced = user.get("/_matrix/client/unstable/org.matrix.msc1763/retention/configuration").await.ok();
    assert_eq!(announced["policies"]["*"]["max_lifetime"], announced["limits"]["max_lifetime"]["max"]);
    [&me["retention_ms"], &me["text_retention_ms"], &announced["limits"]["max_lifetime"]["max"]]
        .map(|ms| ms.as_u64().expect("milliseconds"))
}

#[tokio::test]
async fn an_accounts_text_is_kept_as_long_as_the_platform_says() {
    let server = Server::start().await;
    server.clock.stop();
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    let refused = platform.put(NORTH, json!({ "name": "North Clinic", "text_retention": DAY_MS + 1 })).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(refused.body["detail"].as_str().is_some_and(|detail| detail.contains("604800000")), "{}", refused.body);
    assert_eq!(platform.get(NORTH).await.ok().get("text_retention"), None);
    let week = json!({ "name": "North Clinic", "text_retention": 7 * DAY_MS });
    assert_eq!(platform.put(NORTH, week).await.ok()["text_retention"], 7 * DAY_MS);
    assert_eq!(platform.put(NORTH, json!({ "name": "North" })).await.ok()["text_retention"], 7 * DAY_MS, "absent keeps");
    platform.put("/organizations/acme/accounts/south", json!({ "name": "South Clinic" })).await.ok();
    let bob = platform.host("bob", "acme", "south", "Bob").await.ok();
    let session = platform.session("visit", "ada", &["pat"]).await.ok();
    let (host, colleague) = (platform.page(&ada["user_id"]).await, platform.page(&bob["user_id"]).await);
    let pat = platform.page(&session["invitees"][0]["user_id"]).await;
    for user in [&host, &pat] {
        assert_eq!(told(user).await, [DAY_MS, 7 * DAY_MS, 7 * DAY_MS]);
    }
    assert_eq!(told(&colleague).await, [DAY_MS; 3]);

    let room = |guest: &User<'_>| json!({ "invite": [guest.user_id] });
    let (with_pat, with_bob) = (host.create_room(room(&pat)).await, host.create_room(room(&colleague)).await);
    pat.post(&format!("/_matrix/client/v3/join/{with_pat}"), json!({})).await.ok();
    for (room, kept_ms) in [(&with_pat, 7 * DAY_MS), (&with_bob, DAY_MS)] {
        let retention = host.get(&format!("/_matrix/client/v3/rooms/{room}/state/m.room.retention/")).await.ok();
        assert_eq!(retention["max_lifetime"], kept_ms);
        let state = host.get(&format!("/_matrix/client/v3/rooms/{room}/state")).await.ok();
        let types: Vec<_> = state.as_array().expect("a list").iter().map(|event| &event["type"]).collect();
        assert!(types.contains(&&json!("m.room.retention")), "{types:?}");
    }
    let (long, short) = (pat.send(&with_pat, "for a week").await, host.send(&with_bob, "for a day").await);
    let long = format!("/_matrix/client/v3/rooms/{with_pat}/event/{long}");
    let short = format!("/_matrix/client/v3/rooms/{with_bob}/event/{short}");
    let end = server.clock.now().plus_ms(7 * DAY_MS).as_ms();
    assert_eq!(host.get(&long).await.ok()["unsigned"]["org.vestibule.expires_ts"], end);
    assert_eq!(host.get(&short).await.ok()["unsigned"].get("org.vestibule.expires_ts"), None);

    let status = control::execute(&server.app, Order::RetentionStatus, &silent()).await.expect("a status");
    let classes = status["classes"].as_array().expect("classes");
    let week = classes.iter().find(|class| class["lifetime_ms"] == 7 * DAY_MS).expect("the week's");
    assert!(week["what"].as_str().is_some_and(|what| what.contains("7 times")), "{week}");
    assert!(classes.iter().all(|class| class["lifetime_ms"] != 30 * DAY_MS), "what holds nothing is left out");

    // Pages are logged in for minutes: one for each day that is looked at.
    for (day, edges) in [(1, [(200, 200), (200, 404)]), (7, [(200, 404), (404, 404)])] {
        let until_ms = end - 7 * DAY_MS + day * DAY_MS - 1 - server.clock.now().as_ms();
        server.clock.advance(Duration::from_millis(until_ms));
        let host = platform.page(&ada["user_id"]).await;
        for (after_ms, expected) in edges.into_iter().enumerate() {
            let found = (host.get(&long).await.status, host.get(&short).await.status);
            assert_eq!(found, expected, "day {day}, a millisecond before its end and {after_ms} later");
            server.clock.advance(Duration::from_millis(1));
        }
    }
}
