//! Every pair of people × every action, each with the expected outcome (DESIGN.md, "Who may do what").
//!
//! Who is what to whom is worked out here from the people's descriptions alone, so that the table is held against the policy and
//! not against itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    api::client::room::create_room,
    events::{StateEventType, room::member::MembershipState},
};
use serde_json::{json, value::to_raw_value};

use super::may_download;
use crate::{
    Cx, Reject, Requester, Stop,
    account::{self, Search, profile},
    keys::{self, QueryKeys},
    platform::tests::{organization, put_host_named, session},
    room::{
        create::{self, CreateRoom},
        membership::{self, Action as Membership, SetMembership},
        send::{self, SendEvent, SendState},
    },
    tables::{self, UserKind},
    testing::{World, appservice},
    timeline, to_device,
};

/// What a person is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Host {
        organization: &'static str,
        account: &'static str,
    },
    Participant {
        session: &'static str,
        of: &'static str,
    },
    Support,
    Plain,
    /// A name that nobody has.
    Nobody,
}

/// What is expected, as matrix.txt has it.
struct Table {
    people: Vec<(&'static str, Is)>,
    /// In the order of [`deeds`]' and [`sights`]' answers.
    actions: Vec<&'static str>,
    /// By what the actor and the target are to each other.
    expected: Vec<((&'static str, &'static str), Vec<&'static str>)>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table { people: Vec::new(), actions: Vec::new(), expected: Vec::new() };
    for line in include_str!("matrix.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["person", name, "host", organization, account] => table.people.push((name, Is::Host { organization, account })),
            ["person", name, "participant", session, of] => table.people.push((name, Is::Participant { session, of })),
            ["person", name, "support"] => table.people.push((name, Is::Support)),
            ["person", name, "plain"] => table.people.push((name, Is::Plain)),
            ["person", name, "nobody"] => table.people.push((name, Is::Nobody)),
            ["action", action, ..] => table.actions.push(action),
            _ => {
                let cells: Vec<_> = line.split('|').map(str::trim).collect();
                let [actor, target, outcomes] = cells[..] else { panic!("not a line of the table: {line}") };
                let outcomes: Vec<_> = outcomes.split_whitespace().collect();
                assert_eq!(outcomes.len(), table.actions.len(), "{line}");
                table.expected.push(((actor, target), outcomes));
            }
        }
    }
    table
});

fn people() -> impl Iterator<Item = (&'static str, Is)> {
    TABLE.people.iter().copied()
}

/// What `target` is to `actor`, in the words of [`TABLE`].
fn relation(actor: (&str, Is), target: (&str, Is)) -> (&'static str, &'static str) {
    let organization_of = |host: &str| match people().find(|(name, _)| *name == host) {
        Some((_, Is::Host { organization, .. })) => organization,
        _ => panic!("{host} is a host"),
    };
    match (actor.1, target.1) {
        (Is::Host { organization: own, account }, Is::Host { organization, account: other }) => (
            "host",
            if own != organization {
                "host elsewhere"
            } else if account == other {
                "host of the account"
            } else {
                "host of the organization"
            },
        ),
        (Is::Host { organization, .. }, Is::Participant { of, .. }) => (
            "host",
            if of == actor.0 {
                "own participant"
            } else if organization_of(of) == organization {
                "colleague's participant"
            } else {
                "participant elsewhere"
            },
        ),
        (Is::Host { .. }, Is::Support) => ("host", "support"),
        (Is::Host { .. }, Is::Plain) => ("host", "plain user"),
        (Is::Host { .. }, Is::Nobody) => ("host", "nobody"),
        (Is::Participant { of, .. }, Is::Host { .. }) => {
            ("participant", if of == target.0 { "inviter" } else { "another host" })
        }
        (Is::Participant { session, of }, Is::Participant { session: other, of: inviter }) => (
            "participant",
            if session == other {
                "co-participant"
            } else if of == inviter {
                "inviter's other participant"
            } else {
                "another's participant"
            },
        ),
        (Is::Participant { .. }, Is::Support) => ("participant", "support"),
        (Is::Participant { .. }, Is::Plain) => ("participant", "plain user"),
        (Is::Participant { .. }, Is::Nobody) => ("participant", "nobody"),
        (Is::Plain, Is::Plain) => ("plain user", "plain user"),
        (Is::Plain, Is::Support) => ("plain user", "support"),
        (Is::Plain, Is::Nobody) => ("plain user", "nobody"),
        (Is::Plain, Is::Host { .. }) => ("plain user", "host"),
        (Is::Plain, Is::Participant { .. }) => ("plain user", "participant"),
        (Is::Support, Is::Host { .. }) => ("support", "host"),
        (Is::Support, Is::Participant { .. }) => ("support", "participant"),
        (Is::Support, Is::Plain) => ("support", "plain user"),
        (Is::Support, Is::Nobody) => ("support", "nobody"),
        (Is::Support, Is::Support) | (Is::Nobody, _) => panic!("nobody does that"),
    }
}

