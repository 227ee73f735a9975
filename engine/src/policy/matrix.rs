//! Every pair of people × every action, each with the expected outcome (DESIGN.md, "Who may do what").
//!
//! Who is what to whom is worked out here from the people's descriptions alone, so that the table is held against the policy and
//! not against itself.

use std::collections::{BTreeMap, BTreeSet};

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

const PEOPLE: [(&str, Is); 16] = [
    ("ada", Is::Host { organization: "acme", account: "North" }),
    ("abe", Is::Host { organization: "acme", account: "North" }),
    ("bob", Is::Host { organization: "acme", account: "South" }),
    ("eve", Is::Host { organization: "other", account: "East" }),
    ("pat", Is::Participant { session: "s1", of: "ada" }),
    ("paul", Is::Participant { session: "s1", of: "ada" }),
    ("peg", Is::Participant { session: "s2", of: "ada" }),
    ("quin", Is::Participant { session: "s3", of: "abe" }),
    ("quentin", Is::Participant { session: "s4", of: "bob" }),
    ("rob", Is::Participant { session: "s5", of: "eve" }),
    ("support", Is::Support),
    ("zed", Is::Plain),
    ("yan", Is::Plain),
    ("nobody", Is::Nobody),
    ("h_aaaaaaaaaaaaaaaa", Is::Nobody),
    ("p_aaaaaaaaaaaaaaaa", Is::Nobody),
];

