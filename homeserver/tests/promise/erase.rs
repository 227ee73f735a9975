//! Erasing at once, and participants L after their session.

use std::time::Duration;

use engine::{Cx, Decided, Draft};
use homeserver::control::{self, Order, PromiseOrder, Target};
use homeserver::prove::What;
use homeserver::workers::{erasure, expiry, sessions};
use journal::{Name, Table};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, User, answer, silent};
use crate::{L, SLOT, look, short_lived, sweep};

const V3: &str = "/_matrix/client/v3";

async fn erase(server: &Server, target: Target) -> Result<Value, String> {
    let order = Order::Promise(PromiseOrder::Erase(target));
    control::execute(&server.app, order, &silent()).await.map_err(|error| error.sentence())
}

async fn in_a_room<'a>(server: &'a Server, names: &[&str]) -> (Vec<User<'a>>, String) {
    let mut users = Vec::new();
    for name in names {
        users.push(server.register(name).await);
    }
    let invite: Vec<_> = users[1..].iter().map(|user| user.user_id.clone()).collect();
    let room = users[0].create_room(json!({ "invite": invite })).await;
    for user in &users[1..] {
        user.post(&format!("{V3}/join/{room}"), json!({})).await.ok();
    }
    (users, room)
}

#[tokio::test]
async fn a_room_is_erased_at_once_from_every_answer_and_from_the_disk() {
    let server = Server::start().await;
    let (users, room) = in_a_room(&server, &["ada", "bob"]).await;
    let (ada, bob) = (&users[0], &users[1]);
    let event = ada.send(&room, "not for long").await;
    let since = bob.get(&format!("{V3}/sync")).await.ok()["next_batch"].as_str().expect("a token").to_owned();
    assert!(!look(&server, What::Text("not for long".to_owned()), &[]).gone);
    erase(&server, Target::Room(room.clone())).await.expect("erases");
    bob.get(&format!("{V3}/rooms/{room}/event/{event}")).await.is_error(404, "M_NOT_FOUND");
    ada.get(&format!("{V3}/rooms/{room}/messages?dir=b")).await.is_error(403, "M_FORBIDDEN");
    let sync = bob.get(&format!("{V3}/sync?since={since}")).await.ok();
    let left = &sync["rooms"]["leave"][&room]["timeline"]["events"][0];
    assert_eq!((&left["type"], &left["content"]["membership"]), (&json!("m.room.member"), &json!("leave")), "{sync}");
    assert_eq!(left["state_key"], json!(bob.user_id));
    let next = sync["next_batch"].as_str().expect("a token");
    let quiet = bob.get(&format!("{V3}/sync?since={next}")).await.ok();
    assert!(quiet["rooms"]["leave"].get(&room).is_none(), "told once: {quiet}");
    let first = ada.get(&format!("{V3}/sync")).await.ok();
    assert!(!first.to_string().contains(&room), "{first}");
    for what in [What::Text("not for long".to_owned()), What::Event(event)] {
        let report = look(&server, what, &[]);
        assert!(report.gone, "{report:?}");
    }
    let unknown = erase(&server, Target::Room(room)).await.expect_err("it is gone");
    assert!(unknown.contains("no such room"), "{unknown}");
}

#[tokio::test]
async fn a_user_is_erased_at_once_with_what_they_said_and_sent() {
    let server = Server::start().await;
    let (users, group) = in_a_room(&server, &["ada", "bob", "eve"]).await;
    let (ada, bob, eve) = (&users[0], &users[1], &users[2]);
    let since = ada.get(&format!("{V3}/sync")).await.ok()["next_batch"].as_str().expect("a token").to_owned();
    bob.send(&group, "words of bob").await;
    ada.send(&group, "words of ada").await;
    let pair = bob.create_room(json!({ "invite": [eve.user_id], "name": "a pair of two" })).await;
    eve.post(&format!("{V3}/join/{pair}"), json!({})).await.ok();
    let mxc = bob.upload("of-bob.txt", "text/plain", b"bytes of bob".to_vec()).await.ok()["content_uri"].clone();
    let mxc = mxc.as_str().expect("a URI");
    erase(&server, Target::User(bob.user_id.clone())).await.expect("erases");
    bob.get(&format!("{V3}/account/whoami")).await.is_error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(ada.download(mxc).await.status(), 404);
    let away = ada.get(&format!("{V3}/sync?since={since}")).await.ok();
    let news = away["rooms"]["join"][&group]["timeline"]["events"].as_array().expect("events");
    let left = news.iter().find(|event| event["state_key"] == json!(bob.user_id)).expect("who was away hears of it");
    assert_eq!(left["content"]["membership"], "leave");
    let page = ada.get(&format!("{V3}/rooms/{group}/messages?dir=b&limit=100")).await.ok().to_string();
    assert!(page.contains("words of ada") && !page.contains("words of bob"), "{page}");
    let members = ada.get(&format!("{V3}/rooms/{group}/joined_members")).await.ok();
    assert!(members["joined"].get(&bob.user_id).is_none());
    for word in ["words of bob", "bytes of bob", "of-bob.txt", "a pair of two"] {
        let report = look(&server, What::Text(word.to_owned()), &[]);
        assert!(report.gone, "{word}: {report:?}");
    }
    let body = json!({ "username": "bob", "password": "correct horse battery staple", "auth": { "type": "m.login.dummy" } });
    answer(server.request(Method::POST, &format!("{V3}/register")).json(&body)).await.is_error(400, "M_USER_IN_USE");
    let again = erase(&server, Target::User(bob.user_id.clone())).await.expect_err("nobody is there");
    assert!(again.contains("no such user"), "{again}");
}

