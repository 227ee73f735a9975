use super::*;
use crate::{
    desk::{Reply, ReplyKind},
    seal::{RootKey, Sealer},
};

const HOUR: Millis = 3_600_000;
const ROOM: &str = "!r:x";

fn store(folder: &std::path::Path) -> Store {
    let root_key = RootKey::read_or_make(&folder.join("root")).unwrap();
    let sealer = Sealer::open(&folder.join("keyring"), &root_key, 1000).unwrap();
    Store::new(Database::open(&folder.join("bridge.sqlite3"), sealer, MIGRATIONS).unwrap(), 24 * HOUR)
}

fn event(event_id: &str, at_ms: Millis) -> WaitingEvent {
    WaitingEvent {
        event_id: event_id.to_owned(),
        room_id: ROOM.to_owned(),
        sender: "@a:x".to_owned(),
        at_ms,
        received_ms: at_ms,
        json: format!("{{\"event_id\":\"{event_id}\"}}"),
    }
}

fn message(text: &str) -> Option<PostBody> {
    Some(PostBody::Message { name: "Ada".to_owned(), text: text.to_owned() })
}

fn joined() -> Vec<RoomChange> {
    vec![
        RoomChange::Own { room_id: ROOM.to_owned(), membership: Membership::Join },
        RoomChange::Member {
            room_id: ROOM.to_owned(),
            user_id: "@a:x".to_owned(),
            membership: "join".to_owned(),
            display_name: Some("Ada".to_owned()),
        },
    ]
}

/// A transaction with these events, kept and consumed.
async fn take(store: &Store, txn_id: &str, changes: Vec<RoomChange>, events: Vec<WaitingEvent>, now: Millis) {
    assert!(store.keep_transaction(txn_id.to_owned(), "{}".into(), now).await.unwrap());
    let received = store.next_transaction().await.unwrap().unwrap();
    store.consume_transaction(received.seq, changes, events, Vec::new(), now).await.unwrap();
}

/// An event read as this text.
async fn read_first(store: &Store, text: &str, now: Millis) {
    let waiting = store.waiting_events(now).await.unwrap();
    store.event_read(&waiting[0], message(text)).await.unwrap();
}

#[tokio::test]
async fn a_transaction_is_kept_once_and_worked_on_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path());
    assert!(kept.keep_transaction("1".to_owned(), "{\"a\":1}".into(), 5).await.unwrap());
    assert!(kept.keep_transaction("2".to_owned(), "{\"a\":2}".into(), 6).await.unwrap());
    assert!(!kept.keep_transaction("1".to_owned(), "{\"a\":3}".into(), 7).await.unwrap());
    drop(kept);
    let reopened = store(folder.path());
    let first = reopened.next_transaction().await.unwrap().unwrap();
    assert_eq!((&first.body[..], first.received_ms), (&b"{\"a\":1}"[..], 5));
    reopened.consume_transaction(first.seq, Vec::new(), Vec::new(), Vec::new(), 8).await.unwrap();
    let second = reopened.next_transaction().await.unwrap().unwrap();
    assert_eq!(&second.body[..], b"{\"a\":2}");
    reopened.consume_transaction(second.seq, Vec::new(), Vec::new(), Vec::new(), 8).await.unwrap();
    assert!(reopened.next_transaction().await.unwrap().is_none());
    assert!(!reopened.keep_transaction("1".to_owned(), "{}".into(), 9).await.unwrap(), "its id is remembered");
}

#[tokio::test]
async fn an_event_becomes_one_post_however_often_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    take(&store, "1", joined(), vec![event("$1", 10), event("$2", 11)], 12).await;
    take(&store, "2", Vec::new(), vec![event("$1", 10)], 13).await;
    let waiting = store.waiting_events(14).await.unwrap();
    assert_eq!(waiting.len(), 2);
    for _ in 0..2 {
        store.event_read(&waiting[0], message("one")).await.unwrap();
        store.event_read(&waiting[1], message("two")).await.unwrap();
    }
    take(&store, "3", Vec::new(), vec![event("$1", 10)], 15).await;
    assert!(store.waiting_events(16).await.unwrap().is_empty());

    let due = store.posts_due(16).await.unwrap();
    assert_eq!((due.len(), due[0].key.as_str()), (1, "$1"), "one at a time in a conversation");
    store.post_delayed(due[0].post_id, 100).await.unwrap();
    assert!(store.posts_due(99).await.unwrap().is_empty(), "the second waits for the first");
    store.post_done(due[0].post_id).await.unwrap();
    assert_eq!(store.posts_due(99).await.unwrap()[0].key, "$2");
}

