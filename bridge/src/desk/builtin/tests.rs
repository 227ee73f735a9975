use super::*;
use crate::{
    clock::now_ms,
    desk::{Attachment, Author, Availability, Erasure, Helpdesk as _, Message, Opening, ReplyKind},
    seal::{RootKey, Sealer},
};

const HOUR: Millis = 3_600_000;

fn desk(folder: &std::path::Path) -> Desk {
    let root_key = RootKey::read_or_make(&folder.join("root")).unwrap();
    let sealer = Sealer::open(&folder.join("keyring"), &root_key, 1000).unwrap();
    let database = Database::open(&folder.join("desk.sqlite3"), sealer, MIGRATIONS).unwrap();
    std::fs::create_dir_all(folder.join("files")).unwrap();
    Desk::new(database, folder.join("files"), 24 * HOUR, Arc::new(Notify::new()))
}

fn opening(key: &str) -> Opening {
    let now = now_ms();
    Opening { key: key.to_owned(), opened_ms: now, contact: "Ada".to_owned(), contact_expires_ms: now + HOUR }
}

fn message(key: &str, text: &str) -> Message {
    let now = now_ms();
    let author = Author::Person("Ada".to_owned());
    Message { key: key.to_owned(), author, text: text.to_owned(), at_ms: now, expires_ms: now + HOUR }
}

async fn texts(desk: &Desk, ticket: &str) -> Vec<String> {
    let ticket = desk.ticket(ticket.parse().unwrap()).await.unwrap().unwrap();
    ticket.entries.into_iter().map(|entry| entry.text).collect()
}

#[tokio::test]
async fn a_repetition_has_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk(folder.path());
    let ticket = desk.open(opening("k")).await.unwrap();
    assert_eq!(desk.open(opening("k")).await.unwrap(), ticket);
    assert_ne!(desk.open(opening("other")).await.unwrap(), ticket);
    for _ in 0..2 {
        desk.append(&ticket, message("$1", "one")).await.unwrap();
        desk.append(&ticket, message("$2", "two")).await.unwrap();
    }
    assert_eq!(texts(&desk, &ticket).await, ["one", "two"]);
}

#[tokio::test]
async fn what_agents_do_is_read_in_order_from_any_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk(folder.path());
    let ticket = desk.open(opening("k")).await.unwrap();
    desk.append(&ticket, message("$1", "one")).await.unwrap();
    let id = ticket.parse().unwrap();
    desk.see(id, "Ana".to_owned()).await.unwrap();
    desk.see(id, "Bob".to_owned()).await.unwrap();
    let answer = Answer { key: "a".to_owned(), agent: "Ana".to_owned(), text: "hello".to_owned() };
    assert!(desk.answer(id, answer.clone()).await.unwrap());
    assert!(desk.answer(id, answer.clone()).await.unwrap());
    assert!(desk.end(id, "Ana".to_owned()).await.unwrap());
    assert!(desk.end(id, "Ana".to_owned()).await.unwrap());
    assert!(!desk.answer(id, Answer { key: "b".to_owned(), ..answer }).await.unwrap(), "it has ended");

    let (replies, cursor) = desk.replies("", 100).await.unwrap();
    let kinds: Vec<ReplyKind> = replies.iter().map(|reply| reply.kind.clone()).collect();
    let agent = "Ana".to_owned();
    assert_eq!(
        kinds,
        [
            ReplyKind::Seen { key: "$1".to_owned() },
            ReplyKind::Message { agent: agent.clone(), text: "hello".to_owned() },
            ReplyKind::Closed { agent: Some(agent) },
        ]
    );
    let (first, after_first) = desk.replies("", 1).await.unwrap();
    assert_eq!(first[0].reply, replies[0].reply);
    assert_eq!(desk.replies(&after_first, 100).await.unwrap().0.len(), 2);
    assert_eq!(desk.replies(&cursor, 100).await.unwrap(), (Vec::new(), cursor));
}

