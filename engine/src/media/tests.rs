use std::collections::BTreeMap;

use journal::{ClassTable, MemoryJournal, Outcome, Retention};
use ruma::signatures::Ed25519KeyPair;
use ruma::{RoomVersionId, server_name, user_id};

use super::*;
use crate::{Decision, Server};

const LIFETIME_MS: u64 = 3_600_000;
const NOON: Timestamp = Timestamp::from_ms(1_800_000_000_000);

struct Fixture {
    journal: MemoryJournal,
    server: Server,
}

fn fixture(per_day: u64) -> Fixture {
    let lifetimes = [LIFETIME_MS, LIFETIME_MS, LIFETIME_MS, LIFETIME_MS, LIFETIME_MS, DAY_MS];
    let classes = ClassTable::new(600_000, lifetimes.map(|lifetime_ms| Retention { lifetime_ms }).to_vec());
    let server = Server {
        name: server_name!("localhost").to_owned(),
        signing_key: Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), "1".to_owned()).expect("a key"),
        default_room_version: RoomVersionId::V11,
        retention_ms: LIFETIME_MS,
        upload_size_max: 600,
        upload_per_day: per_day,
        registration_open: false,
        appservices: BTreeMap::new(),
        rates_enabled: false,
        webhooks: false,
    };
    Fixture { journal: MemoryJournal::for_tests(classes), server }
}