#[tokio::test]
async fn participants_and_their_rooms_are_gone_l_after_the_session() {
    let server = Server::start_with(short_lived).await;
    server.clock.stop();
    let made = control::execute(&server.app, Order::KeysCreate { scopes: Vec::new(), lifetime_ms: None }, &silent())
        .await
        .expect("a key");
    let key = made["key"].as_str().expect("a key").to_owned();
    let put = async |path: &str, body: Value| {
        answer(server.request(Method::PUT, &format!("/_vestibule/v1{path}")).bearer_auth(&key).json(&body)).await.ok()
    };
    put("/organizations/acme", json!({ "name": "Acme" })).await;
    put("/organizations/acme/accounts/north", json!({ "name": "North" })).await;
    let host = put("/hosts/ada", json!({ "organization": "acme", "account": "north", "display_name": "Ada" })).await;
    let ends_at = server.clock.now().plus_ms(60_000).as_ms();
    let visit = json!({ "host": "ada", "invitees": [{ "id": "canary-invitee", "display_name": "Canary Patient" }], "ends_at": ends_at });
    let visit = put("/sessions/canary-visit", visit).await;
    let guest = &visit["invitees"][0]["user_id"];
    let log_in = async |user_id: &Value| {
        let path = "/_vestibule/v1/login_tokens";
        let token =
            answer(server.request(Method::POST, path).bearer_auth(&key).json(&json!({ "user_id": user_id }))).await.ok();
        let body = json!({ "type": "m.login.token", "token": token["login_token"] });
        let login = answer(server.request(Method::POST, &format!("{V3}/login")).json(&body)).await.ok();
        let text = |key: &str| login[key].as_str().expect("text").to_owned();
        User { server: &server, user_id: text("user_id"), device_id: text("device_id"), token: text("access_token") }
    };
    let guest = log_in(if guest.is_string() { guest } else { &visit["participants"][0]["user_id"] }).await;
    let host = log_in(&host["user_id"]).await;
    let room = guest.create_room(json!({ "invite": [host.user_id], "is_direct": true })).await;
    host.post(&format!("{V3}/join/{room}"), json!({})).await.ok();
    let direct = json!({ guest.user_id.clone(): [room] });
    host.put(&format!("{V3}/user/{}/account_data/m.direct", host.user_id), direct).await.ok();
    guest.send(&room, "of the patient").await;

    server.clock.advance(Duration::from_mins(1));
    sessions::end_due(&server.app).await.expect("ends");
    guest.get(&format!("{V3}/account/whoami")).await.is_error(401, "M_UNKNOWN_TOKEN");
    server.clock.advance(L.checked_sub(Duration::from_millis(1)).unwrap());
    sweep(&server).await;
    let host = log_in(&json!(host.user_id)).await;
    assert!(host.get(&format!("{V3}/sync")).await.ok().to_string().contains("Canary Patient"), "not a moment before");
    server.clock.advance(Duration::from_millis(1));
    sweep(&server).await;
    let host = log_in(&json!(host.user_id)).await;
    let sync = host.get(&format!("{V3}/sync")).await.ok().to_string();
    assert!(!sync.contains("Canary Patient") && !sync.contains(&guest.user_id) && !sync.contains(&room), "{sync}");
    host.get(&format!("{V3}/profile/{}", guest.user_id)).await.is_error(404, "M_NOT_FOUND");
    for word in ["Canary Patient", "of the patient"] {
        // What expires is noise once its slot is over; what lasted is gone already.
        let report = look(&server, What::Text(word.to_owned()), &[]);
        assert!(report.found.iter().all(|found| found.until.is_some()), "{word}: {report:?}");
    }
    server.clock.advance(L * 2);
    sweep(&server).await;
    for word in ["Canary Patient", "of the patient", &room] {
        let report = look(&server, What::Text(word.to_owned()), &[]);
        assert!(report.gone, "{word}: {report:?}");
    }
}