/// Done.
const OK: &str = "ok";
const F: &str = "F";
const B: &str = "B";
const N: &str = "N";
/// Known, found, told.
const SEEN: &str = "seen";
/// As if there were nobody of that name.
const HIDDEN: &str = "hidden";

fn id(name: &str) -> OwnedUserId {
    UserId::parse(format!("@{name}:example.org")).expect("a user id")
}

fn world() -> World {
    let world = World::with_appservices([appservice("bridge", "support")]);
    world.user("support", UserKind::Appservice, "D");
    organization(&world, "acme", &[("North", true), ("South", true)]);
    organization(&world, "other", &[("East", true)]);
    for (name, is) in people() {
        match is {
            Is::Host { organization, account } => {
                put_host_named(&world, name, organization, account, name).expect("a host");
            }
            Is::Plain => drop(world.user(name, UserKind::Plain, "D")),
            Is::Participant { .. } | Is::Support | Is::Nobody => {}
        }
    }
    let mut sessions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, is) in people() {
        if let Is::Participant { session, of } = is {
            sessions.entry((session, of)).or_default().push(name);
        }
    }
    for ((id, of), invitees) in sessions {
        session(&world, id, of, &invitees).expect("a session");
    }
    // Whoever a test makes without the server's calls has no profile yet, and support no devices that are known by keys.
    for name in ["support", "zed", "yan"] {
        world
            .run(|cx| {
                let mut draft = crate::Draft::new(*cx);
                let row = tables::ProfileRow { display_name: Some(name.to_owned()), ..tables::ProfileRow::default() };
                tables::PROFILES.put(&mut draft.batch, &(cx.user(&id(name)),), &row);
                Ok(draft.commit(()))
            })
            .expect("a profile");
    }
    world
}

fn create(creator: &str, invitees: &[&str]) -> CreateRoom {
    let mut request = create_room::v3::Request::new();
    request.invite = invitees.iter().map(|name| id(name)).collect();
    let random_id = RoomId::parse(format!("!of-{creator}:example.org")).expect("a room id");
    CreateRoom { creator: id(creator), random_id, request }
}

/// A second world, in which everybody has a room: participants one with support, everybody else one alone.
fn roomed() -> (World, BTreeMap<&'static str, OwnedRoomId>) {
    let world = world();
    let mut rooms = BTreeMap::new();
    for (name, is) in people() {
        let invitees: &[&str] = if matches!(is, Is::Participant { .. }) { &["support"] } else { &[] };
        let room_id = match is {
            Is::Nobody => RoomId::parse(format!("!of-{name}:example.org")).expect("a room id"),
            _ => world.run(|cx| create::create_room(cx, &create(name, invitees))).expect("a room"),
        };
        rooms.insert(name, room_id);
    }
    (world, rooms)
}

fn outcome<T>(result: Result<T, Reject>) -> Result<(), Reject> {
    result.map(drop)
}

fn code(outcome: &Result<(), Reject>) -> &'static str {
    match outcome {
        Ok(()) => OK,
        Err(Reject::Forbidden(_)) => F,
        Err(Reject::InviteBlocked(_)) => B,
        Err(Reject::NotFound(_)) => N,
        Err(other) => panic!("{other:?}"),
    }
}

