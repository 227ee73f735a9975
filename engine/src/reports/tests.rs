use ruma::{event_id, room_id, user_id};

use super::*;
use crate::{
    tables::UserKind,
    testing::{LIFETIME_MS, Person, World},
};

fn world() -> (World, Person, Person) {
    let world = World::new();
    let (ada, eve) = (world.user("ada", UserKind::Plain, "DEVICE"), world.user("eve", UserKind::Plain, "DEVICE"));
    (world, ada, eve)
}

fn send(world: &World, reporter: &Person, reported: &Reported, reason: &str) -> Result<(), Reject> {
    let command = Report { reporter: reporter.requester(), reported: reported.clone(), reason: reason.to_owned() };
    world.run(|cx| report(cx, &command))
}

fn all(world: &World) -> Vec<ReportRow> {
    world.read(reports).expect("reads")
}

#[test]
fn the_operator_reads_reports_for_as_long_as_they_live() {
    let (world, ada, eve) = world();
    let room_id = world.room(&ada, &[]);
    let event_id = world.say(&ada, &room_id, "content that no report may hold");
    let event = Reported::Event { room_id: room_id.clone(), event_id };
    send(&world, &ada, &event, "rude").expect("kept");
    world.advance(1);
    let user = Reported::User { user_id: eve.user_id.clone() };
    send(&world, &ada, &user, "").expect("kept");
    let kept = all(&world);
    let kept_of: Vec<_> = kept.iter().map(|row| (&row.reporter, &row.reported, row.reason.as_str())).collect();
    assert_eq!(kept_of, [(&ada.user_id, &event, "rude"), (&ada.user_id, &user, "")]);
    assert!(!serde_json::to_string(&kept).expect("JSON").contains("no report may hold"));
    world.advance(LIFETIME_MS);
    assert!(all(&world).is_empty(), "gone with everything else of its time");
}

#[test]
fn reports_tell_nothing_of_what_exists() {
    let (world, ada, eve) = world();
    let room_id = world.room(&ada, &[]);
    let event_id = world.say(&ada, &room_id, "unseen");
    for reported in [
        Reported::Event { room_id: room_id.clone(), event_id: event_id.clone() },
        Reported::Event { room_id: room_id.clone(), event_id: event_id!("$never:example.org").to_owned() },
        Reported::Event { room_id: room_id!("!never:example.org").to_owned(), event_id },
    ] {
        let sentence = Reject::not_found("there is no such event, or you are not in its room");
        assert_eq!(send(&world, &eve, &reported, ""), Err(sentence), "{reported:?}");
    }
    for reported in [
        Reported::Room { room_id },
        Reported::Room { room_id: room_id!("!never:example.org").to_owned() },
        Reported::User { user_id: ada.user_id.clone() },
        Reported::User { user_id: user_id!("@never:example.org").to_owned() },
    ] {
        assert_eq!(send(&world, &eve, &reported, ""), Ok(()), "{reported:?}");
    }
}

#[test]
fn reports_are_bounded() {
    let (world, ada, eve) = world();
    let reported = Reported::User { user_id: eve.user_id.clone() };
    assert!(matches!(send(&world, &ada, &reported, &"x".repeat(5_000)), Err(Reject::TooLarge(_))));
    for _ in 0..REPORTS_MAX {
        send(&world, &ada, &reported, "again").expect("kept");
    }
    assert!(matches!(send(&world, &ada, &reported, "again"), Err(Reject::LimitExceeded { .. })));
    assert_eq!(send(&world, &eve, &Reported::User { user_id: ada.user_id.clone() }, ""), Ok(()), "others still can");
    world.advance(LIFETIME_MS);
    assert_eq!(send(&world, &ada, &reported, "again"), Ok(()));
}