#[tokio::test]
async fn a_kill_in_the_middle_of_an_erasure_is_made_good() {
    let server = Server::start().await;
    let (users, room) = in_a_room(&server, &["ada", "bob"]).await;
    for number in 0..20 {
        users[0].send(&room, &format!("number {number} of the erased")).await;
    }
    let room_id = ruma::RoomId::parse(room.as_str()).expect("an id").clone();
    server.app.run(|cx| engine::erase::erase_room(cx, &room_id)).await.expect("begins");
    let server = server.image().start().await;
    assert!(!look(&server, What::Text("of the erased".to_owned()), &[]).gone, "begun, not ended");
    sweep(&server).await;
    let report = look(&server, What::Text("of the erased".to_owned()), &[]);
    assert!(report.gone, "{report:?}");
}

/// `memberships` with rows as no version writes them.
static DAMAGED: Table<(Name, Name), String> = Table::lasting(9, "memberships");

#[tokio::test]
async fn an_erasure_that_fails_stops_nothing_else() {
    let server = Server::start_with(short_lived).await;
    server.clock.stop();
    let (users, room) = in_a_room(&server, &["ada", "bob", "eve", "joe"]).await;
    let [ada, bob, eve, _] = &users[..] else { panic!("four") };
    ada.send(&room, "for an hour").await;
    let user_id = ruma::UserId::parse(bob.user_id.as_str()).expect("an id");
    let damage = |cx: &Cx<'_>| -> Decided<()> {
        let mut draft = Draft::new(*cx);
        DAMAGED.put(&mut draft.batch, &(cx.user(&user_id), cx.name("a room")), &"damaged".to_owned());
        Ok(draft.commit(()))
    };
    server.app.run(damage).await.expect("writes");
    let told = erase(&server, Target::User(bob.user_id.clone())).await.expect_err("it cannot be read where they are");
    assert!(told.contains("tried again"), "{told}");
    bob.get(&format!("{V3}/account/whoami")).await.is_error(401, "M_UNKNOWN_TOKEN");
    erase(&server, Target::User(eve.user_id.clone())).await.expect("the others are erased");
    server.clock.advance(L + SLOT);
    let carried = erasure::sweep(&server.app).await.expect("sweeps");
    assert_eq!((carried.ended, carried.failed.len()), (0, 1));
    assert!(expiry::sweep(&server.app).await.expect("sweeps").epochs > 0, "keys are destroyed all the same");
    // Once it can be read, the erasure goes on where it was.
    let mend = |cx: &Cx<'_>| -> Decided<()> {
        let mut draft = Draft::new(*cx);
        DAMAGED.delete(&mut draft.batch, &(cx.user(&user_id), cx.name("a room")));
        Ok(draft.commit(()))
    };
    server.app.run(mend).await.expect("writes");
    let carried = erasure::sweep(&server.app).await.expect("sweeps");
    assert!(carried.failed.is_empty(), "{carried:?}");
    let members = ada.get(&format!("{V3}/rooms/{room}/joined_members")).await.ok();
    assert_eq!(members["joined"].as_object().map(serde_json::Map::len), Some(2), "{members}");
}

#[tokio::test]
async fn a_kill_before_the_files_are_rewritten_is_made_good() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    ada.put(&format!("{V3}/profile/{}/displayname", ada.user_id), json!({ "displayname": "Canary Name" })).await.ok();
    let user_id = ruma::UserId::parse(ada.user_id.as_str()).expect("an id");
    // What is written when a server stops is in table files afterwards.
    let server = server.stop().await.start().await;
    let name = server.app.run(|cx| engine::erase::erase_user(cx, &user_id)).await.expect("begins");
    erasure::complete(&server.app, &[name]).await.expect("ends");
    let server = server.image().start().await;
    assert!(!look(&server, What::Text("Canary Name".to_owned()), &[]).gone, "deleted, and still in the files");
    sweep(&server).await;
    let report = look(&server, What::Text("Canary Name".to_owned()), &[]);
    assert!(report.gone, "{report:?}");
}
