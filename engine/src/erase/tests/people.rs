//! Hosts and participants, whom the platform names.

use ruma::user_id;

use super::*;
use crate::platform::tests as clinic;

/// And what the platform is told, and when counts fall: both expire as well.
fn told_to_the_platform() -> BTreeSet<u16> {
    let more = [tables::WEBHOOK_EVENTS.info().id, tables::WAITING.info().id, tables::UNREAD_ENDS.info().id];
    told().into_iter().chain(more).collect()
}

/// A session without anybody yet.
fn put_empty(cx: &Cx<'_>) -> Decided<()> {
    let ends_at = cx.now().plus_ms(3_600_000);
    let command =
        platform::PutSession { session: "visit-2".to_owned(), host: "ada".to_owned(), invitees: Vec::new(), ends_at };
    Ok(platform::put_session(cx, &command)?.map(drop))
}

#[test]
fn participants_go_whole_when_their_session_has_been_over_for_l() {
    let world = World::new();
    clinic::organization(&world, "acme", &[("North", true)]);
    let host = clinic::put_host_named(&world, "ada", "acme", "North", "Ada Byron").unwrap().user_id;
    let put = clinic::session(&world, "visit-1", "ada", &["guest-1"]).unwrap();
    let guest = put.participants["guest-1"].0.clone();
    let (host, guest) = (world.device(&host, "H"), world.device(&guest, "G"));
    let room_id = world.room(&host, &[&guest]);
    world.member(&guest, &room_id, Action::Join);
    world.say(&guest, &room_id, "thank you, doctor");
    // What was said has expired by then; state lasts.
    crate::testing::state(&world, &host, &room_id, "m.room.topic", "", json!({ "topic": "a lasting word" }));
    world.run(|cx| platform::end_session(cx, "visit-1")).unwrap();
    let ended = world.now();
    assert_eq!(world.read(next_due).unwrap(), Some(ended.plus_ms(LIFETIME_MS)));
    world.advance(LIFETIME_MS - 1);
    assert!(world.read(due_sessions).unwrap().is_empty(), "not a moment before");
    assert!(!tables_with(&world, "a lasting word").is_empty());
    world.advance(1);
    begin_due(&world);
    carry_out(&world);
    assert_eq!(world.read(next_due).unwrap(), None);
    assert!(tables_with(&world, "a lasting word").is_empty());
    assert!(tables_with(&world, "visit-1").is_subset(&told_to_the_platform()), "{:?}", tables_with(&world, "visit-1"));
    let left = tables_with(&world, guest.user_id.as_str());
    assert!(left.is_subset(&told_to_the_platform()), "{left:?}");
    world.advance(LIFETIME_MS);
    assert!(tables_with(&world, guest.user_id.as_str()).is_empty());
    assert!(!tables_with(&world, host.user_id.as_str()).is_empty(), "the host lives on");
}

#[test]
fn an_erased_participant_stays_erased_whatever_becomes_of_the_session() {
    let world = World::new();
    clinic::organization(&world, "acme", &[("North", true)]);
    clinic::put_host_named(&world, "ada", "acme", "North", "Ada Byron").unwrap();
    let put = clinic::session(&world, "visit-1", "ada", &["guest-1", "guest-2"]).unwrap();
    let [one, two] = ["guest-1", "guest-2"].map(|id| put.participants[id].0.clone());
    let ends = batch_of(world.decide(&|cx| platform::end_session(cx, "visit-1")).unwrap());
    world.run(|cx| erase_user(cx, &one)).unwrap();
    carry_out(&world);
    assert!(is_conflict(&world, ends), "decided before it, and would write the participant again");
    // The platform repeats its call: who has that id now is somebody else.
    let again = user_id!("@guest-1-again:example.org");
    let invitees = [("guest-1", again.to_owned()), ("guest-2", two.clone())].map(|(id, user_id)| platform::Invitee {
        id: id.to_owned(),
        display_name: format!("{id} the invitee"),
        new_user: Some(clinic::new_user(&user_id)),
    });
    let command = platform::PutSession {
        session: "visit-1".to_owned(),
        host: "ada".to_owned(),
        invitees: invitees.into(),
        ends_at: world.now().plus_ms(3_600_000),
    };
    let put = world.run(|cx| platform::put_session(cx, &command)).unwrap();
    assert_eq!(put.participants["guest-1"], (again.to_owned(), true));
    assert_eq!(put.participants["guest-2"], (two, false));
    world.run(|cx| platform::end_session(cx, "visit-1")).unwrap();
    let left = tables_with(&world, one.as_str());
    assert!(left.is_subset(&told_to_the_platform()), "{left:?}");
    assert!(world.read(|cx| account::profile::profile(cx, None, &one).map(drop)).is_err());
}

#[test]
fn an_erased_host_ends_their_sessions_and_leaves_their_successor_alone() {
    let world = World::new();
    clinic::organization(&world, "acme", &[("North", true)]);
    let first = clinic::put_host_named(&world, "ada", "acme", "North", "Ada Byron").unwrap().user_id;
    clinic::session(&world, "visit-1", "ada", &["guest-1"]).unwrap();
    let late = batch_of(world.decide(&put_empty).unwrap());
    world.run(|cx| erase_user(cx, &first)).unwrap();
    assert!(is_conflict(&world, late), "no session is put for a host who is erased meanwhile");
    carry_out(&world);
    assert!(world.run(put_empty).is_err());
    assert!(world.read(|cx| platform::session(cx, "visit-1")).unwrap().row.ended);
    let due = world.read(next_due).unwrap().expect("the participant is left");
    world.advance(due.as_ms() - world.now().as_ms());
    begin_due(&world);
    carry_out(&world);
    world.advance(2 * LIFETIME_MS);
    assert_eq!(tables_with(&world, first.as_str()), BTreeSet::new());

    let put = |user_id: &UserId| {
        let command = platform::PutHost {
            host: "bob".to_owned(),
            organization: "acme".to_owned(),
            account: "North".to_owned(),
            display_name: "Bob".to_owned(),
            new_user: Some(clinic::new_user(user_id)),
        };
        world.run(|cx| platform::put_host(cx, &command)).unwrap();
    };
    let (old, new) = (user_id!("@old:example.org"), user_id!("@new:example.org"));
    put(old);
    world.run(|cx| platform::delete_host(cx, "bob")).unwrap();
    put(new);
    world.run(|cx| erase_user(cx, old)).unwrap();
    carry_out(&world);
    assert_eq!(world.read(|cx| platform::host_row(cx, "bob")).unwrap().user_id, new);
}

#[test]
fn a_room_of_hosts_stays_theirs_when_some_of_them_are_erased() {
    let world = World::new();
    clinic::organization(&world, "acme", &[("North", true)]);
    let hosts = ["ada", "bob", "eve", "joe"].map(|name| {
        let user_id = clinic::put_host_named(&world, name, "acme", "North", name).unwrap().user_id;
        world.device(&user_id, "D")
    });
    let [ada, others @ ..] = &hosts;
    let room_id = world.room(ada, &others.iter().collect::<Vec<_>>());
    for host in others {
        world.member(host, &room_id, Action::Join);
    }
    // The one who comes first of the members.
    let first = world.read(|cx| crate::room::members(cx, &room_id)).unwrap().remove(0).user_id;
    world.run(|cx| erase_user(cx, &first)).unwrap();
    carry_out(&world);
    assert!(world.read(|cx| crate::policy::is_provisioned_room(cx, &room_id)).unwrap());
}