#[tokio::test]
async fn availability_is_an_agent_on_duty() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk(folder.path());
    assert_eq!(desk.availability().await.unwrap(), Availability::Offline);
    desk.sign_in("cookie".to_owned(), "Ana".to_owned()).await.unwrap();
    assert_eq!(desk.availability().await.unwrap(), Availability::Offline);
    desk.set_duty("Ana".to_owned(), true).await.unwrap();
    assert_eq!(desk.availability().await.unwrap(), Availability::Online);
    assert!(desk.agent_of("cookie".to_owned()).await.unwrap().unwrap().on_duty);
    assert!(desk.agent_of("guess".to_owned()).await.unwrap().is_none());
    desk.sign_out("cookie".to_owned()).await.unwrap();
    assert_eq!(desk.availability().await.unwrap(), Availability::Offline);
    assert!(desk.agent_of("cookie".to_owned()).await.unwrap().is_none());
}

#[tokio::test]
async fn erasing_takes_what_expired_or_the_one_message_and_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk(folder.path());
    let ticket = desk.open(opening("k")).await.unwrap();
    let now = now_ms();
    let file = |key: &str, expires_ms| Attachment {
        key: key.to_owned(),
        person: "Ada".to_owned(),
        name: "scan.png".to_owned(),
        media_type: "image/png".to_owned(),
        bytes: "bytes of the file".into(),
        at_ms: now,
        expires_ms,
    };
    desk.attach(&ticket, file("$file", now + HOUR)).await.unwrap();
    desk.attach(&ticket, file("$later", now + 3 * HOUR)).await.unwrap();
    desk.append(&ticket, message("$1", "one")).await.unwrap();
    let entry = desk.ticket(ticket.parse().unwrap()).await.unwrap().unwrap().entries[0].id;
    let (info, bytes) = desk.file(entry).await.unwrap().unwrap();
    assert_eq!((info.name.as_str(), bytes.as_slice()), ("scan.png", &b"bytes of the file"[..]));
    let files = || std::fs::read_dir(folder.path().join("files")).unwrap().count();
    assert_eq!(files(), 2);

    assert_eq!(desk.erase(&ticket, Erasure::Expired(now)).await.unwrap(), 0);
    assert_eq!(desk.erase(&ticket, Erasure::One("$1".to_owned())).await.unwrap(), 1);
    assert_eq!(desk.erase(&ticket, Erasure::Expired(now + 2 * HOUR)).await.unwrap(), 1);
    assert_eq!(files(), 1);
    assert!(desk.file(entry).await.unwrap().is_none());
    assert_eq!(desk.erase(&ticket, Erasure::Expired(now + 4 * HOUR)).await.unwrap(), 1);
    let left = desk.ticket(ticket.parse().unwrap()).await.unwrap().unwrap();
    assert!(left.entries.is_empty() && left.summary.contact.is_none() && files() == 0);
}

#[tokio::test]
async fn typing_is_shown_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk(folder.path());
    let ticket = desk.open(opening("k")).await.unwrap();
    let id: i64 = ticket.parse().unwrap();
    let shown = async || desk.ticket(id).await.unwrap().unwrap().typing;
    let mut changes = desk.watch();
    assert!(!shown().await);
    desk.person_typing(&ticket, true).await.unwrap();
    assert!(shown().await && changes.has_changed().unwrap());
    changes.mark_unchanged();
    desk.person_typing(&ticket, true).await.unwrap();
    assert!(!changes.has_changed().unwrap(), "no news");
    desk.person_typing(&ticket, false).await.unwrap();
    assert!(!shown().await);
    assert!(desk.agents_typing().is_empty());
    desk.agent_types(id, true);
    assert_eq!(desk.agents_typing().into_iter().collect::<Vec<_>>(), [ticket.clone()]);
    desk.agent_types(id, false);
    assert!(desk.agents_typing().is_empty());
}

#[tokio::test]
async fn what_has_expired_is_not_shown_even_before_it_is_erased() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk(folder.path());
    let ticket = desk.open(opening("k")).await.unwrap();
    let mut old = message("$old", "old");
    old.expires_ms = now_ms() - 1;
    desk.append(&ticket, old).await.unwrap();
    desk.append(&ticket, message("$new", "new")).await.unwrap();
    assert_eq!(texts(&desk, &ticket).await, ["new"]);
    let queue = desk.queue().await.unwrap();
    assert_eq!((queue[0].unseen, queue[0].waiting), (1, true));
}
