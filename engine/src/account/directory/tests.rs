//! Who is found by what, and what a directory keeps of them.

use ruma::{OwnedUserId, UserId, api::client::room::create_room, user_id};
use serde_json::json;

use super::{Found, LOOKS_MAX, RESULTS_MAX, Search, search};
use crate::{
    account::{self, Deactivate, Register, deactivate, profile, profile::SetField},
    platform::tests::{organization, put_host_named, session},
    room::create,
    tables::{self, UserKind},
    testing::World,
};

fn find_some(world: &World, user: &str, term: &str, limit: usize) -> Found {
    let user_id = UserId::parse(format!("@{user}:example.org")).unwrap();
    let command = Search { user_id, term: term.to_owned(), limit };
    world.read(|cx| search(cx, &command)).unwrap()
}

fn find(world: &World, user: &str, term: &str) -> Vec<String> {
    let found = find_some(world, user, term, RESULTS_MAX);
    found.users.into_iter().map(|(user_id, _)| user_id.localpart().to_owned()).collect()
}

fn register(world: &World, localpart: &str) -> OwnedUserId {
    let command = Register {
        localpart: localpart.to_owned(),
        kind: UserKind::Plain,
        password_hash: None,
        appservice: None,
        device: None,
        admin: false,
    };
    world.run(|cx| account::register(cx, &command)).unwrap().0
}

fn name(world: &World, user_id: &UserId, name: Option<&str>) {
    let field = || SetField { user_id: user_id.to_owned(), field: "displayname".into(), value: name.map(Into::into) };
    world.run(|cx| profile::set_field(cx, &field())).unwrap();
}

fn publish_a_room_of(world: &World, user_id: &UserId) {
    let mut request = create_room::v3::Request::new();
    request.visibility = ruma::api::client::room::Visibility::Public;
    let random_id = ruma::RoomId::parse(format!("!{}:example.org", user_id.localpart())).unwrap();
    let command = create::CreateRoom { creator: user_id.to_owned(), random_id, request };
    world.run(|cx| create::create_room(cx, &command)).unwrap();
}

fn rows(world: &World) -> u64 {
    world.read(|cx| tables::DIRECTORY.count(cx.view, &())).unwrap()
}

#[test]
fn hosts_are_found_by_the_beginnings_of_words() {
    let world = World::new();
    organization(&world, "acme", &[("North", true), ("South", true)]);
    for (id, account, name) in [
        ("ada", "North", "Ada Byron"),
        ("adam", "North", "Adam Ångström"),
        ("jose", "South", "José Núñez"),
        ("li", "South", "李 小龍"),
        ("searcher", "North", "Zoë Adamczyk-Łoś"),
    ] {
        put_host_named(&world, id, "acme", account, name).unwrap();
    }
    let cases: [(&str, &[&str]); 19] = [
        ("ada", &["ada", "adam"]),
        ("adam", &["adam"]),
        ("ADAMS", &[]),
        ("by", &["ada"]),
        ("b", &["ada"]),
        ("yron", &[]),
        ("by ad", &["ada"]),
        ("ada by", &["ada"]),
        ("ada ada", &["ada", "adam"]),
        ("angstrom", &["adam"]),
        ("ångst", &["adam"]),
        ("nunez", &["jose"]),
        ("JOSÉ  (sou", &["jose"]),
        ("south", &["li", "jose"]),
        ("north ad", &["ada", "adam"]),
        ("小", &["li"]),
        ("龍 李", &["li"]),
        ("zoe", &[]),
        ("", &[]),
    ];
    for (term, expected) in cases {
        let (mut found, mut expected) = (find(&world, "searcher", term), expected.to_vec());
        if term == "south" {
            found.sort();
            expected.sort_unstable();
        }
        assert_eq!(found, expected, "{term}");
    }
    assert_eq!(find(&world, "ada", "los adamc"), ["searcher"]);
    let shown = find_some(&world, "searcher", "jose", 9).users.remove(0).1.display_name;
    assert_eq!(shown.as_deref(), Some("José Núñez (South Clinic)"), "an organization of two accounts");
}

#[test]
fn a_name_is_followed_by_its_account_from_the_second_account_on() {
    let world = World::new();
    organization(&world, "acme", &[("North", true)]);
    put_host_named(&world, "ada", "acme", "North", "Ada Byron").unwrap();
    put_host_named(&world, "bob", "acme", "North", "Bob").unwrap();
    let shown = || find_some(&world, "bob", "ada", 9).users.remove(0).1.display_name.unwrap();
    assert_eq!((shown(), find(&world, "bob", "north")), ("Ada Byron".to_owned(), vec![]));
    organization(&world, "acme", &[("South", true)]);
    assert_eq!((shown(), find(&world, "bob", "north")), ("Ada Byron (North Clinic)".to_owned(), vec!["ada".to_owned()]));
    put_host_named(&world, "ada", "acme", "South", "Ada Lovelace").unwrap();
    assert_eq!(find(&world, "bob", "byron"), [""; 0], "the name she had");
    assert_eq!(find(&world, "bob", "lovelace so"), ["ada"]);
    assert_eq!(find(&world, "bob", "north"), [""; 0], "the account she was in");
}

