//! Hosts who are named anew, more of them than fit into one batch.

use super::*;
use crate::tables::UserKind;

/// Hosts without anything else, as many as an organization can have.
fn many_hosts(world: &World, account: &str, count: usize) {
    world
        .run(|cx| {
            let mut draft = Draft::new(*cx);
            for number in 0..count {
                let user_id = UserId::parse(format!("@many{number}:example.org")).expect("a user id");
                let row = tables::HostRow {
                    host: format!("many{number}"),
                    user_id: user_id.clone(),
                    organization: "acme".to_owned(),
                    account: account.to_owned(),
                    display_name: format!("Doctor {number}"),
                };
                let user = cx.user(&user_id);
                tables::HOST_USERS.put(&mut draft.batch, &(user,), &row);
                tables::ORGANIZATION_HOSTS.put(&mut draft.batch, &(cx.name("acme"), user), &user_id);
            }
            Ok(draft.commit(()))
        })
        .expect("hosts");
}

fn put(world: &World, account: &str, name: &str) {
    let command = PutOrganizationAccount {
        organization: "acme".to_owned(),
        account: account.to_owned(),
        name: name.to_owned(),
        chat_enabled: None,
        upload_per_day: None,
        text_retention: None,
    };
    world.run(|cx| put_organization_account(cx, &command)).expect("an account");
}

/// How many are shown by such a name.
fn shown(world: &World, pattern: impl Fn(&str) -> bool) -> usize {
    let profiles = world.read(|cx| tables::PROFILES.scan(cx.view, &()).collect::<Result<Vec<_>, _>>()).expect("reads");
    profiles.iter().filter(|(_, row)| row.value.display_name.as_deref().is_some_and(&pattern)).count()
}

/// One step of what the worker does, which knows of nothing but what is stored.
fn go_on(world: &World) -> bool {
    let organizations = world.read(organizations_to_name).expect("reads");
    organizations.into_iter().any(|organization| world.run(|cx| continue_hosts(cx, organization)).expect("goes on"))
}

/// Answers in how many steps.
fn finish(world: &World) -> usize {
    std::iter::repeat_with(|| go_on(world)).take_while(|went_on| *went_on).count()
}

#[test]
fn however_many_hosts_an_organization_has_all_are_named_anew() {
    const HOSTS: usize = 6_000;
    let world = World::new();
    organization(&world, "acme", &[("North", true)]);
    many_hosts(&world, "North", HOSTS);
    put(&world, "South", "South Clinic");
    assert!(shown(&world, |_| true) < HOSTS, "the first batch is one of several");
    assert!(finish(&world) > 1);
    assert_eq!(shown(&world, |name| name.ends_with(" (North Clinic)")), HOSTS);
    assert_eq!(finish(&world), 0);
    world.run(|cx| delete_account(cx, "acme", "South")).expect("one account is left");
    finish(&world);
    assert_eq!(shown(&world, |name| !name.contains('(')), HOSTS);
}

#[test]
fn names_that_are_changed_meanwhile_are_the_later_ones() {
    const HOSTS: usize = 3_000;
    let world = World::new();
    organization(&world, "acme", &[("North", true)]);
    many_hosts(&world, "North", HOSTS);
    put(&world, "South", "South Clinic");
    assert!(go_on(&world));
    put(&world, "North", "Upper North");
    assert!(shown(&world, |name| name.ends_with(" (Upper North)")) < HOSTS, "it takes more than a batch");
    finish(&world);
    assert_eq!(shown(&world, |name| name.ends_with(" (Upper North)")), HOSTS);
}

#[test]
fn a_user_in_very_many_rooms_is_named_anew_in_all() {
    const ROOMS: usize = 250;
    let world = World::new();
    let person = world.user("ada", UserKind::Plain, "A");
    world
        .run(|cx| {
            let mut draft = Draft::new(*cx);
            tables::PROFILES.put(&mut draft.batch, &(cx.user(&person.user_id),), &tables::ProfileRow::default());
            Ok(draft.commit(()))
        })
        .expect("a profile");
    let rooms: Vec<_> = (0..ROOMS).map(|_| world.room(&person, &[])).collect();
    let command = account::profile::SetField {
        user_id: person.user_id.clone(),
        field: "displayname".to_owned(),
        value: Some(json!("Ada")),
    };
    world.run(|cx| account::profile::set_field(cx, &command)).expect("set");
    let named = |world: &World| {
        let member = |room: &ruma::OwnedRoomId| world.read(|cx| crate::room::members(cx, room)).expect("reads").remove(0);
        rooms.iter().filter(|room| member(room).display_name.as_deref() == Some("Ada")).count()
    };
    assert_eq!(named(&world), 100);
    while let [user_id] = &*world.read(account::profile::users_to_tell_of).expect("reads") {
        assert!(world.run(|cx| account::profile::continue_rooms(cx, user_id)).expect("goes on"));
    }
    assert_eq!(named(&world), ROOMS);
    assert!(!world.run(|cx| account::profile::continue_rooms(cx, &person.user_id)).expect("nothing is left"));
}