#[tokio::test]
async fn replies_and_the_cursor_are_kept_together_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    take(&store, "1", joined(), vec![event("$1", 10)], 12).await;
    read_first(&store, "one", 13).await;
    let post = &store.posts_due(14).await.unwrap()[0];
    store.ticket_opened(post.conversation_id, "T1".to_owned()).await.unwrap();
    let reply = |ticket: &str, reply: &str| Reply {
        reply: reply.to_owned(),
        ticket: ticket.to_owned(),
        at_ms: 20,
        kind: ReplyKind::Message { agent: "Ana".to_owned(), text: "hello".to_owned() },
    };
    let replies = || vec![reply("T1", "7"), reply("elsewhere", "8"), reply("T1", "9")];
    assert_eq!(store.keep_replies(replies(), "9".to_owned()).await.unwrap(), 2);
    store.keep_replies(replies(), "9".to_owned()).await.unwrap();
    assert_eq!(store.cursor().await.unwrap(), "9");
    let due = store.replies_due(21).await.unwrap();
    assert_eq!((due.len(), due[0].key.as_str(), due[0].room_id.as_str()), (1, "desk:7", ROOM));
    store.reply_done(due[0].reply_id).await.unwrap();
    let due = store.replies_due(21).await.unwrap();
    assert_eq!(due[0].key, "desk:9");
    store.reply_done(due[0].reply_id).await.unwrap();
    assert!(store.replies_due(21).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_closed_chat_is_followed_by_another_conversation() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    take(&store, "1", joined(), vec![event("$1", 10)], 12).await;
    read_first(&store, "one", 13).await;
    let first = store.posts_due(14).await.unwrap()[0].conversation_id;
    store.conversation_over(ROOM.to_owned(), PostBody::Over { text: "left".to_owned() }, 15).await.unwrap();
    take(&store, "2", Vec::new(), vec![event("$2", 16)], 16).await;
    read_first(&store, "two", 17).await;
    let second = store.posts_due(18).await.unwrap().into_iter().find(|post| post.key == "$2").unwrap();
    assert_ne!(second.conversation_id, first);
}

#[tokio::test]
async fn an_invitation_seen_late_does_not_undo_the_join_and_a_left_room_can_be_joined_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let own = |membership| vec![RoomChange::Own { room_id: ROOM.to_owned(), membership }];
    store.change_rooms(joined(), 1).await.unwrap();
    store.change_rooms(vec![RoomChange::Loaded { room_id: ROOM.to_owned() }], 1).await.unwrap();
    store.change_rooms(own(Membership::Invite), 2).await.unwrap();
    let room = store.room(ROOM.to_owned()).await.unwrap().unwrap();
    assert!(room.membership == Membership::Join && room.state_loaded && room.has_company());
    assert_eq!(room.name_of("@a:x"), Some("Ada"));
    store.change_rooms(own(Membership::Leave), 3).await.unwrap();
    store.change_rooms(own(Membership::Invite), 4).await.unwrap();
    let room = &store.rooms_to_settle().await.unwrap()[0];
    assert!(room.membership == Membership::Invite && !room.state_loaded && !room.has_company());
}

#[tokio::test]
async fn what_has_expired_is_gone_and_a_shorter_room_expires_sooner() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut changes = joined();
    changes.push(RoomChange::Lifetime { room_id: ROOM.to_owned(), lifetime_ms: Some(HOUR) });
    take(&store, "1", changes, vec![event("$1", 10)], 12).await;
    let longer = RoomChange::Lifetime { room_id: ROOM.to_owned(), lifetime_ms: Some(999 * HOUR) };
    take(&store, "2", vec![longer], vec![event("$2", 10)], 12).await;
    let waiting = store.waiting_events(13).await.unwrap();
    assert_eq!(waiting[0].expires_ms, 10 + HOUR, "a room may shorten");
    assert_eq!(waiting[1].expires_ms, 10 + 24 * HOUR, "but never lengthen");
    read_first(&store, "one", 14).await;
    let post = &store.posts_due(15).await.unwrap()[0];
    store.ticket_opened(post.conversation_id, "T1".to_owned()).await.unwrap();

    assert!(store.erasures_due(9 + HOUR).await.unwrap().is_empty());
    let now = 10 + HOUR;
    assert_eq!(store.erasures_due(now).await.unwrap(), ["T1"]);
    store.expire(now).await.unwrap();
    assert!(store.posts_due(now).await.unwrap().is_empty(), "not even what was not delivered");
    assert_eq!(store.erasures_due(now).await.unwrap(), ["T1"], "until the helpdesk has erased it");
    store.erased("T1".to_owned(), now, 3, now).await.unwrap();
    assert!(store.erasures_due(now).await.unwrap().is_empty());
}

#[tokio::test]
async fn nothing_a_person_wrote_is_readable_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut secret = event("$1", 10);
    secret.json = "{\"body\":\"xylophone\"}".to_owned();
    take(&store, "1", joined(), vec![secret], 12).await;
    read_first(&store, "xylophone", 13).await;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(9).any(|window| window == b"xylophone"));
    }
}
