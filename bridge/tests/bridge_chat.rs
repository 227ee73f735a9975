//! The whole way: a person's encrypted message becomes a ticket, an agent's answer reaches the person.

mod bench;

use bench::{Bench, until};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_from_the_first_word_to_its_end() {
    let mut bench = Bench::start("").await;
    let mut ada = bench.person("ada").await;
    let ana = bench.agent("Ana").await;

    let room = ada.chat().await;
    ada.until_support_appears("offline").await;
    ana.duty(true).await;
    ada.until_support_appears("online").await;

    ada.say(&room, "Hello, my camera stays dark.").await;
    let ticket = ana.find("ada").await;
    assert_eq!(ana.texts(ticket).await, ["Hello, my camera stays dark."]);

    ana.answer(ticket, "Hello Ada. Which browser is it?").await;
    ana.answer(ticket, "And which system?\nWindows?").await;
    let heard = ada.until_heard(&room, 2).await;
    assert_eq!(heard, ["Hello Ada. Which browser is it?", "And which system?\nWindows?"]);
    let (_, sender, content) = &ada.heard[0];
    assert_eq!(sender, bench::SUPPORT);
    assert_eq!(content["vestibule.agent"]["name"], "Ana");

    ada.say(&room, "Firefox").await;
    until("the second message", || async { (ana.texts(ticket).await.len() == 2).then_some(()) }).await;

    ana.close(ticket).await;
    let heard = ada.until_heard(&room, 3).await;
    assert_eq!(heard[2], "Ana has ended this chat.");
    assert_eq!(ada.heard[2].2["vestibule.support"]["state"], "closed");
    ada.until_support_is(&room, "leave").await;
    let refused =
        ana.call(Method::POST, &format!("tickets/{ticket}/answers"), Some(&json!({"key": "k", "text": "x"}))).await;
    assert_eq!(refused.0, 409);

    // Another chat is another ticket.
    let room = ada.chat().await;
    ada.say(&room, "It works now, thank you!").await;
    let second = ana.find("ada").await;
    assert_ne!(second, ticket);

    ana.duty(false).await;
    ada.until_support_appears("offline").await;
    assert!(bench.bridge.terminate().await, "SIGTERM ends it well");
    let log = bench.bridge.log();
    for secret in ["camera", "Firefox", "browser", "Ada", "ada", "Ana", bench::PASSWORD] {
        assert!(!log.contains(secret), "the log says {secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_sees_that_the_other_is_typing() {
    let bench = Bench::start("").await;
    let mut ada = bench.person("ada").await;
    let ana = bench.agent("Ana").await;
    let room = ada.chat().await;
    ada.say(&room, "Hello").await;
    let ticket = ana.find("ada").await;
    let typing = async |expected: bool| {
        until("the desk knows who types", || async { (ana.ticket(ticket).await["typing"] == expected).then_some(()) }).await;
    };
    typing(false).await;
    ada.types(&room, true).await;
    typing(true).await;
    ada.types(&room, false).await;
    typing(false).await;

    ana.types(ticket, true).await;
    ada.until_support_types(&room, true).await;
    ana.answer(ticket, "Hello Ada").await;
    ada.until_support_types(&room, false).await;
    assert_eq!(ada.until_heard(&room, 1).await, ["Hello Ada"]);
    // A page that is gone does not say that its agent has stopped.
    ana.types(ticket, true).await;
    ada.until_support_types(&room, true).await;
    ada.until_support_types(&room, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_left_while_nobody_is_there_is_answered_later() {
    let bench = Bench::start("").await;
    let mut ada = bench.person("ada").await;
    let room = ada.chat().await;
    ada.say(&room, "Please call me back.").await;
    let ana = bench.agent("Ana").await;
    let ticket = ana.find("ada").await;
    assert_eq!(ana.ticket(ticket).await["left_message"], true);
    ana.answer(ticket, "We are here now.").await;
    assert_eq!(ada.until_heard(&room, 1).await, ["We are here now."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_arrive_decrypted_and_what_is_taken_back_is_gone() {
    let bench = Bench::start("").await;
    let mut ada = bench.person("ada").await;
    let ana = bench.agent("Ana").await;
    let room = ada.chat().await;
    let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let file = ada.send_file(&room, "röntgen.txt", &bytes).await;
    let ticket = ana.find("ada").await;
    // The ticket is there a moment before what opened it.
    let entry = until("the file", || async { ana.ticket(ticket).await["entries"].get(0).cloned() }).await;
    assert_eq!(entry["file"]["name"], "röntgen.txt", "{entry}");
    assert_eq!(ana.download(entry["id"].as_i64().unwrap()).await, bytes);

    let slip = ada.say(&room, "my password is hunter2").await;
    until("the text", || async { (ana.ticket(ticket).await["entries"].as_array()?.len() == 2).then_some(()) }).await;
    ada.take_back(&room, &slip).await;
    ada.take_back(&room, &file).await;
    until("nothing", || async { ana.ticket(ticket).await["entries"].as_array()?.is_empty().then_some(()) }).await;
    assert_eq!(std::fs::read_dir(bench.bridge.data().join("files")).unwrap().count(), 0, "the file is gone from disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_key_comes_late_is_read_when_it_comes() {
    let bench = Bench::start("").await;
    let mut ada = bench.person("ada").await;
    let ana = bench.agent("Ana").await;
    let room = ada.chat().await;
    let message = ada.encrypt(&room, &json!({"msgtype": "m.text", "body": "first"}), false).await;
    ada.send_encrypted(&room, &message).await;
    // Both sides are told after a while, and nothing is dropped.
    let heard = ada.until_heard(&room, 1).await;
    assert_eq!(heard, ["Support could not read your last message. Please send it again."]);
    let queue = until("a ticket", || async { ana.queue().await.into_iter().next() }).await;
    let ticket = queue["id"].as_i64().unwrap();
    until("the note", || async { ana.notes(ticket).await.first().map(|note| assert!(note.contains("can't be read"))) })
        .await;
    assert!(ana.texts(ticket).await.is_empty());
    ada.share_withheld().await;
    until("the message", || async { (ana.texts(ticket).await == ["first"]).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_the_clear_is_read_or_written() {
    let bench = Bench::start("").await;
    let mut ada = bench.person("ada").await;
    let ana = bench.agent("Ana").await;
    let room = ada.chat().await;
    ada.send_plain(&room, "in the clear").await;
    let heard = ada.until_heard(&room, 1).await;
    assert_eq!(heard, ["Support could not read your last message. Please send it again."]);
    let queue = until("a ticket", || async { ana.queue().await.into_iter().next() }).await;
    let ticket = ana.ticket(queue["id"].as_i64().unwrap()).await;
    assert!(!ticket.to_string().contains("in the clear"));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_person_leaves_the_ticket_closes_and_answers_are_marked_undelivered() {
    let bench = Bench::start("").await;
    let mut ada = bench.person("ada").await;
    let ana = bench.agent("Ana").await;
    let room = ada.chat().await;
    ada.say(&room, "Never mind.").await;
    let ticket = ana.find("ada").await;
    ada.leave(&room).await;
    until("it is closed", || async { (ana.ticket(ticket).await["closed"] == true).then_some(()) }).await;
    assert_eq!(ana.notes(ticket).await, ["The person has left the chat."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desk_is_for_agents_only() {
    let bench = Bench::start("").await;
    let desk = &bench.bridge.desk;
    let http = reqwest::Client::new();
    let page = http.get(desk).send().await.unwrap();
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    for path in ["session", "tickets", "tickets/1", "files/1", "events"] {
        assert_eq!(http.get(format!("{desk}/api/{path}")).send().await.unwrap().status(), 401, "{path}");
    }
    let wrong = json!({"name": "Eve", "password": "guess"});
    assert_eq!(http.post(format!("{desk}/api/session")).json(&wrong).send().await.unwrap().status(), 403);
    let nameless = json!({"name": "  ", "password": bench::PASSWORD});
    assert_eq!(http.post(format!("{desk}/api/session")).json(&nameless).send().await.unwrap().status(), 422);
}