/// What comes of the seven deeds, as the engine answers them. Nothing of it is committed.
fn deeds(
    bare: &World,
    (roomed, rooms): &(World, BTreeMap<&str, OwnedRoomId>),
    actor: &str,
    target: &str,
) -> Vec<Result<(), Reject>> {
    let set = |room: &str, whom: &str, action| SetMembership {
        sender: id(actor),
        room_id: rooms[room].clone(),
        target: id(whom),
        action,
        reason: None,
        further: ruma::CanonicalJsonObject::new(),
    };
    let membership =
        |command: SetMembership| outcome(roomed.decide(&|cx: &Cx<'_>| membership::set_membership(cx, &command)));
    let through_state = SendState {
        sender: id(actor),
        room_id: rooms[actor].clone(),
        event_type: StateEventType::RoomMember,
        state_key: id(target).to_string(),
        content: to_raw_value(&json!({ "membership": MembershipState::Invite })).expect("JSON"),
        timestamp: None,
    };
    let message = SendEvent {
        sender: id(actor),
        device_id: None,
        room_id: rooms[target].clone(),
        event_type: "m.room.message".into(),
        txn_id: "t".into(),
        content: to_raw_value(&json!({ "msgtype": "m.text", "body": "hello" })).expect("JSON"),
        timestamp: None,
    };
    vec![
        outcome(bare.decide(&|cx: &Cx<'_>| create::create_room(cx, &create(actor, &[target])))),
        membership(set(actor, target, Membership::Invite)),
        outcome(roomed.decide(&|cx: &Cx<'_>| send::send_state(cx, &through_state))),
        membership(set(target, actor, Membership::Join)),
        membership(set(target, actor, Membership::Knock)),
        roomed.read(|cx| match timeline::room_state(cx, &id(actor), &rooms[target]) {
            Ok(_) => Ok(()),
            Err(Stop::Reject(reject)) => Err(reject),
            Err(Stop::Read(error)) => panic!("{error}"),
        }),
        outcome(roomed.decide(&|cx: &Cx<'_>| send::send_event(cx, &message))),
    ]
}

/// What the actor is told of the target, without any room of the two.
fn sights(bare: &World, actor: &str, target: &str) -> Vec<&'static str> {
    let (viewer, seen) = (id(actor), id(target));
    let query = QueryKeys { requester: viewer.clone(), device_keys: [(seen.clone(), Vec::new())].into() };
    let requester = Requester { user_id: viewer.clone(), device_id: None, appservice: None };
    let search = Search { user_id: viewer.clone(), term: seen.to_string(), limit: 10 };
    let messages = [(
        seen.clone(),
        [(ruma::to_device::DeviceIdOrAllDevices::AllDevices, to_raw_value(&json!({})).expect("JSON"))].into(),
    )];
    let send = to_device::SendToDevice {
        requester,
        event_type: "m.x".to_owned(),
        txn_id: target.to_owned(),
        messages: messages.into(),
    };
    // Everybody has a device here, be it a dehydrated one: a message that goes anywhere makes the batch longer than one to nobody.
    let nobody = to_device::SendToDevice { messages: BTreeMap::new(), ..send.clone() };
    let written = |command: &to_device::SendToDevice| match bare.decide(&|cx: &Cx<'_>| to_device::send(cx, command)) {
        Ok(crate::Decision::Commit { batch, .. }) => batch.ops().len(),
        other => panic!("{other:?}"),
    };
    let told = |seen: bool| if seen { SEEN } else { HIDDEN };
    vec![
        told(bare.read(|cx| profile::profile(cx, Some(&viewer), &seen)).is_ok()),
        told(bare.read(|cx| keys::query(cx, &query)).expect("answers").device_keys.contains_key(&seen)),
        told(written(&send) > written(&nobody)),
        told(bare.read(|cx| account::search(cx, &search)).expect("reads").users.iter().any(|(user_id, _)| *user_id == seen)),
        told(bare.read(|cx| may_download(cx, Some(&viewer), &seen)).expect("reads")),
    ]
}

#[test]
fn every_pair_and_every_action() {
    let (bare, roomed) = (world(), roomed());
    let mut met = BTreeSet::new();
    let mut wrong = Vec::new();
    for actor in people().filter(|(_, is)| *is != Is::Nobody) {
        // What every nobody is answered is what everybody hidden has to be answered, word for word.
        let of_nobody = deeds(&bare, &roomed, actor.0, "nobody");
        for target in people().filter(|(name, _)| *name != actor.0) {
            let relation = relation(actor, target);
            met.insert(relation);
            let Some((_, expected)) = TABLE.expected.iter().find(|(known, _)| *known == relation) else {
                panic!("{relation:?} is not in the table");
            };
            let deeds = deeds(&bare, &roomed, actor.0, target.0);
            let found: Vec<_> = deeds.iter().map(code).chain(sights(&bare, actor.0, target.0)).collect();
            for ((action, found), expected) in TABLE.actions.iter().zip(&found).zip(expected) {
                if found != expected {
                    wrong.push(format!(
                        "{} to {} ({relation:?}): {action}: {found:?} instead of {expected:?}",
                        actor.0, target.0
                    ));
                }
            }
            let provisioned = matches!(actor.1, Is::Host { .. } | Is::Participant { .. });
            let hidden = expected[7] == HIDDEN && expected[0] != B && provisioned;
            if hidden && deeds != of_nobody {
                wrong
                    .push(format!("{} is told of {} by other words: {deeds:?} instead of {of_nobody:?}", actor.0, target.0));
            }
        }
    }
    assert!(wrong.is_empty(), "{} outcomes:\n{}", wrong.len(), wrong.join("\n"));
    let table: BTreeSet<_> = TABLE.expected.iter().map(|(relation, _)| *relation).collect();
    assert_eq!(met, table, "each line of the table is about somebody");
}