/// What `target` is to `actor`, in the words of [`EXPECTED`].
fn relation(actor: (&str, Is), target: (&str, Is)) -> (&'static str, &'static str) {
    let organization_of = |host: &str| match PEOPLE.iter().find(|(name, _)| *name == host) {
        Some((_, Is::Host { organization, .. })) => *organization,
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

const OK: &str = "";
const F: &str = "M_FORBIDDEN";
const B: &str = "M_INVITE_BLOCKED";
const N: &str = "M_NOT_FOUND";
/// Known, found, told.
const SEEN: &str = "seen";
/// As if there were nobody of that name.
const HIDDEN: &str = "hidden";

/// In the order of [`act`]'s answers.
const ACTIONS: [&str; 12] = [
    "make a room with them",
    "invite them",
    "invite them through the state",
    "join their room",
    "knock at their room",
    "read their room",
    "send into their room",
    "see their profile",
    "see their devices",
    "send to their devices",
    "find them",
    "have their file",
];

#[rustfmt::skip]
const EXPECTED: &[((&str, &str), [&str; 12])] = &[
    //                                               make invite state join knock read send profile devices to-dev  find    file
    (("host", "host of the account"),               [OK, OK, OK,     F, F, F, F, SEEN,   SEEN,   SEEN,   SEEN,   SEEN]),
    (("host", "host of the organization"),          [OK, OK, OK,     F, F, F, F, SEEN,   SEEN,   SEEN,   SEEN,   SEEN]),
    (("host", "own participant"),                   [OK, OK, OK,     F, F, F, F, SEEN,   SEEN,   SEEN,   SEEN,   SEEN]),
    (("host", "support"),                           [OK, OK, OK,     F, F, F, F, SEEN,   SEEN,   SEEN,   SEEN,   SEEN]),
    (("host", "colleague's participant"),           [B,  B,  B,      N, N, F, N, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN]),
    (("host", "host elsewhere"),                    [F,  F,  F,      N, N, F, N, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN]),
    (("host", "participant elsewhere"),             [F,  F,  F,      N, N, F, N, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN]),
    (("host", "plain user"),                        [F,  F,  F,      N, N, F, N, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN]),
    (("host", "nobody"),                            [F,  F,  F,      N, N, F, N, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN]),
    (("participant", "inviter"),                    [OK, F,  F,      N, N, F, N, SEEN,   SEEN,   SEEN,   SEEN,   SEEN]),
    (("participant", "support"),                    [OK, F,  F,      N, N, F, N, SEEN,   SEEN,   SEEN,   SEEN,   SEEN]),
    (("participant", "another host"),               [F,  F,  F,      N, N, F, N, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN]),
    (("participant", "co-participant"),             [F,  F,  F,      N, N, F, N, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN]),
    (("participant", "inviter's other participant"),[F,  F,  F,      N, N, F, N, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN]),
    (("participant", "another's participant"),      [F,  F,  F,      N, N, F, N, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN]),
    (("participant", "plain user"),                 [F,  F,  F,      N, N, F, N, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN]),
    (("participant", "nobody"),                     [F,  F,  F,      N, N, F, N, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN]),
    (("plain user", "plain user"),                  [OK, OK, OK,     F, F, F, F, SEEN,   SEEN,   SEEN,   SEEN,   SEEN]),
    (("plain user", "support"),                     [OK, OK, OK,     F, F, F, F, SEEN,   SEEN,   SEEN,   SEEN,   SEEN]),
    (("plain user", "host"),                        [F,  F,  F,      N, N, F, N, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN]),
    (("plain user", "participant"),                 [F,  F,  F,      N, N, F, N, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN]),
    (("plain user", "nobody"),                      [OK, OK, OK,     N, N, F, N, HIDDEN, HIDDEN, HIDDEN, HIDDEN, SEEN]),
    (("support", "host"),                           [OK, OK, OK,     F, F, F, F, SEEN,   SEEN,   SEEN,   SEEN,   SEEN]),
    // The participant has asked support into a chat: that is their one room.
    (("support", "participant"),                    [OK, F,  F,     OK, F, F, F, SEEN,   SEEN,   SEEN,   SEEN,   SEEN]),
    (("support", "plain user"),                     [OK, OK, OK,     F, F, F, F, SEEN,   SEEN,   SEEN,   SEEN,   SEEN]),
    (("support", "nobody"),                         [OK, OK, OK,     N, N, F, N, HIDDEN, HIDDEN, HIDDEN, HIDDEN, SEEN]),
];

fn id(name: &str) -> OwnedUserId {
    UserId::parse(format!("@{name}:example.org")).expect("a user id")
}

fn world() -> World {
    let world = World::with_appservices([appservice("bridge", "support")]);
    world.user("support", UserKind::Appservice, "D");
    organization(&world, "acme", &[("North", true), ("South", true)]);
    organization(&world, "other", &[("East", true)]);
    for (name, is) in PEOPLE {
        match is {
            Is::Host { organization, account } => {
                put_host_named(&world, name, organization, account, name).expect("a host");
            }
            Is::Plain => drop(world.user(name, UserKind::Plain, "D")),
            Is::Participant { .. } | Is::Support | Is::Nobody => {}
        }
    }
    let mut sessions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, is) in PEOPLE {
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
    for (name, is) in PEOPLE {
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
    for actor in PEOPLE.into_iter().filter(|(_, is)| *is != Is::Nobody) {
        // What every nobody is answered is what everybody hidden has to be answered, word for word.
        let of_nobody = deeds(&bare, &roomed, actor.0, "nobody");
        for target in PEOPLE.into_iter().filter(|(name, _)| *name != actor.0) {
            let relation = relation(actor, target);
            met.insert(relation);
            let Some((_, expected)) = EXPECTED.iter().find(|(known, _)| *known == relation) else {
                panic!("{relation:?} is not in the table");
            };
            let deeds = deeds(&bare, &roomed, actor.0, target.0);
            let found: Vec<_> = deeds.iter().map(code).chain(sights(&bare, actor.0, target.0)).collect();
            for ((action, found), expected) in ACTIONS.iter().zip(&found).zip(expected) {
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
    let table: BTreeSet<_> = EXPECTED.iter().map(|(relation, _)| *relation).collect();
    assert_eq!(met, table, "each line of the table is about somebody");
}