#[test]
fn participants_are_found_by_their_inviter_alone() {
    let world = World::new();
    organization(&world, "acme", &[("North", true)]);
    put_host_named(&world, "ada", "acme", "North", "Ada").unwrap();
    put_host_named(&world, "bob", "acme", "North", "Bob").unwrap();
    session(&world, "s", "ada", &["p1", "p2"]).unwrap();
    assert_eq!(find(&world, "ada", "invitee"), ["p1", "p2"]);
    assert_eq!(find(&world, "ada", "p2 inv"), ["p2"]);
    for other in ["bob", "p1"] {
        assert_eq!(find(&world, other, "p2"), [""; 0], "{other}");
        assert_eq!(find(&world, other, "@p2:example.org"), [""; 0], "{other}");
    }
    session(&world, "s", "bob", &["p1", "p2"]).unwrap();
    assert_eq!((find(&world, "ada", "invitee").len(), find(&world, "bob", "invitee").len()), (0, 2), "another host's now");
}

#[test]
fn plain_users_are_found_where_they_can_be_met() {
    let world = World::new();
    let (alice, _, _) = (register(&world, "user-1-alice"), register(&world, "user-2-bob"), register(&world, "user-3-eve"));
    name(&world, &alice, Some("Alice Cooper"));
    for term in ["alice", "@user-1", "user 1 al", "cooper", "@user-1-alice:exam"] {
        assert_eq!(find(&world, "user-3-eve", term), [""; 0], "no room together, none published: {term}");
    }
    assert_eq!(find(&world, "user-3-eve", "@user-1-alice:example.org"), ["user-1-alice"], "whoever knows the whole id");
    publish_a_room_of(&world, &alice);
    for term in ["alice", "@user", "user 1 al", "coop", "@user-1-alice:exam", "Alice Cooper"] {
        assert_eq!(find(&world, "user-3-eve", term), ["user-1-alice"], "{term}");
    }
    name(&world, &alice, None);
    assert_eq!((find(&world, "user-3-eve", "cooper").len(), find(&world, "user-3-eve", "alice").len()), (0, 1));
}

#[test]
fn a_closed_account_leaves_no_rows() {
    let world = World::new();
    let alice = register(&world, "alice");
    name(&world, &alice, Some("Alice Cooper"));
    assert_eq!(rows(&world), 6, "a, al, ali, c, co, coo");
    name(&world, &alice, Some("Alicia Cooper"));
    assert_eq!(rows(&world), 6, "alice and alicia have one beginning");
    world.run(|cx| deactivate(cx, &Deactivate { user_id: alice.clone(), erase: false })).unwrap();
    assert_eq!(rows(&world), 0);
}

#[test]
fn a_search_says_that_there_is_more_and_looks_at_no_more_than_it_may() {
    let world = World::new();
    organization(&world, "acme", &[("North", true)]);
    put_host_named(&world, "searcher", "acme", "North", "Zoe").unwrap();
    for number in 0..4 {
        put_host_named(&world, &format!("m{number}"), "acme", "North", &format!("Maria {number}")).unwrap();
    }
    let found = |term, limit| {
        let found = find_some(&world, "searcher", term, limit);
        (found.users.len(), found.limited)
    };
    assert_eq!(found("maria", 4), (4, false));
    assert_eq!(found("maria", 3), (3, true));
    assert_eq!(found("mar 2", 3), (1, false));
    assert_eq!(found("maria", 0), (0, true));
    world
        .run(|cx| {
            let mut draft = crate::Draft::new(*cx);
            let directory = super::Directory::Organization("acme".to_owned());
            for number in 0..LOOKS_MAX {
                let gone = UserId::parse(format!("@gone{number}:example.org")).unwrap();
                directory.list(&mut draft, &gone, None, Some("Maria"));
            }
            Ok(draft.commit(()))
        })
        .unwrap();
    assert!(found("maria", 4).1, "more than are looked at");
}

#[test]
fn no_beginning_of_a_name_is_readable_in_a_key_and_organizations_differ() {
    let world = World::new();
    let mut keys = Vec::new();
    for organization in ["acme", "other"] {
        let decide = |cx: &crate::Cx<'_>| {
            let mut draft = crate::Draft::new(*cx);
            let directory = super::Directory::Organization(organization.to_owned());
            directory.list(&mut draft, user_id!("@ada:example.org"), None, Some("Confidential"));
            Ok(draft.commit(()))
        };
        let crate::Decision::Commit { batch, .. } = world.decide(&decide).unwrap() else { panic!("rows are written") };
        let key = |op: &journal::Op| match op {
            journal::Op::Put { key, .. } | journal::Op::Delete { key, .. } => key.clone(),
        };
        keys.push(batch.ops().iter().map(key).collect::<Vec<_>>());
    }
    for key in keys.iter().flatten() {
        assert!(!key.windows(3).any(|bytes| bytes.eq_ignore_ascii_case(b"con")), "{}", json!(key));
    }
    assert_eq!(keys[0].len(), 3);
    assert!(keys[0].iter().all(|key| !keys[1].iter().any(|other| other[..16] == key[..16])));
}