impl Fixture {
    fn at<T>(&self, now: Timestamp, f: impl FnOnce(&Cx<'_>) -> T) -> T {
        use journal::Journal as _;
        let view = self.journal.view(now);
        f(&Cx::new(&view, &self.server))
    }

    fn commit<T>(&self, decision: Decision<T>) -> Option<T> {
        match decision {
            Decision::Done(output) => Some(output),
            Decision::Commit { batch, output } => {
                matches!(self.journal.commit_now(batch).expect("commits"), Outcome::Committed(_)).then_some(output)
            }
        }
    }
}

fn upload(media_id: &str, size: u64, completed: Timestamp, reserved: bool) -> CompleteUpload {
    let file =
        StoredFile { object: "a/b".to_owned(), key: FileKey::new([1; 32]), size, content_type: None, file_name: None };
    CompleteUpload {
        user_id: user_id!("@ada:localhost").to_owned(),
        media_id: media_id.to_owned(),
        reserved,
        file,
        completed,
    }
}

fn reject<T>(result: Result<T, Stop>) -> Reject {
    match result {
        Err(Stop::Reject(reject)) => reject,
        Err(Stop::Read(error)) => panic!("{error}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn a_file_is_there_to_the_millisecond() {
    let fixture = fixture(1_000);
    // The row is written a while after the last byte was on disk; L counts from the byte.
    let command = upload("picture", 10, NOON, false);
    fixture.commit(fixture.at(NOON.plus_ms(5_000), |cx| complete_upload(cx, &command)).expect("accepted"));
    let expires = NOON.plus_ms(LIFETIME_MS);
    let look = |at, server: &str, media_id: &str| {
        fixture.at(at, |cx| media(cx, None, <&ServerName>::try_from(server).expect("a name"), media_id))
    };
    assert_eq!(
        look(expires.minus_ms(1), "localhost", "picture").expect("there"),
        Media::File { file: command.file, expires }
    );
    let gone = reject(look(expires, "localhost", "picture"));
    assert_eq!(gone, reject(look(NOON, "localhost", "never")), "alike");
    assert_eq!(gone, reject(look(NOON.plus_ms(5_000), "elsewhere", "picture")), "alike");
}

#[test]
fn a_day_is_any_24_hours() {
    let fixture = fixture(1_000);
    let user = user_id!("@ada:localhost");
    for (number, at) in [(0, NOON), (1, NOON.plus_ms(3_600_000))] {
        let command = upload(&format!("file{number}"), 400, at, false);
        fixture.commit(fixture.at(at, |cx| complete_upload(cx, &command)).expect("accepted"));
    }
    let later = NOON.plus_ms(7_200_000);
    assert_eq!(fixture.at(later, |cx| room_left(cx, user)).expect("reads"), 200);
    assert!(fixture.at(later, |cx| check_upload(cx, user, 200)).is_ok());
    let resets_at = |size| match reject(fixture.at(later, |cx| check_upload(cx, user, size))) {
        Reject::UserLimitExceeded { resets_at, .. } => resets_at,
        other => panic!("{other}"),
    };
    assert_eq!(resets_at(201), NOON.plus_ms(DAY_MS), "when the first has left");
    assert_eq!(resets_at(600), NOON.plus_ms(DAY_MS));
    assert!(matches!(reject(fixture.at(later, |cx| check_upload(cx, user, 601))), Reject::TooLarge(_)));
    assert!(fixture.at(NOON.plus_ms(DAY_MS).minus_ms(1), |cx| check_upload(cx, user, 201)).is_err());
    assert!(fixture.at(NOON.plus_ms(DAY_MS), |cx| check_upload(cx, user, 201)).is_ok());
}

#[test]
fn two_at_once_cannot_both_take_the_last_bytes() {
    let fixture = fixture(1_000);
    let (one, two) = (upload("one", 600, NOON, false), upload("two", 600, NOON, false));
    let first = fixture.at(NOON, |cx| complete_upload(cx, &one)).expect("accepted");
    let second = fixture.at(NOON, |cx| complete_upload(cx, &two)).expect("accepted: it has not seen the first");
    assert!(fixture.commit(first).is_some());
    assert!(fixture.commit(second).is_none(), "a conflict");
    assert!(matches!(reject(fixture.at(NOON, |cx| complete_upload(cx, &two))), Reject::UserLimitExceeded { .. }));
}

#[test]
fn a_promise_is_kept_once_and_by_who_made_it() {
    let fixture = fixture(1_000);
    let (ada, eve, here) = (user_id!("@ada:localhost"), user_id!("@eve:localhost"), server_name!("localhost"));
    fixture.commit(fixture.at(NOON, |cx| reserve(cx, ada, "later")).expect("accepted"));
    assert_eq!(fixture.at(NOON, |cx| media(cx, Some(ada), here, "later")).expect("there"), Media::Awaited);
    assert!(matches!(reject(fixture.at(NOON, |cx| check_reserved(cx, eve, here, "later"))), Reject::Forbidden(_)));
    assert!(fixture.at(NOON, |cx| check_reserved(cx, ada, here, "later")).is_ok());
    let command = upload("later", 5, NOON, true);
    fixture.commit(fixture.at(NOON, |cx| complete_upload(cx, &command)).expect("accepted"));
    assert_eq!(reject(fixture.at(NOON, |cx| complete_upload(cx, &command))), Reject::CannotOverwriteMedia);

    for number in 0..RESERVATIONS_MAX {
        fixture.commit(
            fixture.at(NOON, |cx| reserve(cx, ada, &format!("{number}"))).expect("accepted: the kept one does not count"),
        );
    }
    assert!(matches!(reject(fixture.at(NOON, |cx| reserve(cx, ada, "more"))), Reject::LimitExceeded { .. }));
    let lapsed = NOON.plus_ms(DAY_MS);
    assert!(matches!(reject(fixture.at(lapsed, |cx| check_reserved(cx, ada, here, "0"))), Reject::NotFound(_)));
    assert!(fixture.at(lapsed, |cx| reserve(cx, ada, "more")).is_ok());
}

#[test]
fn a_preview_lives_an_hour_and_no_longer_than_its_picture() {
    let fixture = fixture(1_000);
    let put = |media_id: Option<&str>, now: Timestamp| {
        let properties = serde_json::Map::from_iter([("og:title".to_owned(), "A page".into())]);
        let media_id = media_id.map(ToOwned::to_owned);
        let command = PutPreview { address: "https://example.org/".to_owned(), properties, media_id };
        fixture.commit(fixture.at(now, |cx| put_preview(cx, &command)).expect("decides")).expect("commits");
    };
    let known = |now: Timestamp| fixture.at(now, |cx| preview(cx, "https://example.org/")).expect("reads").is_some();
    assert!(!known(NOON));
    put(None, NOON);
    assert!(known(NOON) && known(NOON.plus_ms(3_599_999)) && !known(NOON.plus_ms(3_600_000)));
    assert!(fixture.at(NOON, |cx| preview(cx, "https://example.org/other")).expect("reads").is_none());

    let later = NOON.plus_ms(600_000);
    let picture = fixture.at(NOON, |cx| complete_upload(cx, &upload("picture", 10, NOON, false))).expect("decides");
    fixture.commit(picture).expect("commits");
    put(Some("picture"), later);
    assert!(known(NOON.plus_ms(LIFETIME_MS - 1)) && !known(NOON.plus_ms(LIFETIME_MS)), "the picture's end");
}
