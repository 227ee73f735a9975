//! The real binary with a very short L, killed while things expire all the time: whatever is answered is young, and whatever is young
//! is answered. At the end the command says that nothing old is on the disk.

use std::process::{Command, Output};
use std::time::Duration;

use homeserver::clock::Clock;
use serde_json::{Value, json};

use crate::support::binary::Site;

const LIFETIME_MS: u64 = 3_000;
const KILLS: usize = 8;

/// An answer may be on its way for this long.
const MARGIN_MS: u64 = 2_000;

fn command(site: &Site) -> Command {
    let mut command = site.command();
    command
        .env("VESTIBULE_RETENTION__LIFETIME", "3s")
        .env("VESTIBULE_RETENTION__SLOT", "1s")
        .env("VESTIBULE_RETENTION__SWEEP", "200ms");
    command
}

async fn pause(ms: u64) {
    tokio::time::sleep_until(Clock::system().deadline(Duration::from_millis(ms))).await;
}

async fn must(request: reqwest::RequestBuilder) -> Value {
    let response = request.send().await.expect("an answer");
    let status = response.status();
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(status, 200, "{body}");
    body
}

fn now_ms() -> u64 {
    Clock::system().now().as_ms()
}

/// Numbers of the messages in the room, with when they came.
async fn messages(http: &reqwest::Client, base: &str, room: &str, token: &str) -> Vec<(u64, u64)> {
    let (mut messages, mut from) = (Vec::new(), String::new());
    loop {
        let url = format!("{base}/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=1000{from}");
        let page = must(http.get(url).bearer_auth(token)).await;
        let events = page["chunk"].as_array().expect("a list").iter();
        messages.extend(events.filter_map(|event| {
            let number = event["content"]["body"].as_str()?.strip_prefix("canary number ")?.parse().ok()?;
            Some((number, event["origin_server_ts"].as_u64()?))
        }));
        let Some(end) = page["end"].as_str() else { return messages };
        from = format!("&from={end}");
    }
}

fn prove(site: &Site, words: &str) -> Output {
    command(site).args(["--json", "retention", "prove", "--text", words]).output().expect("the command runs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_things_expire_it_shows_the_young_and_nothing_else() {
    let site = Site::new();
    let (mut binary, _) = site.start(command(&site)).await;
    let (http, base) = (&site.http, &site.base);
    let v3 = format!("{base}/_matrix/client/v3");
    let body = json!({ "username": "ada", "password": "long enough a password", "auth": { "type": "m.login.dummy" } });
    let token =
        must(http.post(format!("{v3}/register")).json(&body)).await["access_token"].as_str().expect("a token").to_owned();
    let room = must(http.post(format!("{v3}/createRoom")).bearer_auth(&token).json(&json!({}))).await["room_id"].clone();
    let room = room.as_str().expect("a room").to_owned();
    // Numbers that were answered, and when at the latest they came.
    let (mut answered, mut number) = (Vec::<(u64, u64)>::new(), 0);
    for _ in 0..KILLS {
        let random = u64::from_be_bytes(homeserver::entropy::Entropy.bytes());
        let until = now_ms() + 300 + random % 900;
        while now_ms() < until {
            let url = format!("{v3}/rooms/{room}/send/m.room.message/{number}");
            let body = json!({ "msgtype": "m.text", "body": format!("canary number {number}") });
            must(http.put(url).bearer_auth(&token).json(&body)).await;
            answered.push((number, now_ms()));
            number += 1;
        }
        binary.kill();
        (binary, _) = site.start(command(&site)).await;
        let asked = now_ms();
        let seen = messages(http, base, &room, &token).await;
        let got = now_ms();
        for (number, came) in &seen {
            assert!(came + LIFETIME_MS > asked, "{number} came at {came}, it was shown at {asked}");
        }
        for (number, came) in &answered {
            // It came before it was answered, by less than the margin.
            let is_young = came.saturating_sub(MARGIN_MS) + LIFETIME_MS > got;
            assert!(
                !is_young || seen.iter().any(|(other, _)| other == number),
                "{number} came at {came}, it was missing at {got}"
            );
        }
    }
    let (first, last) = (prove(&site, "canary number 0\""), answered.last().expect("one").0);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stdout));
    // Through the running server, then without one, when the last one has expired too.
    let done = now_ms() + LIFETIME_MS + 1_000;
    while now_ms() < done {
        pause(50).await;
    }
    binary.kill();
    let words = format!("canary number {last}\"");
    let (binary, _) = site.start(command(&site)).await;
    let stopwatch = Clock::system().stopwatch();
    let mut report = prove(&site, &words);
    while report.status.code() == Some(2) && stopwatch.elapsed() < Duration::from_secs(20) {
        pause(100).await;
        report = prove(&site, &words);
    }
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stdout));
    binary.kill();
    let report = prove(&site, "canary number");
    let answer: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    assert!(report.status.success() && answer["gone"] == true && answer["values"].as_u64() > Some(10), "{answer}");
    let found = prove(&site, "@ada:localhost");
    assert_eq!(found.status.code(), Some(2), "what is there is found");
}
