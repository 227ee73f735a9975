//! The real binary under load, killed at random moments: what was answered is there, in order, exactly once, and no room is broken.
#![expect(clippy::disallowed_methods, reason = "a test measures and spawns by itself")]
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "support/binary.rs"]
mod binary;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use binary::Site;
use serde_json::{Value, json};

const SENDERS: usize = 16;
const ROOMS: usize = 4;
const KILLS: usize = 20;

#[derive(Clone)]
struct Sender {
    name: String,
    token: String,
    room_id: String,
}

/// What a sender was answered: its messages by number.
type Acknowledged = BTreeMap<usize, String>;

async fn call(request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.json().await.ok()?))
}

async fn must(request: reqwest::RequestBuilder) -> Value {
    let (status, body) = call(request).await.expect("an answer");
    assert_eq!(status, 200, "{body}");
    body
}

/// Registers everybody, and puts them into rooms.
async fn set_up(http: &reqwest::Client, base: &str) -> Vec<Sender> {
    let v3 = format!("{base}/_matrix/client/v3");
    let mut people = Vec::new();
    for number in 0..SENDERS {
        let name = format!("sender{number}");
        let body = json!({ "username": name, "password": "long enough a password", "auth": { "type": "m.login.dummy" } });
        let account = must(http.post(format!("{v3}/register")).json(&body)).await;
        people.push((name, account["access_token"].as_str().expect("a token").to_owned()));
    }
    let mut rooms = Vec::new();
    for number in 0..ROOMS {
        let body = json!({ "preset": "public_chat", "name": format!("room {number}") });
        let room = must(http.post(format!("{v3}/createRoom")).bearer_auth(&people[number].1).json(&body)).await;
        rooms.push(room["room_id"].as_str().expect("a room id").to_owned());
    }
    let mut senders = Vec::new();
    for (number, (name, token)) in people.into_iter().enumerate() {
        let room_id = rooms[number % ROOMS].clone();
        must(http.post(format!("{v3}/join/{room_id}")).bearer_auth(&token).json(&json!({}))).await;
        senders.push(Sender { name, token, room_id });
    }
    senders
}

/// Sends one message after the other until told to end; an unanswered one again, under the same transaction id.
async fn send_on(
    http: reqwest::Client,
    base: String,
    sender: Sender,
    end: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    let mut number = 0;
    while !end.load(Ordering::SeqCst) {
        let Sender { name, token, room_id } = &sender;
        let url = format!("{base}/_matrix/client/v3/rooms/{room_id}/send/m.room.message/{name}-{number}");
        let body = json!({ "msgtype": "m.text", "body": format!("{name} {number}") });
        match call(http.put(url).bearer_auth(token).json(&body)).await {
            Some((200, answer)) => {
                acknowledged.insert(number, answer["event_id"].as_str().expect("an event id").to_owned());
                number += 1;
                count.fetch_add(1, Ordering::SeqCst);
            }
            Some((503, _)) => {}
            Some((status, answer)) => panic!("{name} {number}: {status} {answer}"),
            // Killed in the middle: nobody knows. The next one answers.
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    acknowledged
}

/// All messages of a room, oldest first: event id and text.
async fn read_room(http: &reqwest::Client, base: &str, sender: &Sender) -> Vec<(String, String)> {
    let mut messages = Vec::new();
    let mut from = String::new();
    loop {
        let room_id = &sender.room_id;
        let url = format!("{base}/_matrix/client/v3/rooms/{room_id}/messages?dir=f&limit=1000{from}");
        let page = must(http.get(url).bearer_auth(&sender.token)).await;
        for event in page["chunk"].as_array().expect("a list") {
            if event["type"] == "m.room.message" {
                let text = |value: &Value| value.as_str().expect("text").to_owned();
                messages.push((text(&event["event_id"]), text(&event["content"]["body"])));
            }
        }
        let Some(end) = page["end"].as_str() else { return messages };
        from.clear();
        write!(from, "&from={end}").expect("writes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_answered_is_lost_or_doubled() {
    let site = Site::new();
    let (mut binary, _) = site.start(site.command()).await;
    let (http, base) = (&site.http, &site.base);
    let senders = set_up(http, base).await;

    let (end, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let sending: Vec<_> = senders
        .iter()
        .map(|sender| {
            tokio::spawn(send_on(http.clone(), base.clone(), sender.clone(), Arc::clone(&end), Arc::clone(&count)))
        })
        .collect();
    let mut starts = Vec::new();
    for _ in 0..KILLS {
        // A random moment, but after some progress: a kill of an idle server proves nothing.
        let random = u64::from_be_bytes(homeserver::entropy::Entropy.bytes());
        let (progress, moment) = (count.load(Ordering::SeqCst), Duration::from_micros(random % 300_000));
        while count.load(Ordering::SeqCst) < progress + SENDERS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(moment).await;
        binary.kill();
        let time;
        (binary, time) = site.start(site.command()).await;
        starts.push(time);
    }
    end.store(true, Ordering::SeqCst);
    let mut acknowledged = BTreeMap::new();
    for (sender, task) in senders.iter().zip(sending) {
        acknowledged.insert(sender.name.clone(), task.await.expect("a sender ends"));
    }

    for sender in &senders[..ROOMS] {
        let messages = read_room(http, base, sender).await;
        check_room(&sender.room_id, &messages, &senders, &acknowledged);
        // The room goes on: state can change, messages can be sent.
        let room = format!("{base}/_matrix/client/v3/rooms/{}", sender.room_id);
        must(
            http.put(format!("{room}/state/m.room.topic"))
                .bearer_auth(&sender.token)
                .json(&json!({ "topic": "still here" })),
        )
        .await;
        let members = must(http.get(format!("{room}/joined_members")).bearer_auth(&sender.token)).await;
        assert_eq!(members["joined"].as_object().expect("members").len(), SENDERS / ROOMS);
    }
    let total: usize = acknowledged.values().map(BTreeMap::len).sum();
    starts.sort_unstable();
    println!(
        "{KILLS} kills, {total} messages answered, restart {:?} at the median, {:?} at most",
        starts[KILLS / 2],
        starts[KILLS - 1]
    );
    binary.kill();
}

/// Every answered message is there once, under the id that was answered, and each sender's are in order. One more of each
/// sender's may be there: the last, whose answer did not arrive.
fn check_room(
    room_id: &str,
    messages: &[(String, String)],
    senders: &[Sender],
    acknowledged: &BTreeMap<String, Acknowledged>,
) {
    for sender in senders.iter().filter(|sender| sender.room_id == room_id) {
        let prefix = format!("{} ", sender.name);
        let stored: Vec<_> = messages.iter().filter(|(_, text)| text.starts_with(&prefix)).collect();
        let expected = &acknowledged[&sender.name];
        assert!(
            (expected.len()..=expected.len() + 1).contains(&stored.len()),
            "{}: {} answered, {} stored",
            sender.name,
            expected.len(),
            stored.len()
        );
        for (number, (event_id, text)) in stored.iter().enumerate() {
            assert_eq!(*text, format!("{prefix}{number}"), "in order, each once");
            if let Some(answered) = expected.get(&number) {
                assert_eq!(answered, event_id, "under the id that was answered");
            }
        }
    }
}
